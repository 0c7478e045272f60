# What piece of furniture is to the left of the lamp that is on?
def execute_command(image):
    image_patch = ImagePatch(image)
    lamps = [lamp for lamp in image_patch.find("lamp") if lamp.verify_property("lamp", "on")]
    if not lamps:
        return image_patch.simple_query("What piece of furniture is next to the lamp?")
    lamp = lamps[0]
    if lamp.left < 2:
        return "none"
    left = image_patch.crop(0, image_patch.lower, lamp.left, image_patch.upper)
    return left.simple_query("What piece of furniture is this?")
