# What material is each piece of litter made of?
def execute_command(image):
    image_patch = ImagePatch(image)
    materials = {}
    for piece in image_patch.find("litter"):
        material = piece.simple_query("What material is this made of?").strip().lower()
        materials[material] = materials.get(material, 0) + 1
    if not materials:
        return "No litter found."
    return materials
