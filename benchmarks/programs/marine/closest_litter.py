# Is there litter within five metres, and what is it made of?
def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find("litter")
    if not litter_patches:
        return "No litter found in the image."
    depths = [patch.compute_depth() for patch in litter_patches]
    closest_litter_patch = litter_patches[depths.index(min(depths))]
    closest_depth = closest_litter_patch.compute_depth()
    if closest_depth < 5:
        object_name = closest_litter_patch.simple_query("What is this?")
        material = closest_litter_patch.simple_query("What material is this made of?")
        return f"Object: {object_name}, Material: {material}, Depth: {closest_depth} meters"
    return "No litter found within five meters of depth."
