# What is printed before an exception stays printed.
def execute_command(image):
    image_patch = ImagePatch(image)
    print("looking")
    weather = image_patch.simple_query("What is the weather like?")
    print("weather:", weather)
    boats = image_patch.find("boat")
    print("boats:", len(boats))
    return boats[0].simple_query("What is the name of this boat?")
