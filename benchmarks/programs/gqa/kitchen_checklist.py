# Is there a stove, a fridge and a sink?
def execute_command(image):
    image_patch = ImagePatch(image)
    has_stove = image_patch.exists("stove")
    has_fridge = image_patch.exists("refrigerator")
    has_sink = image_patch.exists("sink")
    return bool_to_yesno(has_stove and has_fridge and has_sink)
