# Which animal is it, and what does it eat?
def execute_command(image):
    image_patch = ImagePatch(image)
    animal_patches = image_patch.find("animal")
    animal = animal_patches[0].simple_query("What animal is this?") if animal_patches else "none"
    if animal == "none":
        return "no animal"
    food = llm_query(f"What does a {animal} eat?")
    there = image_patch.exists(food) if food else False
    return f"{animal} eats {food}, seen: {bool_to_yesno(there)}"
