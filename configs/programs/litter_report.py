# dicem: name=litter-report
#
# What is every piece of litter within ten metres, and what is it made of?
def execute_command(image):
    report = []
    for piece in ImagePatch(image).find("litter"):
        distance_m = piece.compute_depth()
        if distance_m <= 10:
            what = piece.simple_query("What is this?")
            material = piece.simple_query("What material is this made of?")
            report.append({"what": what, "material": material, "distance_m": round(distance_m, 1)})
    return report
