# dicem: name=bottles-or-bags
#
# Are there more bottles or more bags in the water?
def execute_command(image):
    patch = ImagePatch(image)
    bottles = len(patch.find("plastic bottle")) + len(patch.find("glass bottle"))
    bags = len(patch.find("plastic bag"))
    if bottles == bags:
        return "as many bottles as bags" if bottles else "neither"
    return "more bottles" if bottles > bags else "more bags"
