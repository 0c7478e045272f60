# dicem: name=accident
#
# The color and model of every car in an accident, and whether it is damaged or overturned: the serial program as
# published with DiCE-C (CLOUD COMPUTING 2025, figure 2), statement for statement; only these comments are ours. It asks
# all its questions one after the other; the compiler makes one wave of them.
import asyncio
import hermod
from PIL import Image
async def execute_query(image_filename):
    image = Image.open(image_filename)
    # Detecting cars in the image
    cars = await hermod.call("glip", image=image, object_name="car")
    if not cars:
        print("No cars detected in the image.")
        return
    for i, car in enumerate(cars):
        # Crop the image to the bounding box of each detected car
        car_patch = image.crop((car["x"], car["y"],
                                car["x"] + car["width"],
                                car["y"] + car["height"]))
        # Query for the color of the car
        car_color = await hermod.call("blip", image=car_patch, question="What is the color of the car?")
        # Query for the model of the car
        car_model = await hermod.call("blip", image=car_patch, question="What is the model of the car?")
        # Check if the car is damaged
        car_damaged = await hermod.call("xvlm", image=car_patch, object_name="car", property="damaged")
        # Check if the car is overturned
        car_overturned = await hermod.call("xvlm", image=car_patch, object_name="car", property="overturned")
        # Compile the information
        car_info = f"Car {i+1}: Color - {car_color.get('answer', 'Unknown')}, " \
                   f"Model - {car_model.get('answer', 'Unknown')}, " \
                   f"Damaged - {car_damaged.get('result', False)}, " \
                   f"Overturned - {car_overturned.get('result', False)}"
        print(car_info)
image_filename = "accident_scene.jpg"
asyncio.run(execute_query(image_filename))
