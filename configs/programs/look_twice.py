# dicem: name=look-twice
# dicem: crop-origin=top-left
#
# How near is the nearest litter that a second look confirms?  Each find is looked at again, enlarged with its
# surroundings, before it counts: two calls of the detector that may run at different sites.
import hermod


async def execute_command(image):
    image_patch = ImagePatch(image)
    seen = await hermod.call("yolov8", image=image_patch.image, classes=["litter"])
    confirmed = []
    for found in seen["objects"]:
        x, y, width, height = found["x"], found["y"], found["width"], found["height"]
        left, upper = max(x - width, 0), max(y - height, 0)
        right, lower = min(x + 2 * width, image_patch.width), min(y + 2 * height, image_patch.height)
        closer = image_patch.crop(left, upper, right, lower)
        again = await hermod.call("yolov8", image=closer.image, classes=["litter"])
        if again["objects"]:
            patch = image_patch.crop(x, y, x + width, y + height)
            distance = await hermod.call("depth", image=patch.image)
            confirmed.append(distance["depth"])
    if not confirmed:
        return "No litter that a second look confirms."
    return f"{len(confirmed)} confirmed, the nearest {min(confirmed):.1f} m away."
