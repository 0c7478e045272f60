# The published idiom: the nearest by a key that asks. One question a patch, and the first of equals.
def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find("litter")
    if not litter_patches:
        return "No litter"
    nearest = min(litter_patches, key=lambda patch: patch.compute_depth())
    return nearest.simple_query("What is this?")
