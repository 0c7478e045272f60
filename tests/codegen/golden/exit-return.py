# Nobody is asked after the first that decides.
def execute_command(image):
    image_patch = ImagePatch(image)
    for patch in image_patch.find("boat"):
        if patch.verify_property("boat", "sinking"):
            return f"A boat is sinking: {patch.simple_query('What is the name of this boat?')}"
    return "All is well"
