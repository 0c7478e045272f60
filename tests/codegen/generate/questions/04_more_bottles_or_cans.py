# Are there more plastic bottles or more metal cans?
def execute_command(image):
    image_patch = ImagePatch(image)
    bottles = len(image_patch.find("plastic bottle"))
    cans = len(image_patch.find("metal can"))
    if bottles == cans:
        return f"As many of both: {bottles}."
    if bottles > cans:
        return f"More plastic bottles: {bottles} against {cans} metal cans."
    return f"More metal cans: {cans} against {bottles} plastic bottles."
