# The log is written between questions that have nothing to do with it.
import hermod


def execute_command(image):
    image_patch = ImagePatch(image)
    litter = image_patch.find("litter")
    hermod.call_sync("log_event", text=f"{len(litter)} pieces")
    depths = [patch.compute_depth() for patch in litter]
    hermod.call_sync("log_event", text=f"nearest: {min(depths, default=None)}")
    sea = image_patch.simple_query("How rough is the sea?")
    return sea, depths
