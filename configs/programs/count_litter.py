# dicem: name=count-litter
#
# How many pieces of litter are in sight, and of which kinds?
def execute_command(image):
    patch = ImagePatch(image)
    counts = {}
    for kind in ["plastic bottle", "plastic bag", "metal can", "glass bottle", "styrofoam", "wood", "tyre"]:
        found = patch.find(kind)
        if found:
            counts[kind] = len(found)
    if not counts:
        return "nothing in sight"
    return counts
