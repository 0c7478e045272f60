# How many people on deck are not wearing a life jacket?
def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    without = [person for person in people if not person.verify_property("person", "wearing a life jacket")]
    return len(without)
