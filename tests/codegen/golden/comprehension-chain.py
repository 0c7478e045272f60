# A filter, an order and a question for each that is left: they go from boat to boat, and nobody waits for all.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = [boat for boat in image_patch.find("boat") if boat.verify_property("boat", "red")]
    if len(boats) == 0:
        return "no red boat"
    boats.sort(key=lambda boat: boat.compute_depth())
    report = []
    for place, boat in enumerate(boats):
        if boat.compute_depth() < 50:
            name = boat.simple_query("What is the name of this boat?")
            report.append((place, name))
    return report
