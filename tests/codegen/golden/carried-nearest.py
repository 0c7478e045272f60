# The best so far: the questions side by side, the choice one after the other.
def execute_command(image):
    image_patch = ImagePatch(image)
    nearest, nearest_depth = None, float("inf")
    for patch in image_patch.find("litter"):
        depth = patch.compute_depth()
        if depth < nearest_depth:
            nearest, nearest_depth = patch, depth
    if nearest is None:
        return "No litter"
    return f"{nearest.simple_query('What is this?')} at {nearest_depth} m"
