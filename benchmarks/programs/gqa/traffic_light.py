# May the cars go?
def execute_command(image):
    image_patch = ImagePatch(image)
    lights = image_patch.find("traffic light")
    cars = image_patch.find("car")
    states = [light.simple_query("What color is the traffic light?") for light in lights]
    if "green" in states:
        return "yes"
    waiting = [car for car in cars if not car.verify_property("car", "moving")]
    return "no" if len(waiting) == len(cars) else "some go"
