# Is the nearest boat a sailing boat or a motor boat?
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    if not boats:
        return "No boat found."
    boats.sort(key=lambda boat: boat.compute_depth())
    return boats[0].best_text_match(["sailing boat", "motor boat"])
