# What speed limit does the sign on the bank show?
def execute_command(image):
    image_patch = ImagePatch(image)
    signs = image_patch.find("speed limit sign")
    if not signs:
        return "No sign found."
    sign = max(signs, key=lambda patch: patch.width * patch.height)
    text = sign.simple_query("What number is on this sign?")
    limit = coerce_to_numeric(text)
    if isinstance(limit, str):
        return "The sign cannot be read."
    return limit
