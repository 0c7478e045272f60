# Buoys from near to far, with their colours, for the harbour's list.
def execute_command(image):
    image_patch = ImagePatch(image)
    rows = []
    for buoy in sorted(image_patch.find("buoy"), key=lambda b: b.compute_depth()):
        color = buoy.simple_query("What color is the buoy?")
        rows.append(f"{buoy.compute_depth():.0f} m: {color}")
    return "; ".join(rows)
