# dicem: name=litter-best
#
# Is there litter within five metres, and what is it made of?
#
# What the compiler is to make of the published serial program: every depth starts at once, each is computed once, both
# questions go out together about one crop.  Written by hand until then.

async def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find_finish(await image_patch.find_start("litter"))
    if not litter_patches:
        return "No litter found in the image."
    depth_calls = [patch.compute_depth_start() for patch in litter_patches]
    depths = [patch.compute_depth_finish(await call) for patch, call in zip(litter_patches, depth_calls)]
    closest_depth = min(depths)
    closest_litter_patch = litter_patches[depths.index(closest_depth)]
    if closest_depth < 5:
        object_name_call = closest_litter_patch.simple_query_start("What is this?")
        material_call = closest_litter_patch.simple_query_start("What material is this made of?")
        object_name = closest_litter_patch.simple_query_finish(await object_name_call)
        material = closest_litter_patch.simple_query_finish(await material_call)
        return f"Object: {object_name}, Material: {material}, Depth: {closest_depth} meters"
    else:
        return "No litter found within five meters of depth."
