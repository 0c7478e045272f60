# `p and p[0].find(...)`: the guard before the guarded, and the value of the operand.
def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find("boat")
    aboard = boats and boats[0].find("person")
    safe = image_patch.exists("life buoy") or image_patch.exists("life raft")
    return len(aboard), safe
