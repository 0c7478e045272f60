# The filter decides who is asked.
def execute_command(image):
    image_patch = ImagePatch(image)
    near = [patch for patch in image_patch.find("litter") if patch.compute_depth() < 5]
    plastic = [p.simple_query("What is this?") for p in near if p.verify_property("litter", "plastic")]
    return len(near), plastic
