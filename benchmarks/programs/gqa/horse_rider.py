# Is anyone riding the brown horse?
def execute_command(image):
    image_patch = ImagePatch(image)
    brown = [horse for horse in image_patch.find("horse") if horse.verify_property("horse", "brown")]
    for horse in brown:
        if horse.exists("person"):
            return "yes"
    return "no"
