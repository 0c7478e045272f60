# Three questions about the frame; none needs another's answer.
def execute_command(image):
    image_patch = ImagePatch(image)
    weather = image_patch.simple_query("What is the weather like?")
    sea = image_patch.simple_query("How rough is the sea?")
    boats = image_patch.find("boat")
    return f"{weather}, the sea is {sea}, {len(boats)} boats in sight"
