"""The made-up world: what follows from its seed, and that it is various enough to be worth anything."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from dicem_codegen.verify.chance import hints_of
from dicem_codegen.verify.world import World, call_key, with_effects
from dicem_shared.errors import ConfigError
from dicem_shared.function_files import spec_of
from dicem_shared.functions import FunctionSpec, ImageParam, Registry, function

SEEDS = range(150)


def params_of(world: World, name: str) -> dict[str, Any]:
    image = world.context.frame.handle.model_dump(mode="json")
    said = {
        "yolov8": {"image": image, "classes": ["car", "boat"]}, "glip": {"image": image, "object_name": "car"},
        "blip": {"image": image, "question": "Is it open?"}, "blip2": {"image": image, "query": "How many are there?"},
        "xvlm": {"image": image, "object_name": "a car", "options": ["red", "blue", "green"]},
        "depth": {"image": image}, "llm": {"prompt": "What is it?"}, "log_event": {"text": "x"}, "counter": {},
    }  # fmt: skip
    return said[name]


@pytest.mark.parametrize("name", [spec.name for spec in with_effects()])
def test_results_fit_their_functions(name: str) -> None:
    seen = []
    for seed in SEEDS:
        world = World(seed)
        for variant in range(5):
            result = world.instead(name, params_of(world, name), variant=variant).result
            assert world.functions.get(name).check_result(result) == result
            seen.append(repr(result))
    assert len(set(seen)) > 1 or name == "counter"


def test_boxes_lie_within_the_image() -> None:
    inside = twins = nested = empty = 0
    for seed in SEEDS:
        world = World(seed)
        blob = world.context.frame.blob
        for box in ([0, 0, 40, 30], [7, 5, 9, 1], [3, 3, 1, 1]):
            found = world.instead("glip", {"image": {"blob": blob, "box": box}, "object_name": "car"}).result
            empty += not found
            scores = [each["score"] for each in found]
            assert scores == sorted(scores, reverse=True)
            for each in found:
                assert each["x"] + each["width"] <= box[2]
                assert each["y"] + each["height"] <= box[3]
                inside += 1
            for one, other in itertools.pairwise(found):
                twins += one == other
                nested += one["x"] <= other["x"] and other["x"] + other["width"] <= one["x"] + one["width"]
    assert min(inside, twins, nested, empty) > 5


def test_all_that_programs_decide_on_happens() -> None:
    seen: Counter[Any] = Counter()
    for seed in SEEDS:
        world = World(seed)
        seen[len(world.instead("glip", params_of(world, "glip")).result)] += 1
        seen[world.instead("depth", params_of(world, "depth")).result["depth"] < 5] += 1
        seen[world.instead("xvlm", params_of(world, "xvlm")).result["result"]] += 1
        scores = world.instead("xvlm", params_of(world, "xvlm")).result["scores"]
        seen["tie"] += scores.count(max(scores)) > 1
        seen[world.instead("blip", params_of(world, "blip")).result["answer"].strip().lower()] += 1
        seen[world.instead("blip2", params_of(world, "blip2")).result["output"]] += 1
    for wanted in (0, 1, 2, 3, True, False, "tie", "yes", "no", "0", "12", ""):
        assert seen[wanted] >= 3, wanted


def test_failures() -> None:
    """None in two worlds of five, then 5 to 30 %; the same call always fails alike, and each says which it is."""
    never, rates, kinds = 0, [], Counter[str]()
    for seed in range(400):
        world = World(seed)
        ends = [world.outcome("llm", {"prompt": str(i)}) for i in range(100)]
        assert ends == [world.outcome("llm", {"prompt": str(i)}) for i in range(100)]
        failed = [end.failure for end in ends if end.failure]
        kinds.update(failure.kind for failure in failed)
        assert len({failure.message for failure in failed}) == len(failed)
        if world.traits.broken == "llm":
            assert len(failed) == 100
        elif world.traits.failure_rate:
            rates.append(len(failed) / 100)
        else:
            never += not failed
    assert 0.3 < never / 400 < 0.5
    assert 0.0 <= min(rates) < 0.08
    assert 0.25 < max(rates) < 0.5
    assert set(kinds) == {"RuntimeError", "TimeoutError", "ValueError"}
    assert min(kinds.values()) > sum(kinds.values()) / 5


def test_the_occurrence_counts_for_impure_functions_only() -> None:
    world = World(1)
    counted = world.occurrences()
    assert [counted.next(name) for name in ("counter", "llm", "counter", "log_event", "llm", "counter")] == [
        0, 0, 1, 0, 0, 2,
    ]  # fmt: skip
    assert [world.instead("counter", {}, n).result["n"] for n in range(3)] == [1, 2, 3]


def test_the_order_of_parameters_does_not_matter() -> None:
    world = World(2)
    one, other = {"image": 1, "query": 2}, {"query": 2, "image": 1}
    assert call_key("blip2", one) == call_key("blip2", other)
    assert world.latency("blip2", one) == world.latency("blip2", other)


def test_latencies() -> None:
    styles = Counter(World(seed).traits.latencies for seed in range(200))
    assert len(styles) == 4
    for seed in range(50):
        world = World(seed)
        times = [world.latency("llm", {"prompt": str(i)}) for i in range(50)]
        assert all(0.01 <= t <= 20 and round(t * 1000) == pytest.approx(t * 1000) for t in times)
        assert (len(set(times)) == 1) == (world.traits.latencies in ("equal", "by-function"))


def test_another_process_meets_the_same_world() -> None:
    code = (
        "from dicem_codegen.verify.world import World\n"
        "print([(w := World(s)).traits, w.context.frame, w.outcome('llm', {'prompt': 'x'}), w.latency('llm', {})]"
        " if (s := 17) else 0)"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    world = World(17)
    here = [world.traits, world.context.frame, world.outcome("llm", {"prompt": "x"}), world.latency("llm", {})]
    assert told == {f"{here}\n"}


# Hints: what the program compares answers with


def test_hints() -> None:
    source = """
