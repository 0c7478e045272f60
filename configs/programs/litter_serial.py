# dicem: name=litter-serial
#
# Is there litter within five metres, and what is it made of?  The serial program that a model wrote for ViperGPT,
# as published with DiCE-M (SEC 2024, DOI 10.1109/SEC62691.2024.00054), statement for statement; only these comments are
# ours.  It computes the depth of the closest piece twice, and everything one after the other.  The runner takes it only
# compiled (`dicem compile litter_serial.py`): its interpreter cannot wait for a call inside a key.
def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find("litter")
    if not litter_patches:
        return "No litter found in the image."
    # Find the closest piece of litter
    closest_litter_patch = min(litter_patches, key=lambda patch: patch.compute_depth())
    closest_depth = closest_litter_patch.compute_depth()
    if closest_depth < 5:
        object_name = closest_litter_patch.simple_query("What is this?")
        material = closest_litter_patch.simple_query("What material is this made of?")
        return f"Object: {object_name}, Material: {material}, Depth: {closest_depth} meters"
    else:
        return "No litter found within five meters of depth."
