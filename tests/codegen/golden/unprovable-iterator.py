# An iterator that is walked by hand.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = iter(image_patch.find("boat"))
    first = next(boats, None)
    if first is None:
        return "no boat"
    name = first.simple_query("What is the name of this boat?")
    rest = [boat.compute_depth() for boat in boats]
    return name, rest
