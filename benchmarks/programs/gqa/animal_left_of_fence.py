# Is there an animal to the left of the fence?
def execute_command(image):
    image_patch = ImagePatch(image)
    fence_patches = image_patch.find("fence")
    animal_patches = image_patch.find("animal")
    if len(fence_patches) == 0:
        return bool_to_yesno(len(animal_patches) > 0)
    fence_patch = fence_patches[0]
    for animal_patch in animal_patches:
        if animal_patch.horizontal_center < fence_patch.horizontal_center:
            return "yes"
    return "no"
