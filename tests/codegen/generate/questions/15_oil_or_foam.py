# Is the patch on the water oil or foam?
def execute_command(image):
    image_patch = ImagePatch(image)
    patches = image_patch.find("patch on the water")
    if not patches:
        return "No patch on the water found."
    first = patches[0].simple_query("Is this oil or foam?")
    second = patches[0].best_text_match(["oil", "foam"])
    if first.strip().lower() == second:
        return second
    return process_guesses("Is the patch on the water oil or foam?", first, second)
