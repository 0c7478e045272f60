# The arm that is not taken asks nothing; what follows does not wait.
def execute_command(image):
    image_patch = ImagePatch(image)
    kind = image_patch.simple_query("What kind of water is this?")
    if kind == "sea":
        depth_text = image_patch.simple_query("How high are the waves?")
    elif kind == "river":
        depth_text = image_patch.simple_query("How fast is the stream?")
    else:
        depth_text = "unknown"
    birds = image_patch.find("bird")
    return f"{kind}, {depth_text}, {len(birds)} birds"
