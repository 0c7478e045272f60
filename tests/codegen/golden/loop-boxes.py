# DiCE-C: boxes, crops, and calls by name.
import hermod


async def execute_query(image):
    found = await hermod.call("yolov8", image=image, classes=["boat"])
    for box in found["objects"]:
        crop = image.crop((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]))
        name = await hermod.call("blip2", image=crop, query="What name stands on the hull?")
        metres = await hermod.call("depth", image=crop)
        print(box["class"], name["output"], metres["depth"])
