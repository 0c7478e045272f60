# For the log: one line for each thing within twenty metres.
def execute_command(image):
    image_patch = ImagePatch(image)
    for name in ["litter", "buoy", "boat"]:
        for patch in image_patch.find(name):
            distance = patch.compute_depth()
            if distance > 20:
                continue
            what = patch.simple_query("What is this?")
            print(f"{name}: {what}, {distance:.1f} m")
    return "done"
