# Two questions hang on the answer to one; a slow one beside them holds nobody up.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    people = image_patch.find("person")
    crew = []
    for person in people:
        if person.exists("life jacket"):
            crew.append(person.simple_query("What is this person doing?"))
    distances = [boat.compute_depth() for boat in boats]
    return crew, distances
