# Is anything in the water ahead a danger for swimmers?
def execute_command(image):
    image_patch = ImagePatch(image)
    things = image_patch.find("floating object")
    dangers = []
    for thing in things:
        name = thing.simple_query("What is this?")
        answer = llm_query(f"Is a {name} in the water a danger for swimmers? Answer yes or no.", long_answer=False)
        if "yes" in answer.lower():
            dangers.append(name)
    if not dangers:
        return "Nothing dangerous found."
    return "Yes: " + ", ".join(dangers)
