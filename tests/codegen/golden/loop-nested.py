# A loop in a loop: what the inner one walks comes from a question of the outer one.
def execute_command(image):
    image_patch = ImagePatch(image)
    lines = []
    for boat in image_patch.find("boat"):
        for person in boat.find("person"):
            jacket = person.exists("life jacket")
            lines.append(f"{person.simple_query('Who is this?')}: {bool_to_yesno(jacket)}")
    return lines
