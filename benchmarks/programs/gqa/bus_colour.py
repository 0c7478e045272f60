# What colour is the bus that is nearest?
def execute_command(image):
    image_patch = ImagePatch(image)
    bus_patches = image_patch.find("bus")
    if not bus_patches:
        return image_patch.simple_query("What color is the bus?")
    bus_patches.sort(key=lambda bus: bus.compute_depth())
    return bus_patches[0].simple_query("What color is this?")
