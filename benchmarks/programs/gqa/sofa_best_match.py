# Which of the sofas looks most comfortable?
def execute_command(image):
    image_patch = ImagePatch(image)
    sofas = image_patch.find("sofa")
    best = best_image_match(sofas, ["a comfortable sofa", "a soft sofa"])
    if best is None:
        return "no sofa"
    return best.simple_query("What color is the sofa?")
