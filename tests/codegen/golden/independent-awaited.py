# Already asynchronous, as DiCE-C's prompt asks for it, and still one question after the other.
import hermod


async def execute_query(image):
    weather = await hermod.call("blip2", image=image, query="What is the weather like?")
    boats = await hermod.call("yolov8", image=image, classes=["boat"])
    advice = await hermod.call("llm", prompt=f"May a small boat go out? The weather: {weather['output']}")
    buoys = await hermod.call("glip", image=image, object_name="red buoy")
    return [advice["output"], len(boats["objects"]), len(buoys)]
