"""The runner on a virtual clock: calls overlap, queue for workers, and end in time; always the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dicem_codegen.verify import Observed, World, with_effects
from dicem_codegen.verify.desk import load, run
from dicem_codegen.verify.drive import LIMITS, load_twin
from dicem_codegen.verify.drive import run as drive
from dicem_shared.functions import Registry
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter

FUNCTIONS = with_effects()


class Timed(World):
    """Nothing fails; a prompt `a 2.5` takes 2.5 seconds."""

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        return float(str(params.get("prompt", params.get("text", "x 1"))).split()[-1])

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Any:
        return self.instead(name, params, occurrence)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS, LIMITS) as opened:
        yield opened


def source(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"import asyncio\nimport hermod\nasync def execute_command(image):\n{lines}"


def timed(interpreter: Interpreter, body: str, workers: int | None = None) -> Observed:
    return drive(prepare(source(body)), Timed(1, FUNCTIONS), interpreter, workers=workers)


def call(prompt: str, **said: Any) -> str:
    return f"hermod.call('llm', prompt={prompt!r}{''.join(f', {k}={v!r}' for k, v in said.items())})"


def spans(observed: Observed) -> list[tuple[float | None, float | None]]:
    return [(made.start_s, made.end_s) for made in observed.calls]


SIDE_BY_SIDE = f"jobs = [{call('a 3')}, {call('b 1')}, {call('c 2')}]\nreturn [len(await job) for job in jobs]"


def test_one_after_the_other(interpreter: Interpreter) -> None:
    seen = timed(interpreter, f"await {call('a 3')}\nawait {call('b 1')}\nawait {call('c 2')}")
    assert spans(seen) == [(0, 3), (3, 4), (4, 6)]
    assert seen.makespan_s == 6


def test_side_by_side(interpreter: Interpreter) -> None:
    seen = timed(interpreter, SIDE_BY_SIDE)
    assert spans(seen) == [(0, 3), (0, 1), (0, 2)]
    assert seen.makespan_s == 3


def test_a_synchronous_call_lets_time_pass(interpreter: Interpreter) -> None:
    seen = timed(interpreter, f"job = {call('a 3')}\nllm_query('b 1')\nllm_query('c 1')\nawait job")
    assert spans(seen) == [(0, 3), (0, 1), (1, 2)]
    assert seen.makespan_s == 3


@pytest.mark.parametrize(
    ("workers", "expected"),
    [(1, [(0, 3), (3, 4), (4, 6)]), (2, [(0, 3), (0, 1), (1, 3)]), (3, [(0, 3), (0, 1), (0, 2)])],
)
def test_workers(interpreter: Interpreter, workers: int, expected: list[tuple[float, float]]) -> None:
    seen = timed(interpreter, SIDE_BY_SIDE, workers)
    assert spans(seen) == expected
    assert seen.makespan_s == max(end for _, end in expected)


def test_the_queue_goes_by_priority_then_by_number(interpreter: Interpreter) -> None:
    jobs = [call("a 1"), call("b 1"), call("c 1", priority=1), call("d 1"), call("e 1", priority=1)]
    seen = timed(interpreter, f"jobs = [{', '.join(jobs)}]\nfor job in jobs:\n    await job", 1)
    order = sorted(seen.calls, key=lambda made: made.start_s or 0.0)
    assert [made.params["prompt"][0] for made in order] == ["c", "e", "a", "b", "d"]


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(interpreter: Interpreter, workers: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        timed(interpreter, SIDE_BY_SIDE, workers)


def test_what_is_left_when_the_program_ends(interpreter: Interpreter) -> None:
    """Under way, queued, or made with the last breath."""
    seen = timed(interpreter, f"a, b, c = {call('a 5')}, {call('b 1')}, {call('c 9')}\nawait b\n{call('d 1')}", 2)
    assert spans(seen) == [(0, None), (0, 1), (1, None), (None, None)]
    assert seen.makespan_s == 1
    assert [made.result is not None for made in seen.calls] == [True] * 4  # known to the world, not to the program


def test_calls_that_end_at_once_end_in_their_order(interpreter: Interpreter) -> None:
    body = f"""
