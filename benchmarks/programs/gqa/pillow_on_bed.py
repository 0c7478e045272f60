# What color are the pillows on the bed?
def execute_command(image):
    image_patch = ImagePatch(image)
    bed_patches = image_patch.find("bed")
    if len(bed_patches) == 0:
        bed_patches = [image_patch]
    colors = []
    for bed in bed_patches:
        for pillow in bed.find("pillow"):
            colors.append(pillow.simple_query("What color is the pillow?"))
    return ", ".join(colors) or "none"
