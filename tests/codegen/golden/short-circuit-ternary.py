# A ternary and a chained comparison: the last operand is asked for only if the first pair holds.
def execute_command(image):
    image_patch = ImagePatch(image)
    patches = image_patch.find("buoy")
    name = patches[0].simple_query("What number is on this buoy?") if patches else "none"
    if len(patches) < 2:
        return name
    between = 1 < patches[0].compute_depth() < patches[1].compute_depth()
    return name, between
