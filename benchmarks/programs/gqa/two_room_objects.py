# Is the vase taller than the clock, and what are they made of?
def execute_command(image):
    image_patch = ImagePatch(image)
    found = {}
    for name in ("vase", "clock"):
        patches = image_patch.find(name)
        if patches:
            found[name] = patches[0]
    if "vase" in found and "clock" in found:
        taller = found["vase"].height > found["clock"].height
        materials = [patch.simple_query("What is it made of?") for patch in found.values()]
        return f"{bool_to_yesno(taller)}, {materials[0]} and {materials[1]}"
    return "no"
