# How many pieces of litter is the detector at least 80 percent sure of?
import hermod


async def execute_command(image):
    result = await hermod.call("yolov8", image=image, classes=["litter"])
    return len([found for found in result["objects"] if found["score"] >= 0.8])
