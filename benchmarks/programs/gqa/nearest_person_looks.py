# Is the person nearest to the camera looking at the camera?
def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    if not people:
        return "no"
    nearest = min(people, key=lambda person: person.compute_depth())
    return bool_to_yesno(nearest.verify_property("person", "looking at the camera"))
