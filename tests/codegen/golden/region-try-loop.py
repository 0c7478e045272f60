# Each element has a handler of its own; inside the region calls overlap.
import hermod


async def execute_query(image):
    lines = []
    for box in await hermod.call("glip", image=image, object_name="boat"):
        crop = image.crop((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]))
        try:
            name = (await hermod.call("blip2", image=crop, query="What name stands on the hull?"))["output"]
            metres = (await hermod.call("depth", image=crop))["depth"]
            lines.append(f"{name}: {metres:.1f} m")
        except (RuntimeError, TimeoutError) as error:
            lines.append(f"not known: {type(error).__name__}")
        finally:
            print(len(lines))
    return lines
