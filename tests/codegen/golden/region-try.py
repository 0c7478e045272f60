# A handler sees the first failure in the order of the program.
def execute_command(image):
    image_patch = ImagePatch(image)
    try:
        number = int(image_patch.simple_query("How many boats are there? A number."))
        colour = image_patch.simple_query("What color is the nearest boat?")
    except ValueError:
        number = len(image_patch.find("boat"))
        colour = "unknown"
    sea = image_patch.simple_query("How rough is the sea?")
    return number, colour, sea
