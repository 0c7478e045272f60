# Late binding: all lambdas ask about the last patch; the default keeps its own.
def execute_command(image):
    image_patch = ImagePatch(image)
    late, kept = [], []
    for patch in image_patch.find("boat"):
        late.append(lambda: patch.simple_query("What is the name of this boat?"))
        kept.append(lambda boat=patch: boat.simple_query("What is the name of this boat?"))
    return [ask() for ask in late], [ask() for ask in kept]
