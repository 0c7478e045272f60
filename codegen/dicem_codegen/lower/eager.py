"""`enumerate`, `zip`, `map`, `filter` and `reversed` give lists in the runner's interpreter, made when they are called.

That cannot be told from an iterator where it is walked at once and nothing changes what it walks.  Elsewhere the list is
made an iterator, or an iterator of our own takes the place of the builtin.
"""

from __future__ import annotations

import ast
from typing import Final

from .build import located, name_of
from .scopes import COMPREHENSIONS, Scope
from .unfold import Place, Replacement, Unfolding
from .values import Box, Value, named

EAGER: Final = frozenset({"enumerate", "zip", "map", "filter", "reversed"})
_TAKES_ALL: Final = frozenset(
    {"list", "tuple", "sorted", "sum", "min", "max", "set", "frozenset", "dict", "any", "all", "len", "iter", *EAGER}
)
_CHANGES: Final = frozenset(
    {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "add", "discard", "update",
     "setdefault", "popitem"}
)  # fmt: skip


class Eager:
    """The planner for builtins that give iterators."""

    def __init__(self, unfolding: Unfolding) -> None:
        self._unfolding = unfolding
        self._kinds, self._words = unfolding.kinds, unfolding.words
        self._settled: set[ast.AST] = set()
        self._changed: set[Value] | None = None

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """Nothing to do."""
        return None

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """An iterator in the place of a list, where that could be told."""
        if not isinstance(node, ast.Call) or node in self._settled:
            return None
        callees = self._kinds.callees.get(node, set())
        name = named(next(iter(callees)), "builtin") if len(callees) == 1 else None
        if name not in EAGER or node.keywords and name == "zip":
            return None
        self._settled.add(node)
        at_once = self._is_walked_at_once(node, place.parent)
        is_loop = isinstance(place.parent, ast.For)
        body = place.parent.body if isinstance(place.parent, ast.For) else None
        if at_once and not is_loop:
            return None
        if is_loop and not self._may_change(node, body or []) and self._are_containers(node):
            return None
        if not is_loop and self._are_containers(node) and not self._is_ever_changed(node):
            return located(ast.Call(self._words.name("iter"), [node], []), node)
        node.func = name_of(self._words.helper(name or ""), node.func)
        return node

    def _is_walked_at_once(self, node: ast.Call, parent: ast.AST) -> bool:
        match parent:
            case ast.For(iter=source):
                return source is node
            case ast.comprehension():
                return True
            case ast.Starred():
                return True
            case ast.Call(func=ast.Attribute(attr="join" | "extend" | "update")):
                return True
            case ast.Call():
                names = {named(value, "builtin") for value in self._kinds.callees.get(parent, set())}
                return bool(names) and names <= _TAKES_ALL
        return isinstance(parent, COMPREHENSIONS)

    def _sources(self, node: ast.Call) -> list[ast.expr]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        return node.args[1:] if name in ("map", "filter") else node.args

    def _are_containers(self, node: ast.Call) -> bool:
        """Whether walking the sources ahead of time takes nothing from anybody."""
        for source in self._sources(node):
            values = self._kinds.values_of(source)
            calls_eager = isinstance(source, ast.Call) and source.func and self._kinds.callees.get(source, set()) <= {
                f"builtin:{name}" for name in EAGER
            }
            if not calls_eager and not (values and self._kinds.never_iterator(source)):
                return False
        return True

    def _boxes(self, node: ast.Call) -> set[Value]:
        return {v for source in self._sources(node) for v in self._kinds.values_of(source) if isinstance(v, Box)}

    def _may_change(self, node: ast.Call, body: list[ast.stmt]) -> bool:
        """Whether the body of a loop may change what it walks over."""
        boxes = self._boxes(node)
        if not boxes & self._ever_changed():
            return False
        inside = {id(part) for statement in body for part in ast.walk(statement)}
        calls_own = any(
            isinstance(part, ast.Call) and not _is_builtin(self._kinds.callees.get(part, set()))
            for statement in body for part in ast.walk(statement)
        )  # fmt: skip
        return calls_own or any(
            box in boxes for place, found in self._changes() if id(place) in inside for box in found
        )

    def _is_ever_changed(self, node: ast.Call) -> bool:
        return bool(self._boxes(node) & self._ever_changed())

    def _ever_changed(self) -> set[Value]:
        if self._changed is None:
            self._changed = {box for _, found in self._changes() for box in found}
        return self._changed

    def _changes(self) -> list[tuple[ast.AST, set[Value]]]:
        """Each place of the program that changes containers, and which."""
        found: list[tuple[ast.AST, set[Value]]] = []
        for node in ast.walk(self._unfolding.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=receiver, attr=name)) if name in _CHANGES:
                    pass
                case ast.Subscript(value=receiver, ctx=ast.Store() | ast.Del()):
                    pass
                case ast.AugAssign(target=receiver):
                    pass
                case _:
                    continue
            found.append((node, {value for value in self._kinds.values_of(receiver) if isinstance(value, Box)}))
        return found


def _is_builtin(callees: set[Value]) -> bool:
    """Whether a call runs nothing of the program's own."""
    return bool(callees) and all(
        not isinstance(value, str) or value.startswith(("builtin:", "prelude:", "class:", "module:"))
        for value in callees
    ) and all(type(value).__name__ in ("str", "Bound") for value in callees)  # fmt: skip