def execute_command(image):
    if x == "seagull" or y.lower() in ["teal", "navy"] and z < 7.5 or len(w) >= 9:
        return x == "a long text that no answer is, over 40 characters"
    else:
        print("not compared", x.startswith("The"), x.startswith(5), -3 < y < True)
"""
    assert set(hints_of(source)) == {"seagull", "teal", "navy", 7.5, 9.0, "The", 5.0, 3.0}
    assert len(hints_of("x in " + repr([f"word{i}" for i in range(1000)]))) == 24


def test_answers_take_the_hints_up() -> None:
    said = Counter[str]()
    near = Counter[str]()
    for seed in range(300):
        world = World(seed, hints=("seagull", 77.0))
        said[world.instead("llm", {"prompt": "What is it?"}).result["output"]] += 1
        metres = world.instead("depth", params_of(world, "depth")).result["depth"]
        near["below" if metres == 76.5 else "at" if metres == 77 else "above" if metres == 77.5 else "far"] += 1
        for box in world.instead("glip", params_of(world, "glip")).result:
            near["left"] += box["x"] == 77
            near["lower"] += world.traits.frame_size[1] - box["y"] - box["height"] == 77
            near["wide"] += box["width"] == 77
            assert box["x"] + box["width"] <= world.traits.frame_size[0]
    assert 40 < said["seagull"] < 150
    assert min(near["left"], near["lower"], near["wide"]) > 3
    assert min(near["below"], near["at"], near["above"]) > 5
    assert World(1, hints=("x", "y")).instead("llm", {"prompt": "?"}, variant=4).result == {"output": "y"}


# Functions that somebody else declares


class Box(TypedDict):
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@function(pure=False)
def survey(image: ImageParam) -> dict[str, list[Box]]:
    """Boxes by name."""
    raise NotImplementedError


@function()
def grown(prompt: str) -> Tree:
    """A tree."""
    raise NotImplementedError


@function()
def mixed(
    prompt: str,
) -> tuple[Literal["a", "b"], int | None, Annotated[list[float], Field(min_length=2, max_length=3)]]:
    """All sorts of things."""
    raise NotImplementedError


@function()
def bounded(prompt: str) -> Annotated[float, Field(gt=0.5, lt=0.75)]:
    """A number."""
    raise NotImplementedError


@function()
def worded(prompt: str) -> Annotated[str, Field(min_length=12, max_length=12)]:
    """Twelve characters."""
    raise NotImplementedError


@function()
def even(prompt: str) -> Annotated[int, Field(ge=3, multiple_of=4)]:
    """A multiple of four."""
    raise NotImplementedError


@pytest.mark.parametrize("spec", [survey, grown, mixed, bounded, worded, even], ids=lambda spec: spec.name)
def test_results_follow_from_the_schema(spec: FunctionSpec) -> None:
    read = spec if spec is grown else spec_of(spec.resource())  # as from a file, which may not hold itself
    seen = set()
    for seed in range(60):
        world = World(seed, Registry([read]))
        params = {"image": {"blob": "ab" * 32, "box": [5, 5, 30, 20]}} if spec is survey else {"prompt": "x"}
        result = world.instead(spec.name, params).result
        assert spec.check_result(result) == result
        seen.add(repr(result))
        if spec is survey:
            for box in [box for boxes in result.values() for box in boxes]:
                assert box["x"] + box["width"] <= 30
                assert box["y"] + box["height"] <= 20
    assert len(seen) > (0 if spec is even else 1)


def test_a_known_name_with_another_schema() -> None:
    """Somebody's own `depth`, which gives something else."""

    @function()
    def depth(image: ImageParam) -> list[int]:
        """Steps."""
        raise NotImplementedError

    results = [
        World(seed, Registry([depth])).instead("depth", params_of(World(seed), "depth")).result for seed in range(9)
    ]
    assert all(isinstance(result, list) for result in results)


def test_a_schema_that_is_too_much() -> None:
    @function()
    def coded(prompt: str) -> Annotated[str, Field(pattern="^[a-z]{3}$")]:
        """A code."""
        raise NotImplementedError

    with pytest.raises(ConfigError, match="pattern"):
        World(1, Registry([coded])).instead("coded", {"prompt": "x"})
