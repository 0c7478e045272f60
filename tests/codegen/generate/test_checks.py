"""All checks of a program: what is wrong is found by the right check, in the right line; what is right passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from dicem_codegen.generate import dry_run
from dicem_codegen.generate.checks import Bench, check_program
from dicem_codegen.generate.types import CheckName
from dicem_codegen.verify.world import with_effects
from dicem_shared.catalog import catalog
from dicem_shared.errors import ConfigError
from dicem_shared.functions import Registry
from dicem_shared.runner import Interpreter, RunLimits

from ..generator import generate
from .checking import Wrong, reviewed, right_programs, wrong_programs

NAMES = get_args(CheckName)
WRONG = list(wrong_programs())
RAISES = {
    "golden/effects-print.py": "IndexError",  # of an empty list, on purpose
    "golden/name-errors-path.py": "UnboundLocalError",  # its very subject
}
"""Programs that raise where something is not found, and so do not pass the dry run."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(catalog(), limits=RunLimits(cpu_s=0.5)) as made:
        yield made


@pytest.fixture(scope="module")
def with_impure() -> Iterator[Bench]:
    with Bench(with_effects()) as made:
        yield made


def test_there_are_many_wrong_programs_of_every_kind() -> None:
    assert len(WRONG) >= 60
    assert {each.check for each in WRONG} == set(NAMES) - {"same-meaning"}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.check}: {wrong.piece}")
def test_what_is_wrong_is_found(bench: Bench, wrong: Wrong) -> None:
    checked = check_program(wrong.source, bench.functions, bench=bench)
    assert not checked.passed
    assert [each.name for each in checked.checks] == list(NAMES[: NAMES.index(wrong.check) + 1])
    assert all(each.passed for each in checked.checks[:-1])
    said = [(each.line, f"{each.message}. {each.hint}") for each in checked.problems]
    assert any(line == wrong.line and wrong.piece in text for line, text in said), said
    lines = wrong.source.count("\n") + 1
    assert all(1 <= each.line <= lines and each.column >= 1 and each.message for each in checked.problems)
    assert (checked.compiled is not None) == (wrong.check == "dry-run")


@pytest.mark.parametrize("name", sorted(reviewed()))
def test_reviewed_programs_pass(with_impure: Bench, name: str) -> None:
    source = reviewed()[name]
    checked = check_program(source, with_impure.functions, name="p", worlds=range(3), bench=with_impure)
    if name in RAISES:
        assert [each.name for each in checked.checks if each.problems] == ["dry-run"]
        assert RAISES[name] in checked.problems[0].message
    else:
        assert checked.passed, checked.problems
        assert checked.compiled is not None
        assert [each.name for each in checked.checks] == list(NAMES)


@pytest.mark.parametrize("name", sorted(right_programs()))
def test_habits_of_models_pass(bench: Bench, name: str) -> None:
    checked = check_program(right_programs()[name], bench.functions, worlds=range(4), bench=bench)
    assert checked.passed, checked.problems


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_generated_programs_are_refused_for_what_they_do_and_nothing_else(
    with_impure: Bench, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them raise, and some read a name that nothing binds, because that is a part of the language too."""
    monkeypatch.setattr(dry_run, "PLAIN_SEEDS", range(1))  # what it finds is right in any case
    monkeypatch.setattr(dry_run, "MAX_EMPTY", 0)
    for seed in range(first, first + 20):
        source = generate(seed).source
        checked = check_program(source, with_impure.functions, worlds=range(1), bench=with_impure)
        (*_, last) = checked.checks
        if last.problems and last.name == "calls":
            assert all("a NameError in this line" in each.message for each in last.problems), (seed, last.problems)
        else:
            assert not last.problems or last.name == "dry-run", (seed, last.problems)


def test_all_problems_of_a_check_are_told(bench: Bench) -> None:
    source = (
        "import hermod\nasync def execute_command(image):\n"
        "    a = await hermod.call('dept', image=image)\n    b = await hermod.call('glip', image=image)\n"
        "    return a['x'], b.get('answer'), nowhere\n"
    )
    checked = check_program(source, bench.functions, bench=bench)
    assert [each.line for each in checked.problems] == [3, 4, 5, 5]
    assert checked.problems == tuple(sorted(checked.problems))


def test_a_hint_names_the_nearest(bench: Bench) -> None:
    source = "def execute_command(image):\n    return ImagePatch(image).simple_qery('What?')\n"
    (problem,) = check_program(source, bench.functions, bench=bench).problems
    assert problem.hint == "Did you mean simple_query?"


RUBBISH = [
    "", "\n\n", "\0", "\udc80", "# nothing", "{" * 5000, "x = 1\n" * 4000, "🙂", "((((" * 200,
    "\ufeffdef execute_command(image): return 1",
    "def execute_command(image):\r\n    return ImagePatch(image).simple_query('What?')\r\n",
]  # fmt: skip


@pytest.mark.parametrize("source", RUBBISH)
def test_rubbish_ends_with_one_clear_line(bench: Bench, source: str) -> None:
    checked = check_program(source, bench.functions, bench=bench)
    assert checked.passed == (not checked.problems)
    assert checked.checks[0].name == "parse"
    for problem in checked.problems:
        assert problem.message.isprintable()


def test_the_compiled_program_comes_with_what_was_found_out(bench: Bench) -> None:
    source = "# dicem: name=boats\ndef execute_command(image):\n    return len(ImagePatch(image).find('boat'))\n"
    checked = check_program(source, bench.functions, vocabulary=("boat",), link="satellite", bench=bench)
    assert checked.passed
    assert checked.source == source
    assert checked.compiled is not None
    assert checked.compiled.plan.link == "satellite"
    assert checked.checks[4].detail == "9 made-up frames"
    assert checked.checks[5].detail.startswith("16 worlds")


def test_the_same_program_has_the_same_problems(bench: Bench) -> None:
    source = next(each.source for each in WRONG if each.check == "dry-run")
    first, second = (check_program(source, bench.functions, bench=bench) for _ in range(2))
    assert first == second


def test_a_bench_may_use_an_interpreter_that_runs_already() -> None:
    functions = catalog()
    source = "def execute_command(image):\n    return ImagePatch(image).simple_query('What?')\n"
    with Interpreter(functions) as interpreter:
        with Bench(functions, interpreter=interpreter) as bench:
            assert check_program(source, functions, worlds=range(2), bench=bench).passed
        with Bench(functions, interpreter=interpreter) as bench:  # which it did not stop
            assert check_program(source, functions, worlds=range(2), bench=bench).passed


def test_without_a_bench_it_makes_its_own() -> None:
    source = "def execute_command(image):\n    return ImagePatch(image).simple_query('What?')\n"
    assert check_program(source, catalog(), worlds=range(1)).passed


def test_a_bench_of_other_functions_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="other functions"):
        check_program("x", Registry(), bench=bench)


def test_arguments_out_of_bounds_are_config_errors(bench: Bench) -> None:
    source = "def execute_command(image):\n    return ImagePatch(image).simple_query('What?')\n"
    with pytest.raises(ConfigError, match="objective"):
        check_program(source, bench.functions, objective="beauty", bench=bench)
