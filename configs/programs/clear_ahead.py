# dicem: name=clear-ahead
#
# Is the way ahead clear for twenty metres?
def execute_command(image):
    patch = ImagePatch(image)
    third = patch.width / 3
    for thing in patch.find("litter"):
        if third < thing.horizontal_center < 2 * third:
            distance_m = thing.compute_depth()
            if distance_m < 20:
                return f"no: something floats {distance_m:.1f} m ahead"
    return "yes"
