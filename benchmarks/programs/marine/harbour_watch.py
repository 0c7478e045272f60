# Boats that come closer than they should, and whether anyone is on them.
LIMIT = 10


def crew(boat):
    people = boat.find("person")
    return len([p for p in people if p.verify_property("person", "on board")])


def execute_command(image):
    image_patch = ImagePatch(image)
    near = []
    for boat in image_patch.find("boat"):
        if boat.compute_depth() < LIMIT:
            near.append(boat)
    if not near:
        return "all clear"
    return {boat.simple_query("What kind of boat is this?"): crew(boat) for boat in near}
