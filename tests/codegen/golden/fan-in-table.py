# A dict store, and a list in a dict.
import hermod


async def execute_query(image):
    by_material = {}
    for box in await hermod.call("glip", image=image, object_name="litter"):
        crop = image.crop((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]))
        material = await hermod.call("blip2", image=crop, query="What material is this made of?")
        metres = await hermod.call("depth", image=crop)
        by_material.setdefault(material["output"], []).append(metres["depth"])
        by_material["last"] = metres["depth"]
    return by_material
