# Is the film on the water oil or algae?
def execute_command(image):
    image_patch = ImagePatch(image)
    films = image_patch.find("film on the water")
    votes = []
    for film in films:
        votes.append(film.best_text_match(["oil", "algae", "foam"]))
    seen = image_patch.simple_query("Is there oil on the water?")
    shine = image_patch.verify_property("water", "shining in colors")
    oil = votes.count("oil") + (1 if seen == "yes" else 0) + (1 if shine else 0)
    return "oil" if oil > len(votes) // 2 else "algae"
