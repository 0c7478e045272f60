# Which food is on the plate, and is it healthy?
def execute_command(image):
    image_patch = ImagePatch(image)
    foods = [food.simple_query("What food is this?") for food in image_patch.find("food")]
    answers = [llm_query(f"Is {food} healthy? Answer yes or no.") for food in foods]
    return {food: answer for food, answer in zip(foods, answers)}
