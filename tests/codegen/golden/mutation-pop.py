# The list is changed between the filter and the questions: they wait for it.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = [boat for boat in image_patch.find("boat") if boat.compute_depth() < 50]
    if len(boats) > 1:
        boats.pop()
    return [boat.simple_query("What is the name of this boat?") for boat in boats]
