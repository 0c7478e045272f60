"""Runs that are ended by whoever drives them, and what is killed because it does not look at a clock."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_shared.catalog import catalog
from dicem_shared.errors import ProgramLimitError
from dicem_shared.limits import exceeded
from dicem_shared.program import prepare
from dicem_shared.runner import Context, Failed, Finished, Interpreter, Outcome, RunLimits, Waiting

HEAD = "import hermod\nasync def execute_command(image):\n    print('begun')\n"
WAITS = HEAD + "    try:\n        return await hermod.call('llm', prompt='x')\n    finally:\n        print('finally')\n"
THEN_LOOPS = HEAD + "    await hermod.call('llm', prompt='x')\n    while True:\n        pass\n"
STUCK = "import math\ndef execute_command(image):\n    return math.gcd((1 << 9000000) - 1, (3 << 8990000) + 7)\n"
SAID = [(1, Outcome(result={"output": "y"}))]


@pytest.mark.parametrize("limit", ["wall_s", "bytes_up_kb", "usd"])
def test_a_run_that_is_stopped_says_which_limit_it_passed(desk: Any, limit: str) -> None:
    run = desk.start(WAITS)
    step = run.stop(limit, got="too much")
    assert isinstance(step, Failed)
    assert isinstance(step.error, ProgramLimitError)
    assert (step.error.limit, step.error.got, step.printed) == (limit, "too much", "begun\n")
    assert f"limits.program.{limit}" in step.error.todo
    assert step.error.expected.startswith(f"at most {getattr(RunLimits(), limit):g} ")
    assert run.pending == {1}
    assert run.resume(SAID) is step
    assert run.stop("usd") is step


def test_a_run_that_has_ended_is_not_stopped(desk: Any) -> None:
    run = desk.start(WAITS)
    assert run.resume(SAID) == run.stop("wall_s") == Finished({"output": "y"}, "begun\nfinally\n")


def test_a_run_that_is_stopped_gives_its_worker_back() -> None:
    with Interpreter(catalog(), max_runs=1) as interpreter:
        for _ in range(5):
            run = interpreter.start(prepare(WAITS), Context("boat", _frame()))
            assert isinstance(run.step, Waiting)
            run.stop("wall_s")


def test_who_computes_past_the_time_that_is_left_is_killed_and_the_next_one_runs() -> None:
    with Interpreter(catalog(), RunLimits(cpu_s=30), max_runs=1) as interpreter:
        for _ in range(2):
            run = interpreter.start(prepare(THEN_LOOPS), Context("boat", _frame()))
            step = run.resume(SAID, within_s=0.05)
            assert isinstance(step, Failed)
            assert (step.error.limit, step.printed) == ("wall_s", "begun\n")  # type: ignore[attr-defined]
            run = interpreter.start(prepare(WAITS), Context("boat", _frame()))
            assert run.resume(SAID, within_s=20) == Finished({"output": "y"}, "begun\nfinally\n")


def test_a_time_to_compute_that_is_over_already(desk: Any) -> None:
    run = desk.start(THEN_LOOPS)
    step = run.resume(SAID, within_s=-1.0)
    assert isinstance(step, Failed)
    assert step.error.limit == "wall_s"  # type: ignore[attr-defined]


def test_the_wall_stops_computing_too() -> None:
    loops = "def execute_command(image):\n    while True: pass\n"
    with Interpreter(catalog(), RunLimits(cpu_s=30, wall_s=0.05)) as interpreter:
        step = interpreter.start(prepare(loops), Context("boat", _frame())).step
    assert isinstance(step, Failed)
    assert isinstance(step.error, ProgramLimitError)


def test_an_operation_that_looks_at_no_clock_is_killed_and_the_next_program_runs() -> None:
    with Interpreter(catalog(), RunLimits(cpu_s=0.05), max_runs=1) as interpreter:
        for _ in range(2):
            step = interpreter.start(prepare(STUCK), Context("boat", _frame())).step
            assert isinstance(step, Failed)
            assert step.error.limit == "cpu_s"  # type: ignore[attr-defined]
            fine = interpreter.start(prepare("def execute_command(image):\n    return 1\n"), Context("boat", _frame()))
            assert fine.step == Finished(1, "")


def test_a_message_is_kept_as_far_as_it_is_worth_it(desk: Any) -> None:
    error = desk.error(HEAD + "    raise ValueError('é' * 100000)\n")
    assert str(error).startswith("p:4: ValueError: éééé")
    assert str(error).endswith("é... (100000 characters)")
    assert len(str(error)) < 4100


def test_an_error_keeps_nothing_of_what_was_too_large(desk: Any) -> None:
    for body in ("return ['x' * 900] * 900", "return lambda: 1", "return image.nothing"):
        assert desk.error(HEAD + f"    {body}\n").__traceback__ is None


def test_every_limit_has_words_for_it() -> None:
    limits = RunLimits()
    for name in RunLimits.model_fields:
        error = exceeded(limits, name, "p:3", got="more")
        assert str(error).startswith("p:3: ")
        assert (error.limit, error.got) == (name, "more")
        assert f"raise limits.program.{name} in the config" in str(error)


def _frame() -> Any:
    from dicem_shared.types import FrameInfo

    return FrameInfo(camera="bow", sequence=7, t_utc=1_700_000_000.0, blob="ab" * 32, width=120, height=80)
