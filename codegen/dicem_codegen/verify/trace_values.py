"""Values with their taint: which earlier calls they come from.

A taint is a set of call numbers, held as the bits of an int: union is `|`.  A `Box` is a value with the taint of the
reference to it.  What is inside containers and objects stays as it is, plain Python, so that the program computes what
CPython computes; a shadow beside each container says where its parts come from, element by element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Taint = int
MAX_DEPTH = 64


class TraceRefused(BaseException):
    """The trace cannot follow the program.  No program's `except Exception` catches it."""


class Box:
    """A value and the calls that it comes from."""

    __slots__ = ("right", "taint", "value")

    def __init__(self, value: Any, taint: Taint = 0) -> None:
        self.value, self.taint = value, taint
        self.right: Box = self
        """of a comparison `a < b`: `b`, which a chain `a < b < c` goes on with"""

    def __repr__(self) -> str:
        return f"Box({self.value!r}, {list(calls_in(self.taint))})"


@dataclass
class Item:
    """An element that a loop is given.  `presence`: what decided that it is there at all."""

    box: Box
    presence: Taint = 0


@dataclass
class Shadow:
    """Where the parts of one container or object come from."""

    of: Any
    """kept, so that its `id` stays its own"""
    shape: Taint = 0
    """its length and order; of a set, everything"""
    presence: list[Taint] = field(default_factory=list)
    """of a list or tuple, for each element: what decided that it is there"""
    data: list[Taint] = field(default_factory=list)
    """of a list or tuple, for each element: what it comes from"""
    parts: dict[Any, Taint] = field(default_factory=dict)
    """of a dict, for each key; of an object, for each attribute: what it comes from"""
    present: dict[Any, Taint] = field(default_factory=dict)
    """of a dict, for each key: what decided that it is there"""
    any_key: Taint = 0
    """of a dict: what decided which keys were stored, so that any of them may have been this one"""

    def all_data(self) -> Taint:
        """Everything that any part comes from."""
        return self.shape | self.any_key | union(self.data) | union(self.parts.values())


def union(taints: Any) -> Taint:
    """All of them together."""
    whole = 0
    for taint in taints:
        whole |= taint
    return whole


def calls_in(taint: Taint) -> Iterator[int]:
    """The numbers of the calls, ascending."""
    number = 0
    while taint:
        if taint & 1:
            yield number
        taint >>= 1
        number += 1


class Shadows:
    """The shadows of one run, by identity."""

    def __init__(self) -> None:
        self._by_id: dict[int, Shadow] = {}

    def find(self, value: Any) -> Shadow | None:
        """The shadow, or None where nothing is known but what the reference says."""
        shadow = self._by_id.get(id(value))
        if shadow is not None and isinstance(value, (list, tuple)) and len(shadow.data) != len(value):
            self._realign(shadow, len(value))
        return shadow

    def make(self, value: Any) -> Shadow:
        """The shadow, new where there was none."""
        shadow = self.find(value)
        if shadow is None:
            shadow = self._by_id[id(value)] = Shadow(value)
            if isinstance(value, (list, tuple)):
                self._realign(shadow, len(value))
        return shadow

    @staticmethod
    def _realign(shadow: Shadow, length: int) -> None:
        """Something changed the list behind our back: each element may come from everything that was in it."""
        shadow.shape |= union(shadow.data)
        shadow.presence = [shadow.shape] * length
        shadow.data = [shadow.shape] * length

    def sequence(self, value: list[Any] | tuple[Any, ...], items: list[Item], shape: Taint = 0) -> None:
        """Say of each element of a new list or tuple where it comes from."""
        data = [item.box.taint for item in items]
        presence = [item.presence for item in items]
        if value != () and (shape or any(data) or any(presence)):  # there is but one empty tuple
            self._by_id[id(value)] = Shadow(value, shape, presence, data)

    def shape(self, value: Any) -> Taint:
        """What its length and order come from."""
        shadow = self.find(value)
        return shadow.shape if shadow else 0

    def elements(self, value: list[Any] | tuple[Any, ...], reference: Taint = 0) -> list[Item]:
        """Its elements; `reference` is the taint of who leads here."""
        shadow = self.find(value)
        if shadow is None:
            return [Item(Box(element, reference), reference) for element in value]
        return [
            Item(Box(element, data | reference), presence | reference)
            for element, data, presence in zip(value, shadow.data, shadow.presence, strict=True)
        ]

    def deep(self, value: Any, depth: int = 0, seen: set[int] | None = None) -> Taint:
        """Everything that the value and all that is in it come from."""
        if value is None or isinstance(value, (bool, int, float, str, bytes)) or depth > MAX_DEPTH:
            return 0
        if isinstance(value, Box):
            return value.taint | self.deep(value.value, depth, seen)
        seen = set() if seen is None else seen
        if id(value) in seen:
            return 0
        seen.add(id(value))
        shadow = self.find(value)
        taint = shadow.all_data() if shadow else 0
        for part in _parts(value):
            taint |= self.deep(part, depth + 1, seen)
        return taint

    def argument(self, value: Any, depth: int = 0) -> Taint:
        """As `deep`, of what crosses to a function: of a patch its handle only, as `hermod.call` sends no more."""
        if value is None or isinstance(value, (bool, int, float, str)) or depth > MAX_DEPTH:
            return 0
        if isinstance(value, (list, tuple, dict)):
            shadow = self.find(value)
            taint = shadow.all_data() if shadow else 0
            for part in _parts(value):
                taint |= self.argument(part, depth + 1)
            return taint
        if hasattr(value, "handle"):
            shadow = self.find(value)
            return (shadow.parts.get("handle", 0) if shadow else 0) | self.argument(value.handle, depth + 1)
        return self.deep(value, depth)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif not isinstance(value, type) and not callable(value) and hasattr(value, "__dict__"):
        yield from vars(value).values()
