# Lists that grow in order.
def execute_command(image):
    image_patch = ImagePatch(image)
    names = []
    depths = []
    for patch in image_patch.find("litter"):
        names.append(patch.simple_query("What is this?"))
        depths.append(patch.compute_depth())
    return sorted(zip(depths, names))
