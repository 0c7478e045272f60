"""The dry run: what a program does on made-up results, and that nothing of it runs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dicem_codegen.generate import dry_run as module
from dicem_codegen.generate.dry_run import SIZES, Scene, dry_run, sought
from dicem_codegen.generate.serial import Serial, serial_form
from dicem_codegen.generate.types import Problem
from dicem_codegen.parse import parse
from dicem_codegen.verify import drive
from dicem_codegen.verify.world import World, with_effects
from dicem_shared.catalog import catalog
from dicem_shared.function_files import spec_of
from dicem_shared.functions import Registry
from dicem_shared.runner import Interpreter, RunLimits

FUNCTIONS = catalog()
SYNC = "def execute_command(image):\n    p = ImagePatch(image)\n    "


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS, RunLimits(cpu_s=0.3, calls=60)) as made:
        yield made


def serial(source: str, functions: Registry = FUNCTIONS) -> Serial:
    return serial_form(parse(source, name="p", where="p.py"), functions)


def tried(interpreter: Interpreter, source: str, vocabulary: tuple[str, ...] = ()) -> tuple[tuple[Problem, ...], str]:
    return dry_run(serial(source, interpreter.registry), source, interpreter, vocabulary=vocabulary)


def test_a_program_that_thinks_of_everything(interpreter: Interpreter) -> None:
    source = SYNC + "boats = p.find('boat')\n    return [b.simple_query('What?') for b in boats]\n"
    assert tried(interpreter, source) == ((), "9 made-up frames")


@pytest.mark.parametrize(
    ("body", "line", "message", "hint"),
    [
        ("return p.find('boat')[0].left", 3, "IndexError: list index out of range, when find('boat') finds nothing",
         "Look first whether there is one"),
        ("a = p.find('boat')\n    b = p.find('buoy')\n    return a[0].left if b and a else b[0].left", 5,
         "when find('buoy') finds nothing", "Look first"),
        ("return int(p.simple_query('How many?'))", 3, "ValueError: invalid literal for int()", "Answers are words"),
        ("return {'a': 1}[p.simple_query('Which?')]", 3, "KeyError: ", "Use the keys"),
        ("return max(p.find('a'), key=lambda b: b.left, default=None).left", 3, "'NoneType' object has no attribute",
         "Decide what to answer"),
        ("return p.crop(9, 9, 3, 3).exists('a')", 3, "ImagePatch has no area", "Crop only where"),
        ("x = 1\n    while x:\n        x += 1", 4, "it computes for too long on one frame", "Let every loop end"),
        ("return [p.simple_query(str(i)) for i in range(90)]", 1, "it makes too many calls on one frame (at most 60",
         "Let every loop end"),
        ("return 'a' * 10**8 + p.simple_query()", 3, "it uses too much memory on one frame", ""),
        ("print('a' * 10**5)\n    return p.left", 1, "it prints or returns too much", ""),
        ("return ['a' * 70_000]", 1, "it prints or returns too much", ""),
        ("return p.find", 1, "what it returns cannot be stored as an answer", "Return text, numbers"),
        ("return float('inf')", 1, "what it returns cannot be stored as an answer", "Return text, numbers"),
        ("p.simple_query()", 1, "it gives no answer on any of 8 made-up frames", "Return the answer"),
    ],
)  # fmt: skip
def test_what_goes_wrong(interpreter: Interpreter, body: str, line: int, message: str, hint: str) -> None:
    (problem, *_), _ = tried(interpreter, f"{SYNC}{body}\n")
    assert problem.line == line
    assert message in problem.message
    assert problem.hint.startswith(hint)


def test_one_search_at_a_time_finds_nothing(interpreter: Interpreter) -> None:
    """The inner search is empty where the outer one is not: frames without anything would never get there."""
    source = SYNC + "for boat in p.find('boat'):\n        flag = boat.find('flag')[0]\n    return 'ok'\n"
    (problem,), _ = tried(interpreter, source)
    assert (problem.line, problem.message) == (
        4,
        "IndexError: list index out of range, when find('flag') finds nothing",
    )


def test_each_fault_is_told_once(interpreter: Interpreter) -> None:
    source = SYNC + "a = p.find('a')\n    if len(a) > 1:\n        return a[99]\n    return a[0].left.foo\n"
    problems, _ = tried(interpreter, source)
    assert [(each.line, each.message.split(":")[0]) for each in problems] == [
        (5, "IndexError"),
        (6, "AttributeError"),
        (6, "IndexError"),
    ]


def test_printing_is_an_answer_too_and_so_is_one_frame_with_one(interpreter: Interpreter) -> None:
    assert tried(interpreter, SYNC + "print(p.simple_query())\n")[0] == ()
    assert tried(interpreter, SYNC + "if p.find('boat'):\n        return 'yes'\n")[0] == ()


def test_lines_are_the_authors(interpreter: Interpreter) -> None:
    source = (
        "# dicem: name=x\n# a comment\n\ndef depth_of(patch):\n    return patch.compute_depth()\n\n\n"
        "def execute_command(image):\n    patches = sorted(\n        ImagePatch(image).find('boat'),\n"
        "        key=depth_of,\n    )\n\n    # the nearest\n    return patches[0].simple_query(\n"
        "        'What?'\n    )\n"
    )
    (problem,), _ = tried(interpreter, source)
    assert problem.line == 15


def test_the_vocabulary_decides_whom_find_asks() -> None:
    functions = Registry([catalog().get("yolov8")])
    source = "def execute_command(image):\n    return len(ImagePatch(image).find('boat'))\n"
    with Interpreter(functions) as interpreter:
        assert tried(interpreter, source, ("boat",))[0] == ()
        (problem,), _ = tried(interpreter, source)
    assert problem.message.startswith("ValueError: no function is called 'glip'")


def test_no_call_fails_and_frames_are_like_those_of_cameras() -> None:
    for seed in range(50):
        scene = Scene(seed, FUNCTIONS, (), ("boat",), SIZES[seed % 3])
        assert scene.traits.failure_rate == 0
        assert (scene.context.frame.width, scene.context.frame.height) in SIZES
        params: dict[str, Any] = {"image": {"blob": "00", "box": [0, 0, 640, 480]}, "object_name": "boat"}
        outcome = scene.outcome("glip", params)
        assert outcome.failure is None
        assert all(box["width"] > 0 and box["height"] > 0 for box in outcome.result)
    assert any(World(seed, FUNCTIONS).traits.failure_rate for seed in range(5))


def test_what_a_call_searches_for() -> None:
    assert sought("glip", {"object_name": "boat"}) == ("boat",)
    assert sought("yolov8", {"classes": ["a", "b"]}) == ("a", "b")
    assert sought("depth", {}) == ("depth",)


def test_no_more_worlds_after_a_limit_or_without_patience(
    interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(interpreter, SYNC + "while True:\n        pass\n")[1] == "1 made-up frames"
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    assert tried(interpreter, SYNC + "return p.left\n")[1] == "1 made-up frames"


def test_a_schema_from_which_nothing_can_be_made_is_said() -> None:
    resource = {
        "apiVersion": "hermod.dicem.io/v1", "kind": "Function", "metadata": {"name": "plate"},
        "status": {"documentation": "Reads.", "parametersSchema": {"type": "object", "properties": {}},
                   "resultSchema": {"type": "string", "pattern": "^[A-Z]{3}$"}},
    }  # fmt: skip
    functions = Registry([spec_of(resource, where="test")])
    source = "import hermod\nasync def execute_command(image):\n    return await hermod.call('plate')\n"
    with Interpreter(functions) as interpreter:
        problems, said = tried(interpreter, source)
    assert problems == ()
    assert said.startswith("not made: a result schema with a pattern")


def test_it_runs_in_the_interpreter_alone(interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No eval and no exec of what a model wrote: the desk, where programs run in CPython, is not touched."""
    import builtins

    from dicem_codegen.verify import desk, oracle

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a program runs in CPython")

    form = serial(SYNC + "return p.simple_query()\n")
    for place, name in ((desk, "run"), (desk, "load"), (oracle, "Oracle"), (builtins, "eval"), (builtins, "exec")):
        monkeypatch.setattr(place, name, refused)
    assert dry_run(form, form.program.source, interpreter)[0] == ()


def test_impure_functions_are_counted() -> None:
    functions = with_effects()
    source = "import hermod\nasync def execute_command(image):\n    a = await hermod.call('counter')\n"
    source += "    b = await hermod.call('counter')\n    return b['n'] - a['n']\n"
    with Interpreter(functions) as interpreter:
        assert tried(interpreter, source)[0] == ()
        seen = drive.run(serial(source, functions).program, Scene(1, functions), interpreter)
    assert seen.value == 1
