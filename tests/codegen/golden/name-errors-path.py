# A name that is missing on one path: the error comes where it came, after the same questions.
def execute_command(image):
    image_patch = ImagePatch(image)
    if image_patch.exists("boat"):
        boat = image_patch.find("boat")[0]
    weather = image_patch.simple_query("What is the weather like?")
    print(weather)
    return boat.simple_query("What is the name of this boat?")
