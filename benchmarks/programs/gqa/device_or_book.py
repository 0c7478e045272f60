# Is the thing on the desk a device or a book?
def execute_command(image):
    image_patch = ImagePatch(image)
    desk_patches = image_patch.find("desk")
    scene = desk_patches[0] if desk_patches else image_patch
    kind = scene.best_text_match(["device", "book"])
    guess = scene.simple_query("Is it a device or a book?")
    return process_guesses("Is the thing on the desk a device or a book?", kind, guess)
