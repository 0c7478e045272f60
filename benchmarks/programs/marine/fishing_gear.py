# Lost fishing gear: nets, ropes and traps, each with material and distance.
async def look(image, name):
    boxes = await hermod.call("glip", image=image, object_name=name)
    return [ImagePatch(image).crop(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in boxes]


async def execute_command(image):
    findings = []
    for name in ["fishing net", "rope", "trap"]:
        for patch in await look(image, name):
            answer = await hermod.call("blip2", image=patch, query="What material is this?")
            distance = await hermod.call("depth", image=patch)
            findings.append((name, answer["output"], distance["depth"]))
    return findings
