# One strand a patch; the loop variable is used after the loop.
def execute_command(image):
    image_patch = ImagePatch(image)
    buoy_patches = image_patch.find("buoy")
    for i, buoy in enumerate(buoy_patches):
        colour = buoy.simple_query("What color is this buoy?")
        damaged = buoy.verify_property("buoy", "damaged")
        print(f"buoy {i + 1}: {colour}, damaged: {bool_to_yesno(damaged)}")
    if not buoy_patches:
        return "no buoy"
    return f"{i + 1} buoys, the last at {buoy.horizontal_center}"
