# List what litter there is, nearest first, with its distance.
def execute_command(image):
    image_patch = ImagePatch(image)
    found = []
    for piece in image_patch.find("litter"):
        found.append((piece.compute_depth(), piece.simple_query("What is this?")))
    found.sort(key=lambda pair: pair[0])
    return [f"{name}: {metres:.1f} m" for metres, name in found]
