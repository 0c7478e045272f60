# Is the cup on the plate full, and what is in it?
def execute_command(image):
    image_patch = ImagePatch(image)
    plates = image_patch.find("plate")
    cups = image_patch.find("cup")
    for cup in cups:
        for plate in plates:
            if plate.overlaps_with(cup.left, cup.lower, cup.right, cup.upper):
                full = cup.verify_property("cup", "full")
                content = cup.simple_query("What is in the cup?")
                return f"{bool_to_yesno(full)}, {content}"
    return "no"
