"""Chance that follows from a text, and what is particular to a made-up world."""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .quiet import parsed

T = TypeVar("T")


class Dice:
    """Chance that follows from a text.  `lean`: -1 always the first of what there is to pick from, 1 the last."""

    def __init__(self, key: str, lean: int = 0) -> None:
        self.lean = lean
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        self._random = random.Random(int.from_bytes(digest, "big"))

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.between(0, len(options) - 1)]

    def choose(self, options: Sequence[T]) -> T:
        """One of them, however it leans."""
        return options[int(self._random.random() * len(options))]

    def chance(self, share: float) -> bool:
        """True so often, however it leans."""
        return self._random.random() < share

    def between(self, first: int, last: int) -> int:
        """A whole number, `first` and `last` included."""
        if self.lean:
            return first if self.lean < 0 else last
        return first + int(self._random.random() * (last - first + 1))


@dataclass(frozen=True)
class Traits:
    """What is particular to a world."""

    frame_size: tuple[int, int]
    """width and height in pixels"""
    vocabulary: tuple[str, ...]
    failure_rate: float
    """the share of calls that fail"""
    broken: str
    """a function of which every call fails, or nothing"""
    latencies: str
    most_boxes: int
    """so many objects an image shows at most"""
    variety: int
    """answers are drawn from so many values"""
    hints: tuple[str | float, ...] = ()
    """texts and numbers that the program compares answers with, see `hints_of`"""
    hint_share: float = 0.3
    """the share of answers in words, of distances and of counts that are one of them, or next to one"""

    def some(self, options: Sequence[T]) -> Sequence[T]:
        """As many of them as this world knows, from both ends, in their order."""
        if self.variety >= len(options):
            return options
        return [*options[: self.variety - 1], options[-1]]

    def hinted(self, dice: Dice, kind: type[str] | type[float]) -> Any:
        """A hint of that kind, now and then; None otherwise."""
        hints = [hint for hint in self.hints if isinstance(hint, kind)]
        return dice.choose(hints) if hints and dice.chance(self.hint_share) else None


MAX_HINTS: Final = 24
MAX_HINT_CHARACTERS: Final = 40
_TEXT_TESTS: Final = frozenset({"startswith", "endswith", "count", "find", "index"})


def hints_of(source: str) -> tuple[str | float, ...]:
    """The texts and numbers that a program compares something with: worlds that never say "seagull" would leave a guard
    `== "seagull"` untried.
    """
    found: dict[str | float, None] = {}
    for node in ast.walk(parsed(source)):
        tests = isinstance(node, (ast.Compare, ast.MatchValue)) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT_TESTS
        )
        for part in ast.walk(node) if tests else ():
            value = part.value if isinstance(part, ast.Constant) else None
            if isinstance(value, str) and len(value) <= MAX_HINT_CHARACTERS:
                found[value] = None
            elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e6:
                found[float(value)] = None
    return tuple(found)[:MAX_HINTS]
