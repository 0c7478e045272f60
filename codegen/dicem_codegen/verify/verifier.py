"""Whether a program and its compiled form mean the same.

    with Verifier() as verifier:
        verdict = verifier.check(source, compiled_source, range(100))
        assert verdict.same, verdict.difference

The original runs in CPython, in the oracle's process.  The compiled program runs in the runner and, with calls that
overlap, in CPython too, because it must mean the same in both.  One verifier serves thousands of programs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dicem_shared.catalog import SPECS
from dicem_shared.errors import ProgramSyntaxError
from dicem_shared.functions import FunctionSpec
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter, RunLimits

from . import drive
from .chance import hints_of
from .compare import Aspect, Leave, compare, surplus_of
from .observed import Observed
from .oracle import Job, Oracle, OracleTrouble, Seen
from .world import World, with_effects

Where = Literal["runner", "cpython"]


@dataclass(frozen=True)
class Difference:
    """The first seed at which the two programs can be told apart."""

    seed: int
    where: Where
    """in which interpreter the compiled program did `got`"""
    aspects: tuple[Aspect, ...]
    expected: Observed
    got: Observed

    def __str__(self) -> str:
        first = self.aspects[0]
        return f"seed {self.seed}, in the {self.where}: {first.kind}: expected {first.expected}, got {first.got}"


@dataclass
class Totals:
    """Counts over all worlds; seconds are the worlds'."""

    seeds: int = 0
    raised: int = 0
    """worlds in which the original raises"""
    calls: int = 0
    """that the originals made"""
    compiled_calls: int = 0
    surplus: int = 0
    """pure calls that the compiled program made in the runner and the original did not"""
    serial_s: float = 0.0
    """of the originals, one call after the other, where they complete"""
    compiled_s: float = 0.0
    """of the compiled programs in the runner, in the same worlds"""
    unspecified: int = 0
    """worlds in which the original hangs on the order of a set, and only the runner's order differs"""

    @property
    def makespan_ratio(self) -> float | None:
        """How much of the serial time the compiled program takes."""
        return self.compiled_s / self.serial_s if self.serial_s else None


@dataclass
class Verdict:
    """What became of it."""

    totals: Totals = field(default_factory=Totals)
    difference: Difference | None = None
    differing: int = 0
    """seeds at which there is a difference, of those that were tried"""
    trouble: OracleTrouble | None = None
    """the oracle could not say what the original means; nothing was found before"""

    @property
    def same(self) -> bool:
        """No difference was found, and the oracle could always say."""
        return self.difference is None and self.trouble is None


class Verifier:
    """See the module's text.  Use as a context manager.

    `functions` are those that programs may call; two impure ones are added (`world.with_effects`).
    """

    def __init__(
        self, functions: Iterable[FunctionSpec] = SPECS, limits: RunLimits = drive.LIMITS,
        *, patience_s: float | None = None,
    ) -> None:  # fmt: skip
        self.functions = with_effects(functions)
        self.interpreter = Interpreter(self.functions, limits)
        self.oracle = Oracle(self.functions, limits, patience_s=patience_s)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Verifier:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.interpreter)
            stack.enter_context(self.oracle)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def world(self, seed: int, source: str) -> World:
        """What a program and its compiled form meet at a seed.

        :raises ProgramError: it does not parse
        """
        prepare(source)
        return World(seed, self.functions, hints_of(source))

    def check(
        self, source: str, compiled: str, seeds: Iterable[int], *, speculation: bool = False, keep_going: bool = False,
        progress: Callable[[], None] = lambda: None, where: tuple[str, str] = ("program", "compiled program"),
    ) -> Verdict:  # fmt: skip
        """Hold `compiled` against `source` in the worlds of `seeds`, up to the first difference.

        `speculation`: surplus pure calls are counted and are no difference.  `keep_going`: try all seeds, and keep the
        difference with the fewest calls.  `progress` is called once a seed.  `where`: what messages call the two.

        :raises ProgramError: one of the two is no program
        """
        original = prepare(source, where=where[0])
        twin = drive.load_twin(compiled, original, where=where[1])
        jobs, hints = [Job(source), Job(compiled, original.id, concurrent=True)], hints_of(source)
        verdict = Verdict()
        for seed, seen in self._seen(jobs, seeds, hints, where):
            progress()
            if isinstance(seen, OracleTrouble):
                verdict.trouble = None if verdict.difference else seen
                return verdict
            expected = seen.observed[0]
            world = World(seed, self.functions, hints)
            got = drive.run(twin, world, self.interpreter)
            _count(verdict.totals, expected, got)
            difference = self._difference(source, world, got, seen, speculation, verdict.totals)
            if difference is None:
                continue
            verdict.differing += 1
            if verdict.difference is None or _size(difference) < _size(verdict.difference):
                verdict.difference = difference
            if not keep_going:
                break
        return verdict

    def _seen(
        self, jobs: list[Job], seeds: Iterable[int], hints: tuple[str | float, ...], where: tuple[str, str]
    ) -> Iterator[tuple[int, Seen | OracleTrouble]]:
        """What the oracle saw.  Where the original went over a limit, it cannot say what that means.

        :raises ProgramSyntaxError: CPython does not compile one of them
        """
        try:
            for seed, seen in self.oracle.run(jobs, seeds, hints):
                if (
                    not isinstance(seen, OracleTrouble)
                    and (error := seen.observed[0].error)
                    and error.origin == "limit"
                ):
                    yield seed, OracleTrouble(f"{error.message} (in the world of seed {seed})")
                else:
                    yield seed, seen
        except OracleTrouble as trouble:
            if trouble.refused is None:
                raise
            said = trouble.what.removeprefix("oracle: program:")
            raise ProgramSyntaxError(f"{where[trouble.refused]}:{said}") from None

    def _difference(
        self, source: str, world: World, got: Observed, seen: Seen, speculation: bool, totals: Totals
    ) -> Difference | None:
        expected, beside = seen.observed

        def made_later(wanted: frozenset[str]) -> frozenset[str]:
            left = wanted - surplus_of(expected, beside)  # others than in CPython
            return seen.made_later | (self.oracle.made_later(source, world, left) if left else frozenset())

        in_cpython = compare(expected, beside, Leave(made_later, speculation))
        words = not in_cpython
        in_runner = compare(expected, got, Leave(made_later, speculation, words))
        if in_runner and not in_cpython and self.oracle.hangs_on_order(source, world):
            totals.unspecified += 1
            return None
        if in_runner:
            return Difference(world.seed, "runner", tuple(in_runner), expected, got)
        if in_cpython:
            return Difference(world.seed, "cpython", tuple(in_cpython), expected, beside)
        return None


def _size(difference: Difference) -> tuple[int, int]:
    return len(difference.expected.calls), len(difference.expected.printed)


def _count(totals: Totals, expected: Observed, got: Observed) -> None:
    totals.seeds += 1
    totals.calls += len(expected.calls)
    totals.compiled_calls += len(got.calls)
    totals.surplus += len(surplus_of(expected, got))
    if expected.error is not None:
        totals.raised += 1
    elif got.error is None:
        totals.serial_s += expected.makespan_s
        totals.compiled_s += got.makespan_s
