"""Whether the compiled form means what the lowered serial form means, both in the interpreter.

The verifier's oracle is CPython, which confines nobody, so it is not for programs that a model wrote.  Here the lowered
serial form takes its place: with the same worlds (`verify/world.py`), the same rule (`verify/compare.py`) and the same
virtual clock.  What that cannot show is a mistake of `lower`, which both forms would share; the verifier looks for
those in programs that we generated.

In each world the serial form runs with every call ending as soon as it is made, the compiled one twice: with the
world's own latencies, and with later calls ending before earlier ones.

Surplus calls.  Where the serial form raises, the compiled one may have started pure calls that come later, unless an
undecided guard stands between.  The verifier softens failures inside the program to find that out; here the *world* is
softened: the call that failed gives what it might have given, one possibility after the other, and a call that is left
out by a run which then completes was not to be started.  Failures of the language itself cannot be softened from
outside, and those that a `try` of the program catches cannot be seen: surplus calls behind them are counted and pass.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dicem_shared.errors import ConfigError, ProgramError
from dicem_shared.program import Program
from dicem_shared.runner import Interpreter, Outcome

from ..types import printable
from ..verify import drive
from ..verify.chance import hints_of
from ..verify.compare import Leave, compare
from ..verify.observed import MadeCall, Observed
from ..verify.world import World, call_key
from ..walking import walk
from .serial import Serial
from .types import Problem

WORLDS: Final = range(16)
PATIENCE_S: Final = 1.5
"""Once so much wall time has gone, no further world is tried, but for the first `AT_LEAST`."""
AT_LEAST: Final = 8
VARIANTS: Final = range(4)
"""Of what a failed call might have given: what comes, the least, the most, what the program compares answers with."""


@dataclass(frozen=True)
class Timed(World):
    """A world whose calls take a time that follows from the order in which they are made."""

    order: int = 0
    """0: no time at all; 1: each a little longer than the one before; -1: half as long as the one before"""
    made: list[None] = field(default_factory=list, compare=False)

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        """Seconds of the virtual clock."""
        self.made.append(None)
        number = len(self.made)
        return 0.0 if not self.order else 1000.0 + number if self.order > 0 else float(1000 * 0.5**number)


@dataclass(frozen=True)
class Softened(Timed):
    """A world in which some calls that failed give what they might have given."""

    failing: frozenset[str] = frozenset()
    known: frozenset[str] | None = None
    """calls that go as they went; all others do not fail.  None: only `failing` is softened"""
    variant: int = 0

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
        """How a call ends."""
        key = call_key(name, params)
        soft = key in self.failing or (self.known is not None and key not in self.known)
        usual = super().outcome(name, params, occurrence)
        if not soft or usual.failure is None:
            return usual
        return self.instead(name, params, occurrence, self.variant)


@dataclass
class Counted:
    """What was tried."""

    worlds: int = 0
    raised: int = 0
    """worlds in which the serial form raises"""
    surplus: int = 0
    """calls that only the compiled form made, behind failures of which nothing can be said"""


def same_meaning(
    serial: Serial, source: str, compiled: str, interpreter: Interpreter, *, worlds: Iterable[int] = WORLDS,
    speculation: bool = False,
) -> tuple[tuple[Problem, ...], str]:  # fmt: skip
    """The first difference, and a word for people about what was tried.

    :param interpreter: knows the functions; its limits are those of a frame
    """
    try:
        twin = drive.load_twin(compiled, serial.program)
    except ProgramError as cause:
        return (_problem(f"the compiled form is no program: {cause}"),), ""
    catches = any(isinstance(node, (ast.Try, ast.TryStar)) for node in walk(serial.tree))
    comparison = _Comparison(serial.program, twin, interpreter, hints_of(source), speculation, catches)
    until_s = time.monotonic() + PATIENCE_S
    try:
        for seed in worlds:
            difference = comparison.difference(seed)
            if difference:
                return (_problem(difference),), comparison.text()
            if time.monotonic() > until_s and comparison.counted.worlds >= AT_LEAST:
                break
    except ConfigError as cause:
        return (), f"not made: {cause}"
    return (), comparison.text()


def _problem(what: str) -> Problem:
    hint = "This is a mistake of the compiler's: write that part in a simpler way"
    return Problem(1, 1, printable(what)[:500], hint)


@dataclass
class _Comparison:
    serial: Program
    twin: Program
    interpreter: Interpreter
    hints: tuple[str | float, ...]
    speculation: bool
    catches: bool
    """whether the program has a `try`"""
    counted: Counted = field(default_factory=Counted)
    _runs: dict[tuple[int, bool], list[frozenset[str]]] = field(default_factory=dict)

    def text(self) -> str:
        """For people."""
        counted = self.counted
        said = f"{counted.worlds} worlds, {counted.raised} of them with an exception"
        return f"{said}, {counted.surplus} surplus calls" if counted.surplus else said

    def difference(self, seed: int) -> str:
        """What differs in the world of a seed; "" if nothing does."""
        world = World(seed, self.interpreter.registry, self.hints)
        expected = self._run(self.serial, _timed(world, 0))
        if expected.error is not None and expected.error.origin == "limit":
            return ""  # it has no meaning to compare
        self.counted.worlds += 1
        self.counted.raised += expected.error is not None
        expected = self._with_order(expected, world)
        for timed in (world, _timed(world, -1)):
            got = self._run(self.twin, timed)
            leave = Leave(lambda surplus: self._allowed(expected, world, surplus), self.speculation)
            found = compare(expected, got, leave)
            if found:
                first = found[0]
                return f"compiled, it does something else ({first.kind}): expected {first.expected}, got {first.got}"
        return ""

    def _run(self, program: Program, world: World) -> Observed:
        return drive.run(program, world, self.interpreter)

    def _with_order(self, expected: Observed, world: World) -> Observed:
        """The serial run, its impure calls with those that have to have ended before: those that had, whether calls end
        in the order in which they are made or the other way round.
        """
        if not expected.impure:
            return expected
        before: dict[str, set[str]] = {}
        for order in (1, -1):
            for call, ended in _ended_before(self._run(self.serial, _timed(world, order))).items():
                before[call] = before[call] & ended if call in before else ended
        calls = tuple(
            replace(call, after=tuple(c.number for c in expected.calls if _name(c) in before.get(_name(call), ())))
            for call in expected.calls
        )
        return replace(expected, calls=calls)

    def _allowed(self, expected: Observed, world: World, surplus: frozenset[str]) -> frozenset[str]:
        """Which surplus calls the serial form would have made, had it not failed."""
        error = expected.error
        if error is None and not self.catches:
            return frozenset()
        failing = frozenset(c.key for c in expected.calls if error and c.failure == (error.type, error.message))
        if self.catches or not failing:
            self.counted.surplus += len(surplus)
            return surplus
        known = frozenset(call.key for call in expected.calls) - failing
        allowed = frozenset[str]()
        for as_known in (known, None):  # later failures softened too, or as they are
            left_out = {key for made in self._softened(world, failing, as_known) for key in surplus - made}
            allowed |= surplus - left_out
            if allowed == surplus:
                break
        return allowed

    def _softened(self, world: World, failing: frozenset[str], known: frozenset[str] | None) -> list[frozenset[str]]:
        """The pure calls of each softened run that completes."""
        key = (world.seed, known is None)
        if key not in self._runs:
            soft = [Softened(world.seed, world.functions, world.hints, 0, [], failing, known, v) for v in VARIANTS]
            runs = [self._run(self.serial, each) for each in soft]
            self._runs[key] = [made.pure_keys for made in runs if made.error is None]
        return self._runs[key]


def _timed(world: World, order: int) -> Timed:
    made = Timed(world.seed, world.functions, world.hints, order)
    made.__dict__["_ends"] = world._ends  # the same outcomes, made once
    return made


def _name(call: MadeCall) -> str:
    """Equal pure calls are one, impure ones are numbered."""
    return call.key if call.pure else f"{call.name} {call.occurrence}"


def _ended_before(seen: Observed) -> dict[str, set[str]]:
    """For each impure call, those that had ended when it started."""
    return {
        _name(call): {
            _name(each)
            for each in seen.calls
            if each.number < call.number and each.end_s is not None and each.end_s <= (call.start_s or 0.0)
        }
        for call in seen.impure
    }
