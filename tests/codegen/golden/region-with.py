# A context manager of the program's own.
class Section:
    def __init__(self, title):
        self.title = title

    def __enter__(self):
        print("begin", self.title)
        return self

    def __exit__(self, kind, error, where):
        print("end", self.title)
        return False


def execute_command(image):
    image_patch = ImagePatch(image)
    with Section("boats"):
        boats = image_patch.find("boat")
        print(len(boats))
        sea = image_patch.simple_query("How rough is the sea?")
    return sea, [boat.compute_depth() for boat in boats]
