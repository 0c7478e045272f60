# What is afloat, by kind, and how much of it is plastic.
def execute_command(image):
    image_patch = ImagePatch(image)
    counts = {}
    plastic = 0
    for patch in image_patch.find("litter"):
        kind = patch.simple_query("What is this?")
        counts[kind] = counts.get(kind, 0) + 1
        if patch.verify_property("litter", "made of plastic"):
            plastic += 1
    return f"{counts}, plastic: {plastic}"
