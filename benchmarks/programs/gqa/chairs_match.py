# Do all chairs have the same color?
def execute_command(image):
    image_patch = ImagePatch(image)
    colors = [chair.simple_query("What color is the chair?") for chair in image_patch.find("chair")]
    return bool_to_yesno(len(set(colors)) <= 1)
