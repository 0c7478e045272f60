"""What pixels a call looks at, as far as the text tells: the whole frame, a part of it, or nobody knows.

Placement counts bytes with it, so a wrong guess costs time, never meaning.  Names are followed to all that they are
bound to, through the helpers of the program and their arguments; what is bound to different things is unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from .types import Image
from .walking import children, walk

Function = ast.FunctionDef | ast.AsyncFunctionDef
Part = Literal["itself", "elements"]
FAR = 64
"""names that are followed one to the next"""
_SAME = ("image", "handle", "cropped_image")
"""attributes of a patch that are its pixels"""
_PARTS = ("find", "find_finish")
"""methods that give a list of parts"""
_KEEP = ("sorted", "list", "tuple", "reversed", "set")
"""of the prelude and of Python: the same elements in another collection"""
_PICK = ("min", "max", "next", "best_image_match")
"""one element of their first argument"""


@dataclass(frozen=True)
class _Bound:
    """A name is bound to an expression, to its elements, or to what nobody follows (None)."""

    value: ast.expr | None
    part: Part = "itself"


@dataclass
class _Scope:
    """A function of the program, or the module."""

    node: ast.AST
    names: dict[str, list[_Bound]] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    calls: list[tuple[_Scope, ast.Call]] = field(default_factory=list)
    """who calls it, from where"""


class Pixels:
    """The values of one program that are pictures."""

    def __init__(self, tree: ast.Module, entry: str) -> None:
        self._module = _Scope(tree)
        self._scopes: dict[ast.AST, _Scope] = {tree: self._module}
        self._by_name: dict[str, list[_Scope]] = {}
        self._entry = entry
        self._known: dict[object, Image] = {}
        for node in walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                scope = _Scope(node, parameters=tuple(a.arg for a in arguments))
                self._scopes[node] = scope
                self._by_name.setdefault(node.name, []).append(scope)
        for scope in self._scopes.values():
            self._bind(scope)

    def of(self, value: ast.expr, function: ast.AST) -> tuple[Image, str]:
        """What a call in `function` (a node of the tree) looks at, and a key: the same key, the same pixels."""
        scope = self._scopes.get(function, self._module)
        kind = self._kind(value, scope, "itself", frozenset()) or "unknown"
        return kind, self._key(value, scope)

    # What names are bound to

    def _bind(self, scope: _Scope) -> None:
        for node in _inside(scope.node):
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._assign(scope, target, value)
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value)
                ):
                    self._assign(scope, target, value)
                case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
                    self._assign(scope, target, over, "elements")
                case ast.AugAssign(target=ast.Name(id=name)) | ast.ExceptHandler(name=str() as name):
                    scope.names.setdefault(name, []).append(_Bound(None))
                case ast.Call(func=ast.Name(id=name)) if name in self._by_name:
                    for called in self._by_name[name]:
                        called.calls.append((scope, node))
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[item]):
                    scope.names.setdefault(name, []).append(_Bound(ast.List([item], ast.Load())))

    def _assign(self, scope: _Scope, target: ast.expr, value: ast.expr, part: Part = "itself") -> None:
        match target, value:
            case ast.Name(id=name), _:
                scope.names.setdefault(name, []).append(_Bound(value, part))
            case (
                (ast.Tuple(elts=targets) | ast.List(elts=targets)),
                (ast.Tuple(elts=values) | ast.List(elts=values)),
            ) if part == "itself" and len(targets) == len(values):
                for one, its in zip(targets, values, strict=True):
                    self._assign(scope, one, its)
            case (ast.Tuple(elts=[first, second]), ast.Call(func=ast.Name(id="enumerate"), args=[over, *_])) if (
                part == "elements"
            ):
                self._assign(scope, second, over, "elements")
                self._forget(scope, first)
            case (ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=overs)) if part == "elements" and len(
                targets
            ) == len(overs):
                for one, over in zip(targets, overs, strict=True):
                    self._assign(scope, one, over, "elements")
            case _:
                self._forget(scope, target)

    def _forget(self, scope: _Scope, target: ast.expr) -> None:
        for node in walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.names.setdefault(node.id, []).append(_Bound(None))

    # What they are then

    def _kind(self, value: ast.expr | None, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> Image | None:
        """None: nothing that says anything, as an empty list."""
        follow = (scope, on_the_way)
        match value:
            case None:
                return "unknown"
            case ast.Constant():
                return None
            case ast.Await(value=inner) | ast.Starred(value=inner):
                return self._kind(inner, *_with(part, follow))
            case ast.Name(id=name):
                return self._name(name, scope, part, on_the_way)
            case ast.Attribute(value=inner, attr=attribute) if attribute in _SAME and part == "itself":
                return self._kind(inner, *_with(part, follow))
            case ast.IfExp(body=one, orelse=other):
                return _both([self._kind(one, *_with(part, follow)), self._kind(other, *_with(part, follow))])
            case ast.BoolOp(values=values):
                return _both([self._kind(each, *_with(part, follow)) for each in values])
            case ast.List(elts=elements) | ast.Tuple(elts=elements) if part == "elements":
                return _both([self._kind(each, *_with("itself", follow)) for each in elements])
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) if part == "elements":
                return self._kind(element, *_with("itself", follow))
            case ast.Subscript(value=inner, slice=ast.Slice()) if part == "elements":
                return self._kind(inner, *_with("elements", follow))
            case ast.Subscript(value=inner) if part == "itself":
                return self._kind(inner, *_with("elements", follow))
            case ast.Call():
                return self._call(value, scope, part, on_the_way)
        return "unknown"

    def _call(self, call: ast.Call, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> Image | None:
        follow = (scope, on_the_way)
        match call.func:
            case ast.Name(id="ImagePatch") if part == "itself" and call.args:
                return (
                    "crop"
                    if len(call.args) + len(call.keywords) > 1
                    else self._kind(call.args[0], *_with(part, follow))
                )
            case ast.Attribute(attr="crop") if part == "itself":
                return "crop"
            case ast.Attribute(attr=name) if name in _PARTS and part == "elements":
                return "crop"
            case ast.Name(id=name) if name in _KEEP and part == "elements" and call.args:
                return self._kind(call.args[0], *_with("elements", follow))
            case ast.Name(id=name) if name in _PICK and part == "itself" and call.args:
                return self._kind(call.args[0], *_with("elements", follow))
            case ast.Name(id=name) if name in self._by_name and len(self._by_name[name]) == 1:
                return self._returned(self._by_name[name][0], part, on_the_way)
        return "unknown"

    def _returned(self, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> Image | None:
        """What a helper of the program gives back."""
        here = (id(scope), "return", part)
        if here in on_the_way:
            return None
        values = [node.value for node in _inside(scope.node) if isinstance(node, ast.Return)]
        return _both([self._kind(value, scope, part, on_the_way | {here}) for value in values])

    def _name(self, name: str, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> Image | None:
        here = (id(scope), name, part)
        if here in on_the_way:
            return None  # says nothing that is not said elsewhere
        if len(on_the_way) > FAR:
            return "unknown"
        if here not in self._known:
            kind = self._bound_kind(name, scope, part, on_the_way | {here})
            if kind is None:
                return None  # perhaps only because we have been there on this way
            self._known[here] = kind
        return self._known[here]

    def _bound_kind(self, name: str, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> Image | None:
        bound = scope.names.get(name, [])
        kinds = [self._kind(each.value, scope, _deeper(part, each.part), on_the_way) for each in bound]
        if any(each.part == "elements" and part == "elements" for each in bound):
            return "unknown"  # elements of elements
        if name in scope.parameters:
            kinds += self._arguments(name, scope, part, on_the_way)
        elif not bound:
            if scope is self._module:
                return "unknown"
            return self._name(name, self._module, part, on_the_way)
        return _both(kinds)

    def _arguments(self, name: str, scope: _Scope, part: Part, on_the_way: frozenset[object]) -> list[Image | None]:
        """What callers hand over for a parameter; the program's own caller hands over the frame."""
        kinds: list[Image | None] = []
        if getattr(scope.node, "name", "") == self._entry:
            is_frame = name == scope.parameters[0] and "video" not in name and part == "itself"
            kinds.append("frame" if is_frame else "unknown")
        index = scope.parameters.index(name)
        for caller, call in scope.calls:
            named = [keyword.value for keyword in call.keywords if keyword.arg == name]
            given = named or call.args[index : index + 1]
            plain = not any(isinstance(each, ast.Starred) for each in call.args)
            kinds.append(self._kind(given[0], caller, part, on_the_way) if given and plain else "unknown")
        return kinds or ["unknown"]

    # Which pixels

    def _key(self, value: ast.expr, scope: _Scope) -> str:
        """The name of what is looked at, if it is bound once and so means one thing wherever it is said."""
        while isinstance(value, ast.Attribute) and value.attr in _SAME:
            value = value.value
        if not isinstance(value, ast.Name):
            return ""
        times = len(scope.names.get(value.id, [])) + (value.id in scope.parameters)
        return f"{getattr(scope.node, 'name', '')}.{value.id}" if times == 1 else ""


def _with(part: Part, follow: tuple[_Scope, frozenset[object]]) -> tuple[_Scope, Part, frozenset[object]]:
    return follow[0], part, follow[1]


def _deeper(part: Part, bound: Part) -> Part:
    return "elements" if "elements" in (part, bound) else "itself"


def _both(kinds: list[Image | None]) -> Image | None:
    """What is true of all of them."""
    said = {kind for kind in kinds if kind is not None}
    return said.pop() if len(said) == 1 else "unknown" if said else None


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function that are not in a function of their own."""
    waiting = list(children(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += children(node)
