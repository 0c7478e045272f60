"""Which names may mean the same object, so that a change through one is a change seen through another.

One class of objects for all that flows together in a function, whatever the order, and one for what is inside them:
Steensgaard's analysis ("Points-to analysis in almost linear time", POPL 1996), with one field, the contents.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Container

from ..walking import children, walk
from .ir import Loc

SHARED = "*"
"""the class of what comes from outside or went there"""
PATCH_FIELDS: Loc = ("attr", "*")
"""what methods and functions of the prelude look at"""
_SAME_CONTENT = frozenset({"sorted", "list", "reversed", "tuple", "set", "copy", "values", "keys", "filter",
                           "frozenset", "iter", "union"})  # fmt: skip
_LATE = frozenset({"iter", "zip", "enumerate", "reversed", "map", "filter", "values", "keys", "items"})
"""What gives something that looks at what it was given when it is walked."""
_GIVES_PARTS = frozenset({"get", "pop", "setdefault", "next", "max", "min", "sum"})
"""What may give something inside of the first thing that it is given, or one of the others itself."""


def _age(kind: str) -> tuple[bool, bool, int, str]:
    """The oldest class first: the shared one, those of names, then those that were made, in order."""
    return kind != SHARED, kind.startswith("o"), len(kind), kind


def _looks_later(value: ast.expr) -> bool:
    """Whether a value looks at what it was made of when it is walked."""
    match value:
        case ast.IfExp(body=body, orelse=orelse):
            return _looks_later(body) or _looks_later(orelse)
        case ast.BoolOp(values=values):
            return any(map(_looks_later, values))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _LATE
    return isinstance(value, ast.GeneratorExp)


class Objects:
    """Classes of objects, joined as statements are read."""

    def __init__(
        self, is_plain: Callable[[ast.expr], bool], own: Container[str] = (), nobodys: Container[str] = ()
    ) -> None:
        """`own`: the program's own functions, which may give back what they are given.  `nobodys`: names of lists that
        stand in one place of the program only.
        """
        self._is_plain, self._own, self._nobodys = is_plain, own, nobodys
        self._attributes: set[str] = set()
        self._parent: dict[str, str] = {}
        self._content: dict[str, str] = {}
        self._count = 0

    def fresh(self) -> str:
        """A class of its own."""
        self._count += 1
        return f"o{self._count}"

    def of_name(self, name: str) -> str:
        """The class of what a name means."""
        return self._find(f"n:{name}")

    def content(self, kind: str) -> str:
        """The class of what is inside."""
        kind = self._find(kind)
        if kind == SHARED:  # who has it has all that is inside
            return SHARED
        if kind not in self._content:
            self._content[kind] = self.fresh()
        return self._find(self._content[kind])

    def _find(self, kind: str) -> str:
        root = kind
        while (parent := self._parent.get(root)) is not None:
            root = parent
        while (parent := self._parent.get(kind)) is not None and parent != root:
            self._parent[kind], kind = root, parent
        return root

    def join(self, one: str, other: str) -> str:
        """Make two classes one, and what is inside them."""
        pending = [(one, other)]
        while pending:
            a, b = (self._find(kind) for kind in pending.pop())
            if a == b:
                continue
            a, b = sorted((a, b), key=_age)  # the oldest stays the root, for what was said of it stays true
            self._parent[b] = a
            if b in self._content:
                inside = self._content.pop(b)
                if a == SHARED:
                    pending.append((SHARED, inside))
                elif a in self._content:
                    pending.append((self._content[a], inside))
                else:
                    self._content[a] = inside
        return self._find(one)

    def is_shared(self, kind: str) -> bool:
        """Whether somebody outside may have it."""
        return self._find(kind) == SHARED

    def of(self, expr: ast.expr) -> str | None:  # noqa: PLR0912 - one case a kind of node
        """The class of a value; None for one that nobody can change, as a number, text, or a patch."""
        if not isinstance(expr, ast.Starred) and self._is_plain(expr):
            return None
        match expr:
            case ast.Name(id=name):
                return self.of_name(name)
            case ast.Starred(value=value):  # each of the things that stand in its place
                inner = self.of(value)
                return None if inner is None else self.content(inner)
            case ast.Lambda(body=body):  # what calling it gives
                return self.of(body)
            case ast.Attribute(value=value, attr=name):
                self._attributes.add(name)
                inner = self.of(value)  # None: a patch, to which the program has given an attribute
                return self._find(f"a:{name}") if inner is None else self.join(f"a:{name}", self.content(inner))
            case ast.Subscript(value=value, slice=ast.Slice()):
                return self._like([value])
            case ast.Subscript(value=value):
                inner = self.of(value)
                return None if inner is None else self.content(inner)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return self._holding(elements)
            case ast.Dict(keys=keys, values=values):
                return self._holding([*(k or ast.Starred(v) for k, v in zip(keys, values, strict=True)), *values])
            case ast.IfExp(body=body, orelse=orelse):
                return self._either([body, orelse])
            case ast.BoolOp(values=values):
                return self._either(values)
            case ast.NamedExpr(value=value):
                return self.of(value)
            case ast.BinOp(left=left, right=right):
                return self._like([left, right])
            case ast.Call():
                return self._of_call(expr)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._of_comprehension(expr)
        return self._like([n for n in children(expr) if isinstance(n, ast.expr)])

    def _of_call(self, call: ast.Call) -> str:
        func, arguments = call.func, call.args
        inputs = [*arguments, *(k.value for k in call.keywords)]
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        if isinstance(func, ast.Attribute):
            inputs = [func.value, *inputs]
        if name in ("zip", "enumerate") and isinstance(func, ast.Name):
            return self._of_tuples(inputs)
        result = self._like(inputs)
        if name in self._own:
            for given in [k for k in map(self.of, inputs) if k is not None]:
                self.join(result, given)
                self.join(result, self.content(given))
        elif name in _GIVES_PARTS:
            self._give_parts(result, call)
        elif name not in _SAME_CONTENT:
            for value in inputs:
                kind = self.of(value)
                if kind is not None:
                    self.join(self.content(result), kind)
        return self._find(result)

    def _give_parts(self, result: str, call: ast.Call) -> None:
        """`max(a, b)` gives one of them; `max(a, default=b)`, `next(a, b)` and `a.get(b, c)` something in the first."""
        inputs = [*call.args, *(k.value for k in call.keywords if k.arg != "key")]
        holds_parts = True
        if isinstance(call.func, ast.Attribute):
            inputs = [call.func.value, *inputs]
        elif isinstance(call.func, ast.Name) and call.func.id in ("max", "min"):
            holds_parts = len(call.args) == 1
        for place, value in enumerate(inputs):
            kind = self.of(value)
            if kind is None:
                continue
            if isinstance(value, ast.Starred):  # any number of them: it may be the only one
                self.join(result, self.content(kind))
            elif holds_parts and place == 0:
                kind = self.content(kind)
            self.join(result, kind)

    def _of_tuples(self, walked: list[ast.expr]) -> str:
        """What gives tuples of the elements of others: `zip`, `enumerate`."""
        made = self.fresh()
        inside = self.content(self.content(made))
        for value in walked:
            kind = self.of(value)
            if kind is not None:
                inside = self.join(inside, self.content(kind))
        return made

    def _of_comprehension(self, expr: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> str:
        for generator in expr.generators:
            self.bind(generator.target, generator.iter, element=True)
        parts = [expr.key, expr.value] if isinstance(expr, ast.DictComp) else [expr.elt]
        return self._holding(parts)

    def _holding(self, elements: list[ast.expr]) -> str:
        made = self.fresh()
        for element in elements:
            kind = self.of(element)
            if kind is not None:
                self.join(self.content(made), kind)
        return made

    def _either(self, values: list[ast.expr]) -> str | None:
        kinds = [kind for kind in map(self.of, values) if kind is not None]
        for kind in kinds[1:]:
            self.join(kinds[0], kind)
        return self._find(kinds[0]) if kinds else None

    def _like(self, values: list[ast.expr]) -> str:
        """Something new with the same things inside, and, as a method may hand on its receiver's parts, their parts."""
        made = self.fresh()
        for value in values:
            kind = self.of(value)
            if kind is not None:
                self.join(self.content(made), self.content(kind))
        return made

    def bind(self, target: ast.expr, value: ast.expr, *, element: bool = False) -> None:
        """`target = value`, or `for target in value`."""
        kind = self.of(value)
        if kind is None:
            return
        if element:
            kind = self.content(kind)
        elif _looks_later(value):  # at all that stands in it: a change of that is seen when it is walked
            for name in [n for n in walk(value) if isinstance(n, ast.Name) and not self._is_plain(n)]:
                if name.id not in self._nobodys:
                    self.join(self.content(kind), self.of_name(name.id))
        self._bind_kind(target, kind)

    def _bind_kind(self, target: ast.expr, kind: str) -> None:
        match target:
            case ast.Name(id=name):
                if not self._is_plain(target):
                    self.join(self.of_name(name), kind)
            case ast.Starred(value=inner):
                self.join(self.of(inner) or self.fresh(), kind)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for inner in elements:
                    if isinstance(inner, ast.Starred):
                        self._bind_kind(inner.value, kind)
                    else:
                        self._bind_kind(inner, self.content(kind))
            case ast.Attribute():
                self.join(self.of(target) or self.fresh(), kind)
            case ast.Subscript(value=holder, slice=where):
                outer = self.of(holder)
                if outer is not None:
                    self.join(self.content(outer), self.content(kind) if isinstance(where, ast.Slice) else kind)

    def held_by(self, loc: Loc) -> set[Loc]:
        """All that a name or an attribute may mean, and what is inside, all the way down."""
        if loc[0] == "attr":
            found: set[Loc] = set()
            if loc[1] in self._attributes:
                self._add_deep(self._find(f"a:{loc[1]}"), found)
            return found
        return self.locations(ast.Name(loc[1], ast.Load())) if loc[0] == "name" else {loc}

    def locations(self, expr: ast.AST) -> set[Loc]:
        """All that evaluating `expr` may look at: its names, what they mean, and what is inside, all the way down."""
        found: set[Loc] = set()
        for node in walk(expr):
            if isinstance(node, ast.Name):
                found.add(("name", node.id))
                if not self._is_plain(node):
                    self._add_deep(self.of_name(node.id), found)
            elif isinstance(node, ast.Attribute):
                found.add(("attr", node.attr))
                found |= self.held_by(("attr", node.attr))
            elif isinstance(node, (ast.Call, ast.FormattedValue)):
                found.add(PATCH_FIELDS)
        return found

    def _add_deep(self, kind: str, found: set[Loc]) -> None:
        while ("object", kind) not in found:
            found.add(("object", kind))
            if kind not in self._content:
                return
            kind = self.content(kind)
