# What are the colors of the cars on the ferry, and is any of them damaged?
import hermod


async def execute_command(image):
    patch = ImagePatch(image)
    ferries = await hermod.call("glip", image=patch, object_name="ferry")
    if not ferries:
        return "No ferry found."
    box = ferries[0]
    top = patch.height - box["y"]
    ferry = patch.crop(box["x"], top - box["height"], box["x"] + box["width"], top)
    answers = []
    for car in ferry.find("car"):
        color = await hermod.call("blip", image=car, question="What color is this car?")
        match = await hermod.call("xvlm", image=car, object_name="car", property="damaged")
        answers.append({"color": color["answer"], "damaged": match["result"]})
    return answers