seen = []
async def one(job, name):
    await job
    seen.append(name)
await asyncio.gather(one({call("a 2")}, "a"), one({call("b 1")}, "b"), one({call("c 2")}, "c"), one({call("d 1")}, "d"))
return seen
"""
    assert timed(interpreter, body).value == ["b", "d", "a", "c"]


def test_surplus_calls_are_marked(interpreter: Interpreter) -> None:
    body = f"hermod.share_calls()\nwith hermod.ahead():\n    {call('a 1')}\n    {call('b 5')}\nawait {call('a 1')}"
    seen = timed(interpreter, body)
    assert [(made.params["prompt"], made.taken, made.end_s) for made in seen.calls] == [
        ("a 1", True, 1), ("b 5", False, None),
    ]  # fmt: skip


def test_impure_calls_are_numbered(interpreter: Interpreter) -> None:
    seen = timed(interpreter, "return [(await hermod.call('counter'))['n'] for _ in range(3)]")
    assert seen.value == [1, 2, 3]
    assert [(made.pure, made.occurrence) for made in seen.calls] == [(False, 0), (False, 1), (False, 2)]


STRANDS = f"""
hermod.share_calls()
async def strand():
    first = (await {call("a 1")})["output"]
    with hermod.ahead():
        hermod.call("llm", prompt=first + " 2")
hermod.spawn(strand())
await {call("b 3")}
first = (await {call("a 1")})["output"]
return (await hermod.call("llm", prompt=first + " 2"))["output"]
"""


@pytest.mark.parametrize("body", [SIDE_BY_SIDE, STRANDS], ids=["side by side", "strands"])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_in_cpython_and_every_time(interpreter: Interpreter, body: str, seed: int) -> None:
    world = Timed(seed, FUNCTIONS)
    told = [drive(prepare(source(body)), world, interpreter) for _ in range(2)]
    assert told[0] == told[1]
    outside = run(load(source(body), concurrent=True), world, LIMITS)
    assert (outside.value, outside.makespan_s, outside.pure_keys) == (
        told[0].value, told[0].makespan_s, told[0].pure_keys,
    )  # fmt: skip
    assert told[0].makespan_s == 3


def test_a_twin_is_another_program_of_the_same_identity() -> None:
    original = prepare(source("return 1"), name="litter")
    twin = load_twin(source("return 2"), original)
    assert twin.id == original.id
    assert (twin.name, twin.source) == ("litter", source("return 2"))
    assert prepare(source("return 2")).id != original.id


def test_limits_and_refusals(interpreter: Interpreter) -> None:
    ends = {
        "while True:\n    print('x' * 5000)": ("output_kb", "limit"),
        "yield 1": ("not run", "refused"),
        "return float('inf')": ("not stored", "interpreter"),
        "def f(n):\n    return f(n + 1)\nreturn f(0)": ("RecursionError", "interpreter"),
        "raise ValueError('x: y')": ("ValueError", "interpreter"),
        "return {}['a: b']": ("KeyError", "interpreter"),
    }
    for body, expected in ends.items():
        error = timed(interpreter, body).error
        assert error is not None
        assert (error.type, error.origin) == expected
    assert timed(interpreter, "raise ValueError('ValueError: x: y')").error.message == "ValueError: x: y"  # type: ignore[union-attr]


def test_functions_of_the_world_and_no_others(interpreter: Interpreter) -> None:
    small = Registry(spec for spec in FUNCTIONS if spec.name == "llm")
    told = run(load(source("return hermod.call('depth', image=image)")), World(1, small), LIMITS)
    assert told.error is not None
    assert told.error.message.startswith("no function is called 'depth'")
