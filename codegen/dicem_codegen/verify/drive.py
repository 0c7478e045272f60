"""Drives a program in the real runner on a virtual clock, against a made-up world."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from typing import Final

from dicem_shared.errors import ProgramError, ProgramFailed, ProgramLimitError, ProgramSyntaxError
from dicem_shared.program import Program, prepare
from dicem_shared.runner import Failed, Finished, Interpreter, Outcome, ProgramCall, Run, RunLimits, Waiting

from .observed import NOT_STORED, MadeCall, Observed, Raised
from .world import World

LIMITS: Final = RunLimits(cpu_s=5, memory_mb=256, calls=1000, output_kb=1000, recursion=1000)
"""Wide: what a limit does to a program is no part of what the program means."""


@dataclass(frozen=True)
class Twin(Program):
    """A compiled program with the identity of the one that it was made from: both meet the same chance."""

    identity: str = ""

    @property
    def id(self) -> str:
        return self.identity


def load_twin(source: str, original: Program, *, where: str = "compiled program") -> Program:
    """A rewrite of `original`, made ready.

    :raises ProgramError: it is no program
    """
    own = prepare(source, name=original.name, where=where)
    return Twin(**{**vars(own), "identity": original.id})


@dataclass
class _Timed:
    """A call on the clock."""

    call: ProgramCall
    occurrence: int
    outcome: Outcome
    latency_s: float
    start_s: float | None = None
    end_s: float | None = None


class _Schedule:
    """Which calls run when.  Without a free worker they queue: smallest priority first, then in order."""

    def __init__(self, world: World, workers: int | None) -> None:
        self.now_s = 0.0
        self.timed: dict[int, _Timed] = {}
        self._world, self._workers = world, workers
        self._occurrences = world.occurrences()
        self._queue: list[tuple[int, int]] = []
        self._under_way: list[tuple[float, int]] = []

    def add(self, calls: tuple[ProgramCall, ...]) -> None:
        """Calls that the program has made now."""
        for call in calls:
            occurrence = self._occurrences.next(call.function)
            outcome = self._world.outcome(call.function, call.params, occurrence)
            latency_s = self._world.latency(call.function, call.params, occurrence)
            self.timed[call.number] = _Timed(call, occurrence, outcome, latency_s)
            heapq.heappush(self._queue, (call.priority, call.number))
        self._begin()

    def next(self) -> list[tuple[int, Outcome]]:
        """Let time pass until calls end: those, in their order."""
        end_s = self._under_way[0][0]
        self.now_s = end_s
        ended = []
        while self._under_way and self._under_way[0][0] == end_s:
            _, number = heapq.heappop(self._under_way)
            self.timed[number].end_s = end_s
            ended.append((number, self.timed[number].outcome))
        self._begin()
        return ended

    def _begin(self) -> None:
        while self._queue and (self._workers is None or len(self._under_way) < self._workers):
            _, number = heapq.heappop(self._queue)
            timed = self.timed[number]
            timed.start_s = self.now_s
            heapq.heappush(self._under_way, (self.now_s + timed.latency_s, number))


def run(program: Program, world: World, interpreter: Interpreter, *, workers: int | None = None) -> Observed:
    """Run a program once in the runner.  `interpreter` knows the world's functions.

    `workers`: at most so many calls run at once, the others queue by priority and number; None: all that are asked.
    The same arguments give the same, bit for bit.

    :raises ValueError: fewer than one worker
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    schedule = _Schedule(world, workers)
    under_way = interpreter.start(program, world.context)
    try:
        step = under_way.step
        while isinstance(step, Waiting):
            schedule.add(step.calls)
            step = under_way.resume(schedule.next())
    finally:
        under_way.close()
    return _observed(step, under_way, schedule, world)


def _observed(step: Finished | Failed, ended: Run, schedule: _Schedule, world: World) -> Observed:
    schedule.add(tuple(call for call in ended.calls if call.number not in schedule.timed))  # made at the very end
    surplus, calls = ended.surplus, []
    for call in ended.calls:
        timed = schedule.timed[call.number]
        failure = timed.outcome.failure
        calls.append(
            MadeCall(
                call.number, call.function, call.params, world.functions.get(call.function).pure, timed.occurrence,
                timed.outcome.result, (failure.kind, failure.message) if failure else None,
                timed.start_s, timed.end_s, taken=call.number not in surplus,
            )
        )  # fmt: skip
    value = step.value if isinstance(step, Finished) else None
    error = _raised(step.error, calls) if isinstance(step, Failed) else None
    return Observed(value, (), step.printed, error, tuple(calls), schedule.now_s)


def _raised(error: ProgramError, calls: list[MadeCall]) -> Raised:
    match error:
        case ProgramFailed():
            message = str(error).split(f"{error.exc_type}: ", 1)[-1]
            of_a_call = any((error.exc_type, message) == call.failure for call in calls)
            return Raised(error.exc_type, message, "call" if of_a_call else "interpreter", error.line)
        case ProgramLimitError() if error.limit == "recursion":
            return Raised("RecursionError", error.got, line=_line(error))
        case ProgramLimitError():
            return Raised(error.limit, error.what, "limit", _line(error), error.expected)
        case ProgramSyntaxError():
            return Raised("not run", str(error), "refused")
    return Raised(NOT_STORED, "", detail=error.got or error.what)


def _line(error: ProgramLimitError) -> int | None:
    """Where a limit was passed: the message begins with the program's name and that."""
    found = re.match(r"[^:]*:(\d+): ", error.what)
    return int(found.group(1)) if found else None
