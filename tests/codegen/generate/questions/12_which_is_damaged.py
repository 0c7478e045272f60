# Which of the boats looks most damaged, and how far away is it?
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    if not boats:
        return "No boat found."
    worst = best_image_match(boats, ["damaged boat"])
    return {"color": worst.simple_query("What color is this boat?"), "distance_m": worst.compute_depth()}
