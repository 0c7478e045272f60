# A global that a function changes.
seen = []


def note(patch):
    global seen
    seen = seen + [patch.simple_query("What is this?")]


def execute_command(image):
    image_patch = ImagePatch(image)
    for patch in image_patch.find("litter"):
        note(patch)
    return seen
