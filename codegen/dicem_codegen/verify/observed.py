"""What can be seen of a run of a program, the same wherever it ran."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Final, Literal

from .world import call_key

NOT_STORED: Final = "not stored"
"""The type of the error where a program returns what cannot be kept."""
Origin = Literal["call", "raise", "interpreter", "limit", "refused"]
"""Where an exception comes from: a call that failed; a `raise` or `assert` of the program or the prelude; an operation
of the language; a limit that was passed, which no program can catch; an interpreter that does not run such programs."""


@dataclass(frozen=True)
class Raised:
    """How a program ended that did not complete."""

    type: str
    message: str
    origin: Origin = "interpreter"
    line: int | None = field(default=None, compare=False)
    """of the program that ran, where the runner knows it"""
    detail: str = field(default="", compare=False)
    """what the runner says of a limit, or of a value that cannot be stored"""

    def text(self) -> str:
        """`TypeError: what it says`."""
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True)
class MadeCall:
    """A call that a program made."""

    number: int
    """from 1, in the order in which they were made"""
    name: str
    params: dict[str, Any]
    pure: bool
    occurrence: int
    result: Any
    failure: tuple[str, str] | None
    """kind and message"""
    start_s: float | None
    """None: it never got a worker"""
    end_s: float | None
    """None: it was under way when the program ended, and was withdrawn"""
    after: tuple[int, ...] = ()
    """of an impure call in the oracle: the calls whose results the program had taken before"""
    taken: bool = True
    """False: it was started ahead, and no line of the program came to it"""

    @cached_property
    def key(self) -> str:
        """What it asks, as text."""
        return call_key(self.name, self.params)

    def text(self) -> str:
        """`blip(image=[3, 4, 20, 10], question='Is it?')`."""
        return shown_key(self.key)

    def outcome_text(self) -> str:
        """What it gave or how it failed."""
        return f"{self.failure[0]}: {self.failure[1]}" if self.failure else json.dumps(self.result)


@dataclass(frozen=True)
class Observed:
    """What a run did.  `value` is plain, patches are `{"patch": handle}`."""

    value: Any
    unordered: tuple[tuple[str | int, ...], ...]
    """where in `value` a set stood: a list here, of which the order means nothing"""
    printed: str
    error: Raised | None
    calls: tuple[MadeCall, ...]
    makespan_s: float
    """from the start to the end of the program, in the world's time"""

    @cached_property
    def pure_keys(self) -> frozenset[str]:
        """The pure calls as a set: what they ask."""
        return frozenset(call.key for call in self.calls if call.pure)

    @property
    def impure(self) -> list[MadeCall]:
        """The impure calls in order."""
        return [call for call in self.calls if not call.pure]

    @property
    def one_by_one_s(self) -> float:
        """How long the calls take one after the other; of calls that did not end, what is known."""
        return sum((call.end_s or 0.0) - (call.start_s or 0.0) for call in self.calls if call.end_s is not None)

    def to_plain(self) -> dict[str, Any]:
        """For the way between processes."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        calls = [{name: getattr(call, name) for name in _CALL_FIELDS} for call in self.calls]
        return plain | {"calls": calls, "error": asdict(self.error) if self.error else None}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Observed:
        """What `to_plain` gave, after JSON."""
        calls = tuple(
            MadeCall(
                **call | {"after": tuple(call["after"]), "failure": tuple(call["failure"]) if call["failure"] else None}
            )
            for call in plain["calls"]
        )
        error = Raised(**plain["error"]) if plain["error"] else None
        return cls(**plain | {"calls": calls, "error": error, "unordered": tuple(map(tuple, plain["unordered"]))})


_CALL_FIELDS: Final = tuple(f.name for f in fields(MadeCall))


def shown_key(key: str) -> str:
    """A call's key for people, images as their boxes."""
    name, params = json.loads(key)
    said = ", ".join(f"{k}={v['box'] if _is_handle(v) else v!r}" for k, v in params.items())
    return f"{name}({said})"


def _is_handle(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"blob", "box"}
