# ruff: noqa
# fmt: off
# dicem: crop-origin=top-left
#
# The distributed litter program that a language model made of it, as published with DiCE-M (SEC 2024), its lines joined
# where the page broke them and the underscores that the scan lost put back; only these comments are ours.
import asyncio
import hermod


async def image_patch_find(image_patch: ImagePatch, object_name: str) -> list[ImagePatch]:
    if object_name == 'people':
        object_name = 'person'
    result = await hermod.call("yolov8", image=image_patch.image)
    patches = []
    for obj in result['objects']:
        p = image_patch.crop(obj['x'], obj['y'], obj['x'] + obj['width'], obj['y'] + obj['height'])
        p.object_name = obj['class']
        p.object_score = obj['score']
        patches.append(p)
    return patches


async def image_patch_simple_query(image_patch: ImagePatch, question: str) -> str:
    result = await hermod.call("blip2", image=image_patch.image, query=f"Answer briefly. {question}")
    return result['output']


async def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = await image_patch_find(image_patch, "litter")
    if not litter_patches:
        return "No litter found in the image."
    # Find the closest piece of litter
    depths = [patch.compute_depth() for patch in litter_patches]
    closest_litter_patch = litter_patches[depths.index(min(depths))]
    closest_depth = min(depths)
    if closest_depth < 5:
        object_name_task = image_patch_simple_query(closest_litter_patch, "What is this?")
        material_task = image_patch_simple_query(closest_litter_patch, "What material is this made of?")
        object_name, material = await asyncio.gather(object_name_task, material_task)
        return f"Object: {object_name}, Material: {material}, Depth: {closest_depth} meters"
    else:
        return "No litter found within five meters of depth."
