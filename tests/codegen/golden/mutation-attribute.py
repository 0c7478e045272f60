# Notes on patches, as DiCE-M's programs make them.
def execute_command(image):
    image_patch = ImagePatch(image)
    patches = image_patch.find("litter")
    for patch in patches:
        patch.metres = patch.compute_depth()
        patch.label = patch.simple_query("What is this?")
    near = [patch for patch in patches if patch.metres < 5]
    return [f"{patch.label} at {patch.metres} m" for patch in near]
