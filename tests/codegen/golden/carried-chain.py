# Each question holds the answer before it: only what it does not hold can start early.
def execute_command(image):
    image_patch = ImagePatch(image)
    story = "It begins."
    for patch in image_patch.find("person"):
        doing = patch.simple_query("What is this person doing?")
        story = llm_query(f"Continue the story. {story} Then a person is {doing}.")
    return story
