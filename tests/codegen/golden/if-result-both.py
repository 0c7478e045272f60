# What both arms ask is asked before it is known which one is taken.
def execute_command(image):
    image_patch = ImagePatch(image)
    if image_patch.simple_query("Is it day or night?") == "night":
        boats = image_patch.find("boat")
        lit = [boat.verify_property("boat", "lit") for boat in boats]
        return f"{sum(lit)} of {len(lit)} boats are lit"
    else:
        boats = image_patch.find("boat")
        names = [boat.simple_query("What is the name of this boat?") for boat in boats]
        return f"{len(names)} boats: {names}"
