# A dict comprehension, a nested list, and a sum over a generator.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    names = {i: boat.simple_query("What name stands on the hull?") for i, boat in enumerate(boats)}
    crew = [person.simple_query("What is this person doing?") for boat in boats for person in boat.find("person")]
    metres = sum(boat.compute_depth() for boat in boats)
    return names, crew, round(metres, 6)
