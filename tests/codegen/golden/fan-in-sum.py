# `+=` of numbers and of text: the order of floats counts.
def execute_command(image):
    image_patch = ImagePatch(image)
    total = 0.0
    text = ""
    for patch in image_patch.find("litter"):
        total += patch.compute_depth()
        text += patch.simple_query("What is this?") + "; "
    return round(total, 6), text
