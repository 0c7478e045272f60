# Who holds what?
def describe(person):
    holding = person.simple_query("What is the person holding?")
    wearing = person.simple_query("What is the person wearing?")
    return f"holding {holding}, wearing {wearing}"


def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    return [describe(person) for person in people]
