# What is asked of every buoy hangs on no order, so it does not wait for the sort.
def execute_command(image):
    image_patch = ImagePatch(image)
    rows = []
    for buoy in sorted(image_patch.find("buoy"), key=lambda b: b.compute_depth()):
        rows.append(f"{buoy.compute_depth():.0f} m: {buoy.simple_query('What color is the buoy?')}")
    return "; ".join(rows)
