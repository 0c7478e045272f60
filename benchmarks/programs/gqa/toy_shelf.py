# Are there toys on every shelf?
def execute_command(image):
    image_patch = ImagePatch(image)
    shelves = image_patch.find("shelf")
    return bool_to_yesno(all(shelf.exists("toy") for shelf in shelves))
