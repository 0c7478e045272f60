"""The type checker over the stubs: what it holds against a program, what it lets pass, and that it never runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.generate import type_check
from dicem_codegen.generate.type_check import TypeChecker, iter_findings
from dicem_codegen.generate.types import Problem
from dicem_codegen.parse import parse
from dicem_codegen.verify.world import with_effects

from ..generator import generate
from .checking import right_programs

SYNC = "def execute_command(image):\n    p = ImagePatch(image)\n    "
ASYNC = "import hermod\nasync def execute_command(image):\n    "


@pytest.fixture(scope="module")
def checker() -> Iterator[TypeChecker]:
    with TypeChecker(with_effects()) as made:
        yield made


def found(checker: TypeChecker, source: str) -> tuple[Problem, ...]:
    return checker.problems(parse(source, name="p", where="p.py"))[0]


def test_habits_of_models_have_no_problems(checker: TypeChecker) -> None:
    said = {name: found(checker, source) for name, source in right_programs().items()}
    assert {name: problems for name, problems in said.items() if problems} == {}


def test_generated_programs_have_no_problems(checker: TypeChecker) -> None:
    """Others than those of `test_checks.py`, also where a name is wrong."""
    said = {seed: found(checker, generate(seed).source) for seed in range(1000, 1040)}
    assert {seed: problems for seed, problems in said.items() if problems} == {}


@pytest.mark.parametrize(
    ("line", "column", "message", "hint"),
    [
        ("return p.compute_depth().lower()", 12, "Object of type `float` has no attribute `lower`", ""),
        ("return p.fnd('x')", 12, "Object of type `ImagePatch` has no attribute `fnd`", "Did you mean find?"),
        ("return p.find('x')['depth']", 12, "Object of type `list[ImagePatch]` cannot be subscripted with", ""),
        ("é = '🙂'; return p.find(3)", 28, "Argument to bound method `ImagePatch.find` is incorrect", ""),
        ("return p.find('a') + p.left", 12, "Operator `+` is not supported between objects of type", ""),
        ("return p.find()", 12, "No argument provided for required parameter `object_name`", ""),
    ],
)
def test_problems_stand_where_they_are(checker: TypeChecker, line: str, column: int, message: str, hint: str) -> None:
    (problem,) = found(checker, SYNC + line + "\n")
    assert (problem.line, problem.column) == (3, column)
    assert problem.message.startswith(message)
    assert problem.hint == hint


@pytest.mark.parametrize(
    ("line", "column", "message", "hint"),
    [
        ("return await hermod.call('depth', image='x')", 39, "Argument to function `depth` is incorrect: Expected "
         "`a patch or an image`, found `Literal[\"x\"]`", ""),
        ("return (await hermod.call('depth', image=image)) < 5", 13, "between objects of type `result of depth` and "
         "`Literal[5]`", "depth gives {'depth': float}"),
        ("return hermod.call_sync('blip2', image=image, query='a')['answer']", 62, "Unknown key \"answer\" for "
         "TypedDict `result of blip2`", "blip2 gives {'output': str}"),
        ("return await hermod . call ( 'xvlm' , image=image, object_name=3)", 56, "function `xvlm` is incorrect", ""),
    ],
)  # fmt: skip
def test_calls_are_checked_by_name(checker: TypeChecker, line: str, column: int, message: str, hint: str) -> None:
    (problem,) = found(checker, ASYNC + line + "\n")
    assert problem.line == 3
    assert message in problem.message
    assert problem.hint == hint
    assert problem.column == column


def test_both_dialects_and_calls_over_several_lines(checker: TypeChecker) -> None:
    source = (
        "from hermod import call\nimport hermod as h\nasync def execute_command(image):\n"
        "    a = await call('depth', image=image)\n    b = await h.call(\n        'depth',\n"
        "        image=image,\n    )\n    return a['depth'] + b['depth'] + a['x']\n"
    )
    (problem,) = found(checker, source)
    assert (problem.line, problem.column) == (9, 40)


def test_the_frame_has_a_type_and_columns_behind_it_stay(checker: TypeChecker) -> None:
    (problem,) = found(checker, "def execute_command(image): return image.resize(3)\n")
    assert (problem.line, problem.column) == (1, 36)
    (problem,) = found(checker, "def execute_command(image_patch, n=1): return image_patch.foo\n")
    assert (problem.line, problem.column) == (1, 47)


@pytest.mark.parametrize(
    "before",
    ["# type: ignore\n", "# ty: ignore\n", "# mypy: ignore-errors\n", "from __future__ import annotations\n",
     "int = str\nname = print\n", "from typing import no_type_check, TYPE_CHECKING\n", "_dicem_never_runs = 1\n"],
)  # fmt: skip
def test_a_program_cannot_make_it_look_away(checker: TypeChecker, before: str) -> None:
    source = (
        f"{before}def execute_command(image):\n    return ImagePatch(image).fnd('x')  # type: ignore # ty: ignore\n"
    )
    assert [each.line for each in found(checker, source)] == [source.count("\n")]


@pytest.mark.parametrize("before", ["", "_dicem_never_runs = 1\n", "# type: ignore\n", "import sys\n"])
def test_the_program_is_never_run(checker: TypeChecker, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """What it would print is seen nowhere, also where there is nothing wrong with it."""
    printed: list[type_check.monty.CollectString] = []
    real = type_check.monty.CollectString

    def collect(size: int) -> type_check.monty.CollectString:
        printed.append(real(size))
        return printed[-1]

    monkeypatch.setattr(type_check.monty, "CollectString", collect)
    assert checker.findings(f"{before}print('I run')\n1 / 0\n") is not None
    assert [each.output for each in printed] == [""]


BOMBS = {
    "tuples in tuples": ["x0 = (1, 'a')", *[f"x{i + 1} = (x{i}, x{i})" for i in range(60)], "x60.foo"],
    "unions": [
        *[f"v{i} = {i}" for i in range(100)],
        f"x = {' or '.join(f'v{i}' for i in range(90))}",
        "y = x * x + x",
        "z = y * y * x",
    ],
    "many lines": [f"p{i} = ImagePatch(image).find('a{i}')" for i in range(1500)],
    "loops": ["x = 0", "for i in range(3):", "    x = (x, x)", "    x = {1: x, 'a': x}"],
    "huge constants": ["x = 'a' * 10**7", "w = (1,) * 10**6"],
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_end(checker: TypeChecker, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A program that is too much for the checker is not decided, and the checker serves the next one."""
    source = "def execute_command(image):\n" + "".join(f"    {line}\n" for line in BOMBS[name])
    problems, said = checker.problems(parse(source, name="p", where="p.py"))
    assert problems == () or said == ""
    assert [each.line for each in found(checker, SYNC + "return p.fnd('x')\n")] == [3]


def test_what_takes_too_long_is_stopped() -> None:
    source = "def execute_command(image):\n" + "".join(f"    {line}\n" for line in BOMBS["many lines"])
    with TypeChecker(with_effects(), timeout_s=0.01) as hurried:
        assert hurried.findings(source) is None
        problems, said = hurried.problems(parse(source, name="p", where="p.py"))
    assert (problems, said) == ((), "not decided: too much for the type checker")


def test_advice_is_counted(checker: TypeChecker) -> None:
    source = SYNC + "p.metres = p.compute_depth()\n    return p.metres\n"
    parsed = parse(source, name="p", where="p.py")
    assert checker.problems(parsed) == ((), "2 pieces of advice")
    assert [held for _, held in iter_findings(checker, parsed)] == [False, False]


def test_rubbish_from_the_checker_is_nothing() -> None:
    for text in ("", "{", "[]", "{}", "[1]", '[{"location": null}]', '[{"location": {"row": 1}}]', "null"):
        assert type_check._read(text) == []
