# How many of the fruits are ripe?
def execute_command(image):
    image_patch = ImagePatch(image)
    ripe = 0
    for name in ["apple", "banana", "orange"]:
        for fruit in image_patch.find(name):
            if fruit.verify_property(name, "ripe"):
                ripe += 1
    return str(ripe)
