# Are there more dogs than people on the grass?
def execute_command(image):
    image_patch = ImagePatch(image)
    dogs = image_patch.find("dog")
    people = image_patch.find("person")
    dogs_on_grass = [dog for dog in dogs if dog.verify_property("dog", "on the grass")]
    people_on_grass = [person for person in people if person.verify_property("person", "on the grass")]
    return bool_to_yesno(len(dogs_on_grass) > len(people_on_grass))
