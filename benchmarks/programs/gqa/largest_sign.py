# What does the largest sign say?
def execute_command(image):
    image_patch = ImagePatch(image)
    signs = image_patch.find("sign")
    if len(signs) == 0:
        return "no sign"
    largest = max(signs, key=lambda sign: sign.width * sign.height)
    return largest.simple_query("What does the sign say?")
