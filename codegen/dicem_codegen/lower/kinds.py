"""What each expression can evaluate to: points-to sets and the call graph in one (Shivers' 0-CFA), without order.

    kinds = infer(tree, entry="execute_command", form="function")
    kinds.kind_of(node)          # "patch", "patches", "str", ..., "unknown"

A variable holds all that is assigned to it anywhere.  What leaves the sight of this pass (arguments of functions that
it does not know, attributes set by name at run time) is "unknown" from then on, with all that is in it; so what is
claimed holds on every path.  It reads programs as written and lowered ones alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Literal

from .inference import Inference
from .scopes import Scopes, scopes_of
from .values import (
    NUMBERS,
    Bound,
    Box,
    Class,
    Func,
    Method,
    Value,
    Values,
    is_immutable,
    is_iterator,
)

Kind = Literal[
    "patch", "patches", "str", "number", "bool", "none", "list", "tuple", "dict", "set", "iterator", "video", "image",
    "call", "coroutine", "function", "plain", "unknown",
]  # fmt: skip


class Kinds:
    """The result of `infer`."""

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self._values: dict[ast.AST, Values] = {}
        self.callees: dict[ast.Call, Values] = {}
        """what each call may call"""
        self.functions: dict[ast.AST, Func] = {}
        self.classes: dict[ast.AST, Class] = {}

    def track(self, node: ast.AST, values: Values) -> None:
        """A node is what this set holds, now and later."""
        self._values[node] = values

    def values_of(self, node: ast.expr) -> frozenset[Value]:
        """All that it can evaluate to; empty where it is never reached."""
        return frozenset(self._values.get(node, ()))

    def kind_of(self, node: ast.expr) -> Kind:
        """One word for all that it can evaluate to; "unknown" if there is none."""
        kinds = {_kind(value) for value in self._values.get(node, ())}
        if kinds and kinds <= {"number", "bool"}:
            return "bool" if kinds == {"bool"} else "number"
        if kinds and kinds <= {"patches", "list"}:
            return "patches" if kinds == {"patches"} else "list"
        return kinds.pop() if len(kinds) == 1 else "unknown"

    def same(self, node: ast.AST, twin: ast.AST) -> None:
        """A copy of a node is what the node is."""
        if node in self._values:
            self._values[twin] = set(self._values[node])
        if isinstance(node, ast.Call) and isinstance(twin, ast.Call) and node in self.callees:
            self.callees[twin] = self.callees[node]

    def say(self, node: ast.AST, values: Iterable[Value]) -> None:
        """What a node that a pass has made can evaluate to."""
        self._values[node] = {*self._values.get(node, ()), *values}

    def is_immutable(self, node: ast.expr) -> bool:
        """Whether nothing can change the value."""
        values = self._values.get(node, set())
        return bool(values) and all(is_immutable(value) for value in values)

    def never_iterator(self, node: ast.expr) -> bool:
        """Whether walking the value leaves no trace."""
        values = self._values.get(node, set())
        return bool(values) and not any(is_iterator(value) for value in values)


def _kind(value: Value) -> Kind:
    if isinstance(value, Box):
        if value.kind == "list":
            return "patches" if value.items == {"patch"} else "list"
        return "iterator" if value.kind == "view" else value.kind
    if isinstance(value, (Func, Bound, Method, Class)):
        return "function"
    if isinstance(value, str):
        if value in NUMBERS:
            return "bool" if value == "bool" else "number"
        if value in ("patch", "str", "none", "video", "image", "call", "plain"):
            return value  # type: ignore[return-value]
        return "function" if value.startswith(("builtin:", "prelude:", "class:")) else "unknown"
    return "unknown"


def infer(tree: ast.Module, *, entry: str = "", form: str = "function", scopes: Scopes | None = None) -> Kinds:
    """The kinds of a module whose `entry`, where it is a "function", the runner calls with the frame.

    :param scopes: those of the tree, if they are known
    """
    return Inference(tree, entry, form, Kinds(scopes or scopes_of(tree))).run()
