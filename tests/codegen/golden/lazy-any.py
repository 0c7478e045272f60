# Nobody is asked after the first yes.
def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    swimming = any(person.verify_property("person", "swimming") for person in people)
    return bool_to_yesno(swimming)
