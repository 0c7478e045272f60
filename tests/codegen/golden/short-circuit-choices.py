# ViperGPT's other questions: options, the best of a list, a process of guesses.
def execute_command(image):
    image_patch = ImagePatch(image)
    vehicles = image_patch.find("boat")
    if not vehicles:
        return "no boat"
    best = best_image_match(vehicles, ["red boat", "fishing boat"])
    kind = best.best_text_match(["ferry", "fishing boat", "sailing boat"])
    sea = image_patch.best_text_match(["calm sea", "rough sea"])
    people = len(best.find("person")) if kind != "ferry" else coerce_to_numeric(best.simple_query("How many?"))
    return kind, sea, people
