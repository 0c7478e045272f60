# `sort` in place by a named function.
def distance_of(patch):
    return patch.compute_depth()


def execute_command(image):
    image_patch = ImagePatch(image)
    buoys = image_patch.find("buoy")
    buoys.sort(key=distance_of)
    farthest = max(buoys, key=distance_of, default=None)
    if farthest is None:
        return "no buoy"
    return [buoy.simple_query("What color is this buoy?") for buoy in buoys], farthest is buoys[-1]
