"""The published litter program, unchanged, and the version that shows what distribution can do."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from dicem_shared.program import load_program
from dicem_shared.runner import Context, Finished, Interpreter, Outcome, Run, Step, Waiting
from dicem_shared.types import Failure, FrameInfo

PROGRAMS = Path(__file__).resolve().parents[2] / "configs" / "programs"
FRAME = FrameInfo(camera="bow", sequence=1, t_utc=0.0, blob="ab" * 32, width=320, height=240)

# "Example Distributed code for DiCE-M" as printed, with its lines joined where the page broke them, and the underscores
# that the scan lost put back.
PUBLISHED = """
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
"""

BOXES = [(10, 20, 30, 40), (100, 50, 20, 10), (200, 150, 60, 60)]
ANSWERS = {"What is this?": "bottle", "What material is this made of?": "plastic"}


def found(*boxes: tuple[int, int, int, int]) -> Outcome:
    objects = [
        dict(zip(("x", "y", "width", "height"), box, strict=True), score=0.5, **{"class": "bottle"}) for box in boxes
    ]
    return Outcome(result={"objects": objects})


def metres(value: float) -> Outcome:
    return Outcome(result={"depth": value})


def text(value: str) -> Outcome:
    return Outcome(result={"output": value})


def start(interpreter: Interpreter, name: str) -> Run:
    return interpreter.start(load_program(PROGRAMS / f"{name}.py"), Context("boat", FRAME, ("litter",)))


def asked(step: Step) -> list[tuple[int, str, Any]]:
    """Number, function and box of each new call."""
    assert isinstance(step, Waiting), step
    return [(c.number, c.function, tuple(c.params["image"]["box"])) for c in step.calls]


def test_the_published_program_is_what_runs() -> None:
    source = (PROGRAMS / "litter.py").read_text()
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse(PUBLISHED))


@pytest.mark.parametrize("name", ["litter", "litter_best"])
def test_empty_water(interpreter: Interpreter, name: str) -> None:
    run = start(interpreter, name)
    assert asked(run.step) == [(1, "yolov8", (0, 0, 320, 240))]
    assert run.resume([(1, found())]) == Finished("No litter found in the image.", "")
    assert len(run.calls) == 1


def test_the_published_program_asks_one_depth_after_the_other(interpreter: Interpreter) -> None:
    run = start(interpreter, "litter")
    assert run.step.calls[0].params == {"image": FRAME.handle.model_dump(mode="json")}  # type: ignore[union-attr]
    step = run.resume([(1, found(*BOXES))])
    for number, (box, distance) in enumerate(zip(BOXES, (6.5, 5.0, 9.0), strict=True), start=2):
        assert asked(step) == [(number, "depth", box)]  # one call at a time
        assert run.pending == {number}
        step = run.resume([(number, metres(distance))])
    assert step == Finished("No litter found within five meters of depth.", "")  # 5.0 is not within


def test_the_published_program_asks_both_questions_at_once(interpreter: Interpreter) -> None:
    run = start(interpreter, "litter")
    run.resume([(1, found(*BOXES))])
    for number, distance in enumerate((6.5, 2.25, 2.25), start=2):
        step = run.resume([(number, metres(distance))])
    assert asked(step) == [(5, "blip2", BOXES[1]), (6, "blip2", BOXES[1])]  # the first of equals
    questions = [call.params["query"] for call in run.calls[4:]]
    assert questions == [f"Answer briefly. {question}" for question in ANSWERS]
    assert run.resume([(6, text("plastic"))]) == Waiting(())
    assert run.resume([(5, text("bottle"))]) == Finished("Object: bottle, Material: plastic, Depth: 2.25 meters", "")


def test_the_best_version_asks_everything_as_soon_as_it_can(interpreter: Interpreter) -> None:
    run = start(interpreter, "litter_best")
    assert run.step.calls[0].params["classes"] == ["litter"]  # type: ignore[union-attr]
    step = run.resume([(1, found(*BOXES))])
    assert asked(step) == [(number, "depth", box) for number, box in enumerate(BOXES, start=2)]  # one each, together
    assert run.resume([(4, metres(2.25))]) == Waiting(())
    assert run.resume([(2, metres(6.5))]) == Waiting(())
    assert asked(run.resume([(3, metres(2.25))])) == [(5, "blip2", BOXES[1]), (6, "blip2", BOXES[1])]
    assert [call.params["query"] for call in run.calls[4:]] == list(ANSWERS)
    assert run.resume([(6, text("plastic"))]) == Waiting(())
    assert run.resume([(5, text("bottle"))]) == Finished("Object: bottle, Material: plastic, Depth: 2.25 meters", "")


def test_the_best_version_with_far_objects_only(interpreter: Interpreter) -> None:
    run = start(interpreter, "litter_best")
    run.resume([(1, found(*BOXES))])
    run.resume([(number, metres(distance)) for number, distance in ((2, 6.5), (3, 5.0), (4, 9.0))])
    assert run.step == Finished("No litter found within five meters of depth.", "")
    assert len(run.calls) == 4


@pytest.mark.parametrize("name", ["litter", "litter_best"])
def test_a_failure_ends_either_at_the_statement_that_needs_it(interpreter: Interpreter, name: str) -> None:
    run = start(interpreter, name)
    run.resume([(1, found(BOXES[0]))])
    step = run.resume([(2, Outcome(failure=Failure(kind="TimeoutError", message="depth: no answer")))])
    line = next(n for n, x in enumerate((PROGRAMS / f"{name}.py").read_text().split("\n"), 1) if "depths = [" in x)
    program = "litter" if name == "litter" else "litter-best"
    assert str(step.error) == f"{program}:{line}: TimeoutError: depth: no answer"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["litter", "litter_best"])
def test_on_the_vehicle(vehicle: Any, name: str) -> None:
    vehicle.settings["placement"] = {"yolov8": "edge", "depth": "edge", "blip2": "cloud"}
    answer = vehicle.answer((PROGRAMS / f"{name}.py").read_text())
    assert answer.value == "Object: red, Material: red, Depth: 3.0 meters"
    assert answer.cost.calls == {"yolov8": 1, "depth": 2, "blip2": 2}
    assert (answer.status, answer.source) == ("final", "mixed")
    near = answer.observations[0]
    assert (near.bbox, near.distance_m, near.material) == ((10, 40, 20, 12), 3.0, "red")
