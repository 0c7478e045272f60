# Questions in the order of a set: which one is first is not specified.
def execute_command(image):
    image_patch = ImagePatch(image)
    count = 0
    for thing in {"boat", "buoy", "person"}:
        count += len(image_patch.find(thing))
    return count
