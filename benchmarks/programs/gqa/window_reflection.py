# What is seen through the open window?
def execute_command(image):
    image_patch = ImagePatch(image)
    windows = image_patch.find("window")
    open_window = None
    for window in windows:
        if window.verify_property("window", "open"):
            open_window = window
            break
    if open_window is None:
        return "nothing"
    answer = open_window.simple_query("What is seen through the window?")
    return process_guesses("What is seen through the open window?", answer, open_window.simple_query("What is outside?"))
