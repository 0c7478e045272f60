# Two chains of questions, written alternately: each goes at its own pace.
def execute_command(image):
    image_patch = ImagePatch(image)
    ship = image_patch.simple_query("What kind of ship is this?")
    flag = image_patch.simple_query("What flag does it fly?")
    draught = llm_query(f"How deep is a {ship} in the water?")
    country = llm_query(f"Which country has the flag {flag}?")
    rule = llm_query(f"May a ship with a draught of {draught} enter a canal?")
    port = llm_query(f"What is the largest port of {country}?")
    return rule, port
