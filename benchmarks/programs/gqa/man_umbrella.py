# Is the man with the umbrella wearing a hat or glasses?
def execute_command(image):
    image_patch = ImagePatch(image)
    man_patches = image_patch.find("man")
    with_umbrella = [man for man in man_patches if man.exists("umbrella")]
    if with_umbrella:
        man = with_umbrella[0]
    elif man_patches:
        man = man_patches[0]
    else:
        return image_patch.simple_query("Is the man wearing a hat or glasses?")
    return man.best_text_match(["wearing a hat", "wearing glasses"])
