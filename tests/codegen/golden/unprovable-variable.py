# Which function is called is known at run time only.
def by_depth(patch):
    return patch.compute_depth()


def by_name(patch):
    return patch.simple_query("What is this?")


def execute_command(image):
    image_patch = ImagePatch(image)
    ask = by_depth if image_patch.exists("litter") else by_name
    return [ask(patch) for patch in image_patch.find("boat")]
