# The first that fits, with a default; and `all`.
def execute_command(image):
    image_patch = ImagePatch(image)
    buoys = image_patch.find("buoy")
    red = next((b for b in buoys if b.simple_query("What color is this buoy?") == "red"), None)
    upright = all(b.verify_property("buoy", "upright") for b in buoys)
    return red is not None, upright
