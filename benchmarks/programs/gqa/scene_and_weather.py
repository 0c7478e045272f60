# Where is it, how is the weather, and what should one wear?
def execute_command(image):
    image_patch = ImagePatch(image)
    place = image_patch.simple_query("Where was this picture taken?")
    weather = image_patch.simple_query("How is the weather?")
    season = image_patch.best_text_match(["spring", "summer", "autumn", "winter"])
    return llm_query(f"What should one wear at {place} when it is {weather} in {season}?")
