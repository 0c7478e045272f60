# The author gathers: of several that fail, the first as they stand is raised, whichever fails first.
import asyncio
import hermod


async def ask(image, query):
    return (await hermod.call("blip2", image=image, query=query))["output"]


async def execute_query(image):
    return await asyncio.gather(ask(image, "x"), ask(image, "y"), hermod.call("depth", image=image))
