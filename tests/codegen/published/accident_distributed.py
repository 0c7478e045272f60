# ruff: noqa
# fmt: off
#
# The distributed accident program that a language model made of it, as published with DiCE-C (CLOUD COMPUTING 2025,
# figure 6), the signs that the scan lost put back; only these comments are ours.  Its defects: where a call fails, it
# answers with the error's text instead of failing, and it prints nothing before the last car is known.
import asyncio
import hermod
from PIL import Image
async def get_car_details(car_patch, index):
    try:
        tasks = [
            hermod.call("blip", image=car_patch, question="What is the color of the car?"),
            hermod.call("blip", image=car_patch, question="What is the model of the car?"),
            hermod.call("xvlm", image=car_patch, object_name="car", property="damaged"),
            hermod.call("xvlm", image=car_patch, object_name="car", property="overturned")
        ]
        # Execute all tasks for the car patch in parallel
        car_color, car_model, car_damaged, car_overturned = await asyncio.gather(*tasks)
        # Compile the information
        car_info = f"Car {index + 1}: Color - {car_color.get('answer', 'Unknown')}, " \
                   f"Model - {car_model.get('answer', 'Unknown')}, " \
                   f"Damaged - {car_damaged.get('result', False)}, " \
                   f"Overturned - {car_overturned.get('result', False)}"
        return car_info
    except Exception as e:
        return f"Car {index + 1}: Error occurred - {str(e)}"
async def execute_query(image_filename):
    try:
        image = Image.open(image_filename)
        # Detecting cars in the image
        cars = await hermod.call("glip", image=image, object_name="car")
        if not cars:
            print("No cars detected in the image.")
            return
        car_tasks = []
        for i, car in enumerate(cars):
            # Crop the image to the bounding box of each detected car
            car_patch = image.crop((car["x"], car["y"],
                                    car["x"] + car["width"],
                                    car["y"] + car["height"]))
            # Collect car detail tasks
            car_tasks.append(get_car_details(car_patch, i))
        # Run all car detail tasks in parallel
        car_info_list = await asyncio.gather(*car_tasks)
        for car_info in car_info_list:
            print(car_info)
    except Exception as e:
        print(f"Failed to execute query on the image: {str(e)}")
image_filename = "accident_scene.jpg"
asyncio.run(execute_query(image_filename))
