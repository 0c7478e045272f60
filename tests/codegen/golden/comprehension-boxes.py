# DiCE-C: a comprehension with `await` in it.
import hermod


async def execute_query(image):
    found = await hermod.call("yolov8", image=image)
    crops = [image.crop((b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"])) for b in found["objects"]]
    depths = [(await hermod.call("depth", image=crop))["depth"] for crop in crops]
    names = [
        (await hermod.call("blip2", image=crop, query="What is this?"))["output"]
        for crop, depth in zip(crops, depths)
        if depth < 5
    ]
    return min(depths, default=None), names
