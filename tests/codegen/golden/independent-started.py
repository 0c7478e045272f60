# The author has started two calls by hand; the third could start with them.
import hermod


async def execute_query(image):
    distance_job = hermod.call("depth", image=image)
    what_job = hermod.call("blip2", image=image, query="What is this?")
    what = (await what_job)["output"]
    material = (await hermod.call("blip2", image=image, query="What material is this made of?"))["output"]
    return f"{what} of {material}, {(await distance_job)['depth']} m away"
