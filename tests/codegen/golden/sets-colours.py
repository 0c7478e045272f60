# A set of answers: its order is nobody's.
def execute_command(image):
    image_patch = ImagePatch(image)
    colours = {boat.simple_query("What color is this boat?") for boat in image_patch.find("boat")}
    letters = 0
    for colour in colours:
        letters += len(colour)
    meanings = [llm_query(f"What does the color {colour} mean at sea?") for colour in sorted(colours)]
    return sorted(colours), letters, meanings
