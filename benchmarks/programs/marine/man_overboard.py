# Is anyone in the water?  The nearest first; say so at once.
def execute_command(image):
    image_patch = ImagePatch(image)
    people = image_patch.find("person")
    in_water = [person for person in people if person.verify_property("person", "in the water")]
    print(f"{len(in_water)} of {len(people)} are in the water")
    if not in_water:
        return None
    nearest = min(in_water, key=lambda person: person.compute_depth())
    return {"distance": nearest.compute_depth(), "moving": nearest.verify_property("person", "moving")}
