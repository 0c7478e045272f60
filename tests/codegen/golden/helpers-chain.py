# Functions of the program that ask, one through the other.
def describe(patch):
    what = patch.simple_query("What is this?")
    return f"{what}, {material_of(patch)}"


def material_of(patch):
    if patch.verify_property("litter", "shiny"):
        return "metal or glass"
    return patch.simple_query("What material is this made of?")


def execute_command(image):
    image_patch = ImagePatch(image)
    return [describe(patch) for patch in image_patch.find("litter")]
