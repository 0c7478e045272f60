# How deep a function goes hangs on the answers.
def parts_of(patch, level):
    found = patch.find("part")
    if level == 0 or not found:
        return [patch.simple_query("What is this?")]
    return parts_of(found[0], level - 1)


def execute_command(image):
    image_patch = ImagePatch(image)
    return parts_of(image_patch, 2)
