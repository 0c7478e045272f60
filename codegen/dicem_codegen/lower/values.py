"""What an expression can evaluate to, as far as the passes tell values apart.

A value is an atom (a word such as "patch", "str", "unknown") or one of the classes below.  "plain" is what JSON can
hold, of unknown shape; "unknown" may be anything that the passes have lost sight of.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from .scopes import Function, Scope

BoxKind = Literal["list", "tuple", "dict", "set", "view", "iterator", "coroutine"]


class Box:
    """All containers that one place in the program makes; `items` is what is in them, `keys` for a dict.

    An iterator's items are what it gives, a coroutine's what awaiting it gives.
    """

    __slots__ = ("escaped", "field_cells", "item_cell", "key_cell", "kind", "place", "see")

    def __init__(self, kind: BoxKind, place: object = None, see: Callable[[set[Value]], object] | None = None) -> None:
        """:param place: the node that makes it
        :param see: told of each set that is read
        """
        self.kind, self.place, self.see = kind, place, see
        self.item_cell: set[Value] = set()
        self.key_cell: set[Value] = set()
        self.field_cells: list[set[Value]] | None = None
        self.escaped = False

    @property
    def items(self) -> set[Value]:
        """What is in it."""
        if self.see is not None:
            self.see(self.item_cell)
        return self.item_cell

    @property
    def keys(self) -> set[Value]:
        """The keys of a dict."""
        if self.see is not None:
            self.see(self.key_cell)
        return self.key_cell

    @property
    def fields(self) -> list[set[Value]] | None:
        """Of a tuple whose length is known: what is in each place."""
        if self.see is not None and self.field_cells is not None:
            for cell in self.field_cells:
                self.see(cell)
        return self.field_cells


@dataclass(eq=False)
class Func:
    """A function or lambda of the program."""

    node: Function
    inside: Scope
    returns: set[Value] = field(default_factory=set)
    called: bool = False
    escaped: bool = False
    """something that the passes do not know may call it"""

    @property
    def is_async(self) -> bool:
        """Whether a call of it gives a coroutine."""
        return isinstance(self.node, ast.AsyncFunctionDef)


@dataclass(eq=False)
class Class:
    """A class of the program."""

    node: ast.ClassDef
    inside: Scope
    instance: Instance
    is_plain: bool = True
    """without bases and decorators"""


@dataclass(eq=False)
class Instance:
    """All instances of a class."""

    attributes: dict[str, set[Value]] = field(default_factory=dict)
    of: Class | None = None
    escaped: bool = False
    lost: set[Value] = field(default_factory=set)
    """"unknown" once it has escaped, for those that asked before"""


@dataclass(frozen=True)
class Bound:
    """`receiver.name`, a method that is not the program's own."""

    receiver: Value
    name: str


@dataclass(frozen=True)
class Method:
    """A method of the program on one of its objects."""

    receiver: Instance
    func: Func


Value = str | Box | Func | Class | Instance | Bound | Method
Values = set[Value]

UNKNOWN: Final = "unknown"
PLAIN: Final = "plain"
NUMBERS: Final = frozenset({"int", "float", "bool"})
IMMUTABLE: Final = frozenset({"str", "int", "float", "bool", "none", "bytes", "range"})


def builtin(name: str) -> str:
    """The atom of a builtin."""
    return f"builtin:{name}"


def prelude(name: str) -> str:
    """The atom of a function of the prelude."""
    return f"prelude:{name}"


def module(name: str) -> str:
    """The atom of a module, or of something in it."""
    return f"module:{name}"


def named(value: Value, family: str) -> str | None:
    """The name in an atom such as "builtin:len", if it is of that family."""
    return value[len(family) + 1 :] if isinstance(value, str) and value.startswith(family + ":") else None


def is_immutable(value: Value, depth: int = 0) -> bool:
    """Whether nothing can change such a value."""
    if isinstance(value, Box):
        return (
            value.kind == "tuple" and not value.escaped and depth < 8
            and all(is_immutable(item, depth + 1) for item in value.items)
        )  # fmt: skip
    return value in IMMUTABLE if isinstance(value, str) else isinstance(value, (Func, Class))


def is_iterator(value: Value) -> bool:
    """Whether such a value may be an iterator, which can be walked only once."""
    if isinstance(value, Box):
        return value.kind in ("iterator", "coroutine")
    return value == UNKNOWN or isinstance(value, Instance)
