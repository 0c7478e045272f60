"""`enumerate`, `zip`, `map`, `filter` and `reversed` give lists in the runner's interpreter, made when they are called.

That cannot be told from an iterator where it is walked at once and nothing changes what it walks.  Elsewhere the
list is
made an iterator, or an iterator of our own takes the place of the builtin.
"""

from __future__ import annotations

import ast
from typing import Final

from ..walking import walk
from .build import located, name_of
from .scopes import COMPREHENSIONS, Scope
from .unfold import Place, Replacement, Unfolding
from .values import Bound, Box, Value, named

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

    statements: frozenset[type[ast.stmt]] = frozenset()

    def __init__(self, unfolding: Unfolding) -> None:
        self._unfolding = unfolding
        self._kinds, self._words = unfolding.kinds, unfolding.words
        self._settled: set[ast.AST] = set()
        self._changes = Changes(unfolding)

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """Nothing to do."""
        return None

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind is ast.Call

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """An iterator in the place of a list, where that could be told."""
        if not isinstance(node, ast.Call) or node in self._settled:
            return None
        callees = self._kinds.callees.get(node, set())
        name = named(next(iter(callees)), "builtin") if len(callees) == 1 else None
        if name not in EAGER or (node.keywords and name == "zip"):
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
            if not self._is_new(source) and not (values and self._kinds.never_iterator(source)):
                return False
        return True

    def _is_new(self, source: ast.expr) -> bool:
        """Whether it makes an iterator that nobody else has, of what is there already."""
        if not isinstance(source, ast.Call):
            return False
        callees = self._kinds.callees.get(source, set())
        eager = bool(callees) and callees <= {f"builtin:{name}" for name in EAGER}
        return eager or callees == {Bound("video", "frame_iterator")}

    def _may_change(self, node: ast.Call, body: list[ast.stmt]) -> bool:
        """Whether the body of a loop may change what it walks over."""
        return any(self._changes.within(source, body) for source in self._sources(node))

    def _is_ever_changed(self, node: ast.Call) -> bool:
        return any(self._changes.ever(source) for source in self._sources(node))


class Changes:
    """Which places of the program change containers, and which."""

    def __init__(self, unfolding: Unfolding) -> None:
        self._kinds, self._tree = unfolding.kinds, unfolding.tree
        self._found: list[tuple[ast.AST, set[Value]]] | None = None

    def ever(self, source: ast.expr) -> bool:
        """Whether anything changes what `source` may be."""
        boxes = self._boxes(source)
        return any(boxes & found for _, found in self._all())

    def within(self, source: ast.expr, body: list[ast.stmt]) -> bool:
        """Whether running `body` may change what `source` may be."""
        if not self.ever(source):
            return False
        boxes = self._boxes(source)
        parts = [part for statement in body for part in walk(statement)]
        inside = set(map(id, parts))
        calls_own = any(
            isinstance(part, ast.Call) and not _is_builtin(self._kinds.callees.get(part, set())) for part in parts
        )
        return calls_own or any(boxes & found for place, found in self._all() if id(place) in inside)

    def _boxes(self, source: ast.expr) -> set[Value]:
        return {value for value in self._kinds.values_of(source) if isinstance(value, Box)}

    def _all(self) -> list[tuple[ast.AST, set[Value]]]:
        if self._found is None:
            self._found = [
                (node, self._boxes(receiver)) for node, receiver in map(_changed, walk(self._tree)) if receiver
            ]
        return self._found


def _changed(node: ast.AST) -> tuple[ast.AST, ast.expr | None]:
    """What a node changes, if it is one that does."""
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr=name)) if name in _CHANGES:
            return node, receiver
        case ast.Subscript(value=receiver, ctx=ast.Store() | ast.Del()) | ast.AugAssign(target=receiver):
            return node, receiver
    return node, None


def _is_builtin(callees: set[Value]) -> bool:
    """Whether a call runs nothing of the program's own."""
    families = ("builtin:", "prelude:", "class:", "module:")
    return bool(callees) and all(
        value.startswith(families) if isinstance(value, str) else isinstance(value, Bound) for value in callees
    )
