# Which person wears a red shirt, the one on the left or the one on the right?
def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    if len(people) < 2:
        return image_patch.simple_query("Who wears a red shirt?")
    people = sorted(people, key=lambda person: person.horizontal_center)
    left, right = people[0], people[-1]
    if left.verify_property("shirt", "red"):
        return "left"
    if right.verify_property("shirt", "red"):
        return "right"
    return "neither"
