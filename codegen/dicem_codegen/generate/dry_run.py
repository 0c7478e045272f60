"""A dry run: the program's lowered serial form in the interpreter, on made-up results, within the limits of a frame.

No call fails here, and results are of the kinds that functions give: so whatever is raised is the program's own doing.
What models forget is tried on purpose: a search that finds nothing, each search of the program by itself; answers in
words where a number was expected; large frames and small ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from dicem_shared.errors import ConfigError
from dicem_shared.runner import Interpreter, Outcome

from ..types import printable
from ..verify import drive
from ..verify.chance import Traits, hints_of
from ..verify.observed import NOT_STORED, MadeCall, Observed, shown_key
from ..verify.world import World
from .serial import Serial
from .types import Problem

SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
"""Frames such as cameras give."""
PLAIN_SEEDS: Final = range(6)
MAX_EMPTY: Final = 6
"""Searches that are each made to find nothing."""
MAX_PROBLEMS: Final = 6
PATIENCE_S: Final = 1.5
"""Once so much wall time has gone, no further world is tried."""


@dataclass(frozen=True)
class Scene(World):
    """A world in which no call fails.  `variant`: 1 gives the least, 2 the most that functions give."""

    vocabulary: tuple[str, ...] = ()
    size: tuple[int, int] = SIZES[0]
    variant: int = 0
    nothing: str = ""
    """what is not there: the name of an object that is searched"""

    @cached_property
    def traits(self) -> Traits:
        """As the world's own, without failures."""
        plain = super().traits
        return replace(plain, frame_size=self.size, vocabulary=self.vocabulary, failure_rate=0.0, broken="")

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
        """How a call ends: well."""
        variant = 1 if self.nothing and self.nothing in sought(name, params) else self.variant
        made = self.instead(name, params, occurrence, variant)
        return replace(made, result=_with_area(made.result))


def _with_area(result: Any) -> Any:
    """The result, its boxes at least a pixel wide and high: no detector gives others, and `find` drops them."""
    if isinstance(result, list):
        return [_with_area(each) for each in result]
    if not isinstance(result, dict):
        return result
    sides = {key: 1 for key in ("width", "height") if result.get(key) == 0 and {"x", "y"} <= result.keys()}
    return {key: _with_area(each) for key, each in result.items()} | sides


def sought(name: str, params: dict[str, Any]) -> tuple[str, ...]:
    """What a call searches for: the words that it is given; its own name if there are none."""
    words = [params.get("object_name"), *(params.get("classes") or ())]
    return tuple(str(word) for word in words if word) or (name,)


@dataclass(frozen=True)
class _Seen:
    """A run in a scene."""

    scene: Scene
    observed: Observed
    line: int


def dry_run(
    serial: Serial, source: str, interpreter: Interpreter, *, vocabulary: Iterable[str] = ()
) -> tuple[tuple[Problem, ...], str]:
    """What goes wrong, and a word for people about what was tried.

    :param interpreter: knows the functions; its limits are those of a frame
    """
    try:
        runs = _runs(serial, source, interpreter, tuple(vocabulary))
    except ConfigError as cause:
        return (), f"not made: {cause}"
    problems = [*_raised(serial, runs), *_without_answer(runs)]
    return tuple(sorted(set(problems))[:MAX_PROBLEMS]), f"{len(runs)} made-up frames"


def _runs(serial: Serial, source: str, interpreter: Interpreter, vocabulary: tuple[str, ...]) -> list[_Seen]:
    runs: list[_Seen] = []
    hints, until_s = hints_of(source), time.monotonic() + PATIENCE_S
    for scene in _scenes(interpreter, hints, vocabulary, runs):
        seen = drive.run(serial.program, scene, interpreter)
        runs.append(_Seen(scene, seen, _line(serial, seen)))
        if (seen.error is not None and seen.error.origin == "limit") or time.monotonic() > until_s:
            break  # it costs time, and says enough
    return runs


def _line(serial: Serial, seen: Observed) -> int:
    """The author's line of what ended a run.  Of some limits nobody knows where they were passed: then it is a loop."""
    error = seen.error
    if error is None or (error.line is None and error.origin != "limit"):
        return 1
    return serial.loop() if error.line is None else serial.line(error.line)


def _scenes(
    interpreter: Interpreter, hints: tuple[str | float, ...], vocabulary: tuple[str, ...], runs: list[_Seen]
) -> Iterator[Scene]:
    """Usual ones, the least and the most, and for each search that found something one in which it does not."""

    def scene(seed: int, variant: int = 0, nothing: str = "") -> Scene:
        size = SIZES[seed % len(SIZES)]
        told = hints if seed % 2 else ()
        return Scene(seed, interpreter.registry, told, vocabulary, size, variant, nothing)

    yield scene(0, 2)
    yield scene(1, 1)
    for seed in PLAIN_SEEDS:
        yield scene(seed)
    found = [call for seen in runs for call in seen.observed.calls if _things(call)]
    words = list(dict.fromkeys(word for call in found for word in sought(call.name, call.params)))
    for number, word in enumerate(words[:MAX_EMPTY]):
        yield scene(number, 2, word)


