# A lazy generator that is walked twice, by two readers: each takes what it needs.
def execute_command(image):
    image_patch = ImagePatch(image)
    for patch in (p for p in image_patch.find("litter") if p.compute_depth() < 5):
        print("near:", patch.simple_query("What is this?"))
    return any(p.exists("fish") for p in image_patch.find("net")) and all(
        p.verify_property("net", "torn") for p in image_patch.find("net")
    )
