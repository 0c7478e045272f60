# How much further away is the farthest buoy than the nearest one, in metres?
def execute_command(image):
    image_patch = ImagePatch(image)
    distances = [buoy.compute_depth() for buoy in image_patch.find("buoy")]
    if len(distances) < 2:
        return "Fewer than two buoys are in view."
    return round(max(distances) - min(distances), 1)
