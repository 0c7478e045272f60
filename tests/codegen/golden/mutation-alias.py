# Two names for one list.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    interesting = boats
    interesting.extend(image_patch.find("ship"))
    names = [patch.simple_query("What is the name of this boat?") for patch in boats]
    return len(interesting), names
