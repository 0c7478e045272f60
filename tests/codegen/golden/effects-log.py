# Impure calls: in their order, each only when all before it has succeeded.
import hermod


async def execute_query(image):
    await hermod.call("log_event", text="watch begins")
    boats = await hermod.call("glip", image=image, object_name="boat")
    for box in boats:
        crop = image.crop((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]))
        name = await hermod.call("blip2", image=crop, query="What name stands on the hull?")
        await hermod.call("log_event", text=f"seen: {name['output']}")
    number = (await hermod.call("counter"))["n"]
    sea = await hermod.call("blip2", image=image, query="How rough is the sea?")
    return number, sea["output"]
