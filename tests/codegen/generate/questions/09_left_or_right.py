# Is the nearest piece of litter on the left or on the right of the image?
def execute_command(image):
    image_patch = ImagePatch(image)
    pieces = image_patch.find("litter")
    if not pieces:
        return "No litter found."
    nearest = pieces[0]
    nearest_distance = nearest.compute_depth()
    for piece in pieces[1:]:
        distance_m = piece.compute_depth()
        if distance_m < nearest_distance:
            nearest, nearest_distance = piece, distance_m
    side = "left" if nearest.horizontal_center < image_patch.horizontal_center else "right"
    return f"On the {side}, {nearest_distance:.1f} m away."
