# An early return, but none in a loop: what comes after waits for the guard alone.
def execute_command(image):
    image_patch = ImagePatch(image)
    if not image_patch.exists("boat"):
        return "no boat"
    boat = image_patch.find("boat")[0]
    name = boat.simple_query("What is the name of this boat?")
    people = boat.find("person")
    if len(people) > 4:
        return f"{name} is full"
    return f"{name}: {len(people)} aboard, {boat.compute_depth()} m away"
