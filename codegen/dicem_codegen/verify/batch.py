"""Drives programs in the real runner, on a virtual clock, with a number of workers that they share.

`drive` runs one program and observes what it does; here only times matter, but programs may run side by side, and which
of the calls that wait goes first is a policy (`dicem_codegen.ranking`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from dicem_shared.program import Program
from dicem_shared.runner import Failed, Interpreter, Outcome, ProgramCall, Run, Waiting

from ..ranking import Policy, Workers, first_come
from .world import Occurrences, World


@dataclass(frozen=True)
class Entry:
    """A program, the world that it meets, and who of its calls goes first."""

    program: Program
    world: World
    policy: Policy = first_come


@dataclass
class Ran:
    """When programs ended and what they asked; seconds from the start of the batch, simulated."""

    ended_s: list[float]
    """of each program"""
    busy_s: float = 0.0
    """what the workers have worked, all together; calls that were withdrawn as far as they got"""
    calls: int = 0
    surplus: int = 0
    """of these, calls that no line of a program came to"""
    failed: list[int] = field(default_factory=list)
    """the programs that raised, by their place in the batch"""

    @property
    def makespan_s(self) -> float:
        """The end of the last one."""
        return max(self.ended_s, default=0.0)


def run_batch(
    entries: Sequence[Entry], interpreter: Interpreter, workers: int | None = None, *, in_flight: int = 1
) -> Ran:
    """Run programs, at most `in_flight` at once, in order, their calls on `workers` (None: as many as they ask).

    Calls of the program that came first go first; among those of one program its policy decides.

    :raises ValueError: fewer than one worker or program at once
    """
    if in_flight < 1 or (workers is not None and workers < 1):
        raise ValueError(f"expected at least one worker and one program at once, got {workers} and {in_flight}")
    batch = _Batch(entries, interpreter, workers)
    try:
        return batch.play(in_flight)
    finally:
        batch.close()


@dataclass
class _Program:
    """A program under way."""

    run: Run
    occurrences: Occurrences
    queue: list[ProgramCall] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)


@dataclass(order=True)
class _UnderWay:
    """A call that a worker has; `order` breaks ties."""

    end_s: float
    order: int
    program: int = field(compare=False)
    number: int = field(compare=False)
    start_s: float = field(compare=False)
    function: str = field(compare=False)
    outcome: Outcome = field(compare=False)


class _Batch:
    """The clock, the workers and the programs."""

    def __init__(self, entries: Sequence[Entry], interpreter: Interpreter, workers: int | None) -> None:
        self.entries, self.interpreter, self.workers = entries, interpreter, workers
        self.now_s = 0.0
        self.waiting = list(range(len(entries)))
        self.programs: dict[int, _Program] = {}
        self.under_way: list[_UnderWay] = []
        self.order = 0
        self.ran = Ran([0.0] * len(entries))

    def play(self, in_flight: int) -> Ran:
        """Until all have ended."""
        while self.waiting or self.programs:
            while self.waiting and len(self.programs) < in_flight:
                self._begin(self.waiting.pop(0))
            self._start_calls()
            if self.programs and self.under_way:
                self._let_calls_end()
        return self.ran

    def close(self) -> None:
        """Give the interpreter its workers back, whatever happened."""
        for program in self.programs.values():
            program.run.close()

    def _begin(self, index: int) -> None:
        entry = self.entries[index]
        run = self.interpreter.start(entry.program, entry.world.context)
        self.programs[index] = _Program(run, entry.world.occurrences())
        self._after_step(index)

    def _after_step(self, index: int) -> None:
        program = self.programs[index]
        step = program.run.step
        if isinstance(step, Waiting):
            program.queue += step.calls
            return
        if isinstance(step, Failed):
            self.ran.failed.append(index)
        self.ran.ended_s[index] = self.now_s
        self.ran.calls += len(program.run.calls)
        self.ran.surplus += len(program.run.surplus)
        withdrawn = [call for call in self.under_way if call.program == index]
        self.ran.busy_s += sum(self.now_s - call.start_s for call in withdrawn)
        self.under_way = [call for call in self.under_way if call.program != index]
        heapq.heapify(self.under_way)
        del self.programs[index]

    def _start_calls(self) -> None:
        for index, program in self.programs.items():
            policy, world = self.entries[index].policy, self.entries[index].world
            while program.queue and (self.workers is None or len(self.under_way) < self.workers):
                call = policy(program.queue, self._state())
                program.queue.remove(call)
                occurrence = program.occurrences.next(call.function)
                outcome = world.outcome(call.function, call.params, occurrence)
                end_s = self.now_s + world.latency(call.function, call.params, occurrence)
                self.order += 1
                under_way = _UnderWay(end_s, self.order, index, call.number, self.now_s, call.function, outcome)
                heapq.heappush(self.under_way, under_way)

    def _state(self) -> Workers:
        """What a policy may know of the workers; of those without number, one is free."""
        free = 1 if self.workers is None else self.workers - len(self.under_way)
        return Workers(free, tuple((call.function, self.now_s - call.start_s) for call in self.under_way))

    def _let_calls_end(self) -> None:
        self.now_s = self.under_way[0].end_s
        ended: dict[int, list[tuple[int, Outcome]]] = {}
        while self.under_way and self.under_way[0].end_s == self.now_s:
            call = heapq.heappop(self.under_way)
            self.ran.busy_s += call.end_s - call.start_s
            ended.setdefault(call.program, []).append((call.number, call.outcome))
        for index, outcomes in ended.items():
            self.programs[index].run.resume(outcomes)
            self._after_step(index)
