# The same question twice is one call; the two lists are two lists.
def execute_command(image):
    image_patch = ImagePatch(image)
    first = image_patch.find("boat")
    first.reverse()
    second = image_patch.find("boat")
    if image_patch.exists("boat"):
        second.pop()
    return len(first), len(second), first is second
