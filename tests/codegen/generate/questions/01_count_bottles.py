# How many plastic bottles are floating in view?
def execute_command(image):
    image_patch = ImagePatch(image)
    return len(image_patch.find("plastic bottle"))
