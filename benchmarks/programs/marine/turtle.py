# Is the turtle caught in something?
def execute_command(image):
    image_patch = ImagePatch(image)
    turtles = image_patch.find("turtle")
    for turtle in turtles:
        caught = turtle.verify_property("turtle", "caught in a net")
        line = turtle.exists("rope")
        if caught or line:
            what = turtle.simple_query("What is the turtle caught in?")
            return f"caught in {what} at {turtle.compute_depth()} m"
    return "free" if turtles else "no turtle"
