# Which functions are called is known at run time only.
def by_depth(patch):
    return patch.compute_depth()


def by_name(patch):
    return patch.simple_query("What is this?")


def execute_command(image):
    image_patch = ImagePatch(image)
    questions = {"near": by_depth, "named": by_name}
    wanted = image_patch.simple_query("Which is asked for, near or named?")
    ask = questions["near" if wanted == "near" else "named"]
    fallback = questions["named"](image_patch)
    return fallback, [ask(patch) for patch in image_patch.find("boat")]
