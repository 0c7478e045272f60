# What is the name written on the nearest boat?
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    if not boats:
        return "No boat found."
    nearest = min(boats, key=lambda boat: boat.compute_depth())
    if not nearest.exists("name"):
        return "No name can be seen on the nearest boat."
    return nearest.simple_query("What is the name written on this boat?")
