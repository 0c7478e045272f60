# Is the table made of the same material as the chair?
def execute_command(image):
    image_patch = ImagePatch(image)
    table_patches = image_patch.find("table")
    chair_patches = image_patch.find("chair")
    table = table_patches[0] if table_patches else image_patch
    chair = chair_patches[0] if chair_patches else image_patch
    table_material = table.simple_query("What material is the table made of?")
    chair_material = chair.simple_query("What material is the chair made of?")
    return bool_to_yesno(table_material.lower() == chair_material.lower())
