"""Rule 1: what the compiled program did, held against what the original does.

If the serial program completes, so does the compiled one, with the same return value and printed output, impure calls
in the same sequence and pure calls the same set.  If the serial one raises, the compiled one raises the same exception
after the same prints; it may then also have started pure calls that would have come later with no undecided guard
between (`explain.py`).  An impure call starts only when every earlier operation that can raise has succeeded and every
earlier effect is done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from .messages import same_error, same_words
from .observed import MadeCall, Observed, Raised, shown_key
from .stored import in_one_order

Kind = Literal[
    "ending", "exception", "message", "value", "printed", "impure calls", "early effect", "missing calls",
    "surplus calls", "limit", "refused",
]  # fmt: skip
"""What differs: whether it completes or raises; which exception; its words; ...  `early effect`: an impure call started
before all that comes before it had ended.  `limit`: the compiled program passes a limit.  `refused`: the interpreter
does not run it."""
TOLERANCE_S: Final = 1e-6
SHOWN: Final = 5
"""So many calls of a list are named."""


@dataclass(frozen=True)
class Aspect:
    """One thing that differs."""

    kind: Kind
    expected: str
    got: str


@dataclass(frozen=True)
class Leave:
    """What may differ after all, beyond the rule's first sentence."""

    made_later: Callable[[frozenset[str]], frozenset[str]]
    """which of these pure calls the original would have made later, had it not failed"""
    speculation: bool = False
    """surplus pure calls are paid for on purpose"""
    words: bool = False
    """the interpreter's own errors may be worded in any way: elsewhere this program words them as the original does"""


def compare(expected: Observed, got: Observed, leave: Leave) -> list[Aspect]:
    """Everything that differs, the most telling first; nothing if the program means the same."""
    return [
        *_ending(expected, got, leave),
        *_effects(expected, got),
        *_pure_calls(expected, got, leave),
    ]


def surplus_of(expected: Observed, got: Observed) -> frozenset[str]:
    """The pure calls that only the compiled program made."""
    return got.pure_keys - expected.pure_keys


def _ending(expected: Observed, got: Observed, leave: Leave) -> Iterator[Aspect]:
    if got.error is not None and got.error.origin in ("limit", "refused"):
        yield Aspect("limit" if got.error.origin == "limit" else "refused", _end(expected), got.error.text())
        return
    if (expected.error is None) != (got.error is None):
        yield Aspect("ending", _end(expected), _end(got))
    elif expected.error is not None and got.error is not None:
        yield from _exception(expected.error, got.error, leave)
    else:
        value = in_one_order(got.value, expected.unordered)
        if not _same_text(json.dumps(expected.value), json.dumps(value)):
            yield Aspect("value", json.dumps(expected.value), json.dumps(value))
    if not _same_text(expected.printed, got.printed):
        yield Aspect("printed", repr(expected.printed), repr(got.printed))


def _end(seen: Observed) -> str:
    return f"returns {json.dumps(seen.value)}" if seen.error is None else f"raises {seen.error.text()}"


def _exception(expected: Raised, got: Raised, leave: Leave) -> Iterator[Aspect]:
    (expected_type, expected_message), (got_type, got_message) = same_error(expected), same_error(got)
    if expected_type != got_type:
        yield Aspect("exception", expected.text(), got.text())
    elif expected_message != got_message and not (leave.words and expected.origin == "interpreter"):
        yield Aspect("message", expected.text(), got.text())


def _same_text(expected: str, got: str) -> bool:
    return expected == got or same_words(expected) == same_words(got)


def _effects(expected: Observed, got: Observed) -> Iterator[Aspect]:
    """The impure calls: the same ones, with the same results, each after all that comes before it."""
    wanted, made = [_effect(c) for c in expected.impure], [_effect(c) for c in got.impure]
    if wanted != made:
        yield Aspect("impure calls", _listed(wanted), _listed(made))
        return
    for before, call in zip(expected.impure, got.impure, strict=True):
        late = _under_way(before, call, expected, got)
        if late is not None:
            yield Aspect("early effect", f"{call.text()} after {late.text()} has ended", "it starts before")
            return


def _effect(call: MadeCall) -> str:
    return f"{call.text()} -> {call.outcome_text()}"


def _under_way(before: MadeCall, call: MadeCall, expected: Observed, got: Observed) -> MadeCall | None:
    """A call that has to have ended when the impure `call` starts, and has not.  `before` is its twin in the oracle."""
    ended: dict[str, float] = {}
    for each in got.calls:
        if each.end_s is not None and each is not call:
            key = _identity(each)
            ended[key] = min(each.end_s, ended.get(key, each.end_s))
    start_s = float("inf") if call.start_s is None else call.start_s
    for number in before.after:
        earlier = expected.calls[number - 1]
        if ended.get(_identity(earlier), float("inf")) > start_s + TOLERANCE_S:
            return earlier
    return None


def _identity(call: MadeCall) -> str:
    """Equal pure calls are one, impure ones are numbered."""
    return call.key if call.pure else f"{call.name} {call.occurrence}"


def _pure_calls(expected: Observed, got: Observed, leave: Leave) -> Iterator[Aspect]:
    missing = [call.key for call in expected.calls if call.pure and call.key not in got.pure_keys]
    if missing:
        yield Aspect("missing calls", _listed(map(shown_key, missing)), "not made")
    surplus = surplus_of(expected, got)
    if surplus and not leave.speculation:
        surplus -= leave.made_later(surplus)
    if surplus and not leave.speculation:
        yield Aspect("surplus calls", "not made", _listed(map(shown_key, sorted(surplus))))


def _listed(calls: Any) -> str:
    lines = list(calls)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "; ".join([*lines[:SHOWN], *more]) or "none"
