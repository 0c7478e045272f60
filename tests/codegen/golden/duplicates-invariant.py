# A question that the loop asks again and again; without a patch it is not asked at all.
def execute_command(image):
    image_patch = ImagePatch(image)
    lines = []
    for patch in image_patch.find("boat"):
        light = image_patch.simple_query("Is it day or night?")
        lines.append((light, patch.simple_query("What is the name of this boat?")))
    return lines
