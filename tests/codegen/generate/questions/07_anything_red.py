# Is there a red buoy in view?
def execute_command(image):
    image_patch = ImagePatch(image)
    for buoy in image_patch.find("buoy"):
        if buoy.verify_property("buoy", "red"):
            return True
    return False
