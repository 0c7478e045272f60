# `break`, the loop variable after it, and `else`.
def execute_command(image):
    image_patch = ImagePatch(image)
    seen = 0
    for patch in image_patch.find("litter"):
        metres = patch.compute_depth()
        if metres > 5:
            break
        seen += 1
        print(patch.simple_query("What is this?"))
    else:
        return f"all {seen} are near"
    return f"{seen} before one at {metres} m"
