# A nested function that reads a variable of its surroundings, when it is called.
def execute_command(image):
    image_patch = ImagePatch(image)
    limit = 3

    def near(patch):
        return patch.compute_depth() < limit

    limit = 5
    boats = image_patch.find("boat")
    chosen = [boat for boat in boats if near(boat)]
    return [boat.simple_query("What is the name of this boat?") for boat in chosen]
