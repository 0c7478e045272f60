"""A world of functions made from a seed: what each call gives, how long it takes, and whether it fails.

All of it follows from the seed, the function's name and the arguments, for impure functions also from how often the
function was called before; nothing follows from time.  So the same program meets the same world in every interpreter
and in whatever order its calls run, and what two programs do differently is their own doing.

Worlds differ from each other: in the size of the frame, in what there is to see, in how alike answers are (ties!), in
how long calls take, and in how many of them fail: none in two worlds of five, 5 to 30 % in the others, and now and then
every call of one function.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from dicem_shared.catalog import SPECS
from dicem_shared.functions import FunctionSpec, Registry, function
from dicem_shared.runner import Context, Outcome
from dicem_shared.types import Failure, FrameInfo

from .chance import Dice, Traits
from .results import make_result

EPOCH_S: Final = 1_700_000_000.0
MAX_SECONDS: Final = 10**9
"""Worlds lie within so many seconds: a frame's time is one that a calendar has."""
FRAME_SIZES: Final = ((120, 80), (64, 48), (320, 240), (641, 479))
VOCABULARIES: Final[tuple[tuple[str, ...], ...]] = (
    (), ("litter", "bottle", "can"), ("car", "person", "boat"), ("litter", "car", "person", "boat", "buoy"),
)  # fmt: skip
FAILURES: Final[dict[Literal["RuntimeError", "TimeoutError", "ValueError"], str]] = {
    "RuntimeError": "{name}: the model failed ({code})",
    "TimeoutError": "{name}: no answer before the deadline ({code})",
    "ValueError": "{name}: this cannot be answered ({code})",
}
LATENCY_STYLES: Final = ("equal", "by-function", "by-call", "long-tail")


class _Noted(TypedDict):
    ok: bool


class _Count(TypedDict):
    n: int


@function(pure=False, idempotent=False)
def log_event(text: str) -> _Noted:
    """Write a line into the ship's log, and say whether that worked."""
    raise NotImplementedError


@function(pure=False, idempotent=False)
def counter() -> _Count:
    """Count up, and say how far."""
    raise NotImplementedError


def with_effects(functions: Iterable[FunctionSpec] = SPECS) -> Registry:
    """Those functions, and two impure ones for programs that are made to be verified: `log_event` and `counter`."""
    specs = {spec.name: spec for spec in (log_event, counter)} | {spec.name: spec for spec in functions}
    return Registry(specs.values())


def call_key(name: str, params: dict[str, Any]) -> str:
    """What a call asks, as text: the same for equal arguments, in whatever order they were given."""
    return json.dumps([name, params], sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class World:
    """What there is on one frame; see the module's text."""

    seed: int
    functions: Registry = field(default_factory=with_effects)
    hints: tuple[str | float, ...] = ()
    """what the program compares answers with (`chance.hints_of`): some answers are just that"""

    @cached_property
    def _ends(self) -> dict[str, Outcome]:
        return {}

    @cached_property
    def _random(self) -> random.Random:
        return random.Random(f"dicem world {self.seed}")

    @cached_property
    def traits(self) -> Traits:
        """What is particular to this world."""
        draw = self._random
        rate = 0.0 if draw.random() < 0.4 else round(draw.uniform(0.05, 0.3), 3)
        names = sorted(spec.name for spec in self.functions)
        return Traits(
            frame_size=draw.choice(FRAME_SIZES),
            vocabulary=draw.choice(VOCABULARIES),
            failure_rate=rate,
            broken=draw.choice(names) if rate and draw.random() < 0.15 else "",
            latencies=draw.choice(LATENCY_STYLES),
            most_boxes=draw.choice((1, 2, 3, 3, 5, 8)),
            variety=draw.choice((2, 3, 100)),
            hints=self.hints,
        )

    @cached_property
    def context(self) -> Context:
        """Where a program runs: the frame, and what the detector knows."""
        width, height = self.traits.frame_size
        blob = hashlib.sha256(f"dicem frame {self.seed}".encode()).hexdigest()
        t_utc = EPOCH_S + self.seed % MAX_SECONDS
        frame = FrameInfo(camera="bow", sequence=self.seed, t_utc=t_utc, blob=blob, width=width, height=height)
        return Context("boat", frame, self.traits.vocabulary)

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
        """How a call ends.  `occurrence` counts the earlier calls of an impure function, and is 0 for a pure one.

        Equal calls are given one object, which nobody may change.
        """
        key = self._key(name, params, occurrence)
        if key not in self._ends:
            failure = self._failure(name, key)
            ended = Outcome(failure=failure) if failure is not None else self.instead(name, params, occurrence)
            self._ends[key] = ended
        return self._ends[key]

    def instead(self, name: str, params: dict[str, Any], occurrence: int = 0, variant: int = 0) -> Outcome:
        """How it ends where it does not fail; of a call that does, what it might have given: variant 1 is the least
        that a function gives (nothing, no, zero), variant 2 the most, those from 3 on one of the hints each, or any.
        """
        dice = Dice(f"result/{variant}/{self._key(name, params, occurrence)}", {1: -1, 2: 1}.get(variant, 0))
        traits = self.traits
        if variant in (1, 2):
            traits = replace(traits, hints=())
        elif variant and self.hints:
            traits = replace(traits, hints=(self.hints[(variant - 3) % len(self.hints)],), hint_share=1.0)
        return Outcome(result=make_result(self.functions.get(name), params, occurrence, dice, traits))

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        """Seconds, whole milliseconds, that the call takes, whatever comes of it."""
        match self.traits.latencies:
            case "equal":
                return 1.0
            case "by-function":
                return Dice(f"latency/{self.seed}/{name}").between(10, 2000) / 1000
        dice = Dice(f"latency/{self._key(name, params, occurrence)}")
        if self.traits.latencies == "long-tail" and dice.between(1, 10) == 10:
            return dice.between(3000, 20_000) / 1000
        return dice.between(50, 1500) / 1000

    def occurrences(self) -> Occurrences:
        """A fresh count of impure calls, for one run of one program."""
        return Occurrences(self.functions)

    def _key(self, name: str, params: dict[str, Any], occurrence: int) -> str:
        return f"{self.seed}/{occurrence}/{call_key(name, params)}"

    def _failure(self, name: str, key: str) -> Failure | None:
        if not self.traits.failure_rate:
            return None
        dice = Dice(f"failure/{key}")
        if name != self.traits.broken and dice.between(1, 1000) > self.traits.failure_rate * 1000:
            return None
        kind = dice.pick(tuple(FAILURES))
        return Failure(kind=kind, message=FAILURES[kind].format(name=name, code=f"{dice.between(0, 0xFFFFFF):06x}"))


class Occurrences:
    """Counts the calls of each impure function in one run."""

    def __init__(self, functions: Registry) -> None:
        self._functions = functions
        self._counts: dict[str, int] = {}

    def next(self, name: str) -> int:
        """How many calls of this impure function there were before; 0 for a pure one."""
        if self._functions.get(name).pure:
            return 0
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        return count
