# After an accident: for each car its state, its colour, whether people are near, whether it burns.
def execute_command(image):
    image_patch = ImagePatch(image)
    reports = []
    for car in image_patch.find("car"):
        damaged = car.verify_property("car", "damaged")
        color = car.simple_query("What color is the car?")
        people = car.exists("person")
        fire = car.simple_query("Is there smoke or fire?")
        reports.append({"damaged": damaged, "color": color, "people": people, "fire": fire})
    return reports
