# A loop whose end hangs on an answer.
def execute_command(image):
    image_patch = ImagePatch(image)
    waiting = image_patch.find("litter")
    taken = []
    while waiting and len(taken) < 3:
        patch = waiting.pop(0)
        if patch.compute_depth() < 5:
            taken.append(patch.simple_query("What is this?"))
    return taken
