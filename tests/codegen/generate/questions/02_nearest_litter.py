# Is there litter within five metres, and what is it made of?
def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find("litter")
    if len(litter_patches) == 0:
        return "No litter found."
    nearest = min(litter_patches, key=lambda patch: patch.compute_depth())
    metres = nearest.compute_depth()
    if metres >= 5:
        return f"No litter within five metres; the nearest is {metres:.1f} m away."
    material = nearest.simple_query("What material is this made of?")
    return f"Yes, {material}, {metres:.1f} m away."
