# dicem: name=nearest-litter
#
# How far away is the nearest piece of litter, and on which side is it?
def execute_command(image):
    patch = ImagePatch(image)
    pieces = patch.find("litter")
    if not pieces:
        return "no litter in sight"
    nearest = min(pieces, key=lambda piece: piece.compute_depth())
    side = "to port" if nearest.horizontal_center < patch.width / 2 else "to starboard"
    return f"{nearest.compute_depth():.1f} m, {side}"
