# Two answers in one key, and the other way round.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    boats = sorted(boats, key=lambda b: (b.simple_query("What color is this boat?"), -b.compute_depth()), reverse=True)
    return [boat.horizontal_center for boat in boats[:2]]
