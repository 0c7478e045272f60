# Describe each vehicle.
def execute_command(image):
    image_patch = ImagePatch(image)
    info = {}
    for index, vehicle in enumerate(image_patch.find("vehicle")):
        kind = vehicle.simple_query("What kind of vehicle is this?")
        color = vehicle.simple_query("What color is it?")
        moving = vehicle.verify_property("vehicle", "moving")
        info[f"vehicle {index}"] = f"{color} {kind}, {'moving' if moving else 'parked'}"
    return info
