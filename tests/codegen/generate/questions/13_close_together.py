# Are any two boats less than ten metres apart in distance from us?
def execute_command(image):
    image_patch = ImagePatch(image)
    distances = sorted(boat.compute_depth() for boat in image_patch.find("boat"))
    for i in range(len(distances) - 1):
        if distances[i + 1] - distances[i] < 10:
            return "yes"
    return "no"