def _things(call: MadeCall) -> list[Any] | None:
    """The list that a call gave; None if it gave something else."""
    result = call.result
    if isinstance(result, dict):
        lists = [each for each in result.values() if isinstance(each, list)]
        result = lists[0] if len(lists) == len(result) == 1 else None
    return result if isinstance(result, list) else None


# What is wrong


def _raised(serial: Serial, runs: list[_Seen]) -> Iterator[Problem]:
    """One problem for each line and kind of exception, told by the plainest of the frames on which it came up."""
    groups: dict[tuple[int, str], list[_Seen]] = {}
    for seen in runs:
        if seen.observed.error is not None:
            groups.setdefault((seen.line, seen.observed.error.type), []).append(seen)
    for (line, _), group in groups.items():
        plainest = min(group, key=lambda seen: (len(_empty(seen.observed)), len(seen.observed.calls)))
        error = plainest.observed.error
        assert error is not None
        what, hint = _words(plainest.observed, serial)
        yield Problem(line, 1, printable(what)[:500], hint)


def _words(seen: Observed, serial: Serial) -> tuple[str, str]:
    """What happened and when, and what to do."""
    error = seen.error
    assert error is not None
    if error.origin == "limit":
        return _LIMITS.get(error.type, "{0}").format(error.message.split(": ", 1)[-1], error.detail), _LIMIT_HINT
    if error.origin == "refused":
        return f"the runner does not run it: {error.message}", ""
    if error.type == NOT_STORED or error.message.startswith(_RETURNED):
        got = error.detail or error.message.removeprefix(_RETURNED).partition(",")[0]
        hint = "Return text, numbers, True, False, None, patches, or lists and dicts of these"
        return f"what it returns cannot be stored as an answer: {got}", hint
    when = _when(seen, serial)
    return f"{error.text()}{f', when {when}' if when else ''}", _hint(error.type, error.message, bool(_empty(seen)))


_LIMITS: Final = {
    "cpu_s": "it computes for too long on one frame: is there an endless loop?",
    "memory_mb": "it uses too much memory on one frame",
    "calls": "it makes too many calls on one frame ({1})",
    "output_kb": "it prints or returns too much on one frame",
}
_RETURNED: Final = "the program returned a "
"""So the prelude says it, where a value is of a class that cannot be stored."""
_LIMIT_HINT: Final = "Let every loop end, and ask only about what the question needs"


def _when(seen: Observed, serial: Serial) -> str:
    """The situation: which searches found nothing, or what the last call gave."""
    empty = _empty(seen)
    if empty:
        return f"{' and '.join(empty[:2])} {'find' if len(empty) > 1 else 'finds'} nothing"
    taken = [call for call in seen.calls if call.taken]
    if not taken:
        return ""
    last = taken[-1]
    things = _things(last)
    if things is not None:
        return f"{_search(last)} finds {len(things)}"
    gave = last.outcome_text()
    return f"{shown_key(last.key)} gives {gave if len(gave) <= 120 else f'{gave[:120]}...'}"


def _empty(seen: Observed) -> list[str]:
    """The searches that found nothing, each once."""
    return list(dict.fromkeys(_search(call) for call in seen.calls if _things(call) == []))


def _search(call: MadeCall) -> str:
    words = ", ".join(repr(word) for word in sought(call.name, call.params) if word != call.name)
    return f"find({words})" if words else f"{call.name}(...)"


def _hint(kind: str, message: str, nothing: bool) -> str:
    if kind in ("IndexError", "ZeroDivisionError", "StopIteration") or (kind == "ValueError" and "empty" in message):
        return "Look first whether there is one, and return an answer for when there is none"
    if "NoneType" in message:
        return "Decide what to answer where there is None"
    if kind in ("ValueError", "TypeError") and not nothing and ("int()" in message or "float" in message):
        return "Answers are words, also 'none' or 'two': compare text, or use coerce_to_numeric and look at its type"
    if "has no area" in message:
        return "Crop only where the right is greater than the left and the upper greater than the lower"
    if kind == "KeyError":
        return "Use the keys that the function's schema has"
    return ""


def _without_answer(runs: list[_Seen]) -> Iterator[Problem]:
    """It runs, and whatever is seen, says nothing."""
    ended = [seen.observed for seen in runs if seen.observed.error is None]
    if len(ended) == len(runs) and all(seen.value is None and not seen.printed.strip() for seen in ended):
        message = f"it gives no answer on any of {len(ended)} made-up frames: it returns None and prints nothing"
        yield Problem(1, 1, message, "Return the answer to the question from execute_command")
