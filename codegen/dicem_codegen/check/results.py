"""Use of results against their schemas, calls that nobody awaited, and sets whose order nobody knows."""

from __future__ import annotations

import ast
from typing import Final

from .calls import check_method
from .near import did_you_mean, nearest
from .operators import check_operation
from .shapes import PATCH_WORDS, Shape, Shapes, given_by, shown_kind, stored_attributes, stored_keys
from .subject import Subject

_OF_KIND: Final = {"dict": dict, "list": list, "text": str, "number": float, "bool": bool}
_NO_ITEMS: Final = frozenset({"number", "bool", "patch", "video"})
_KEEPS_ORDER: Final = frozenset({"list", "tuple", "enumerate", "iter", "next", "zip"})
_WALKS: Final = _KEEPS_ORDER | {"sorted", "len", "sum", "set", "reversed"}
"""Functions that fail on what cannot be walked over."""


def check_results(subject: Subject) -> None:
    """Warn of what fails or means nothing, judged by the schemas; what is not known for certain passes."""
    _Results(subject).run()


class _Results:
    """One program under examination."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.shapes = Shapes(subject)
        self.attributes, self.keys = stored_attributes(subject), stored_keys(subject)
        # A key that is not to be seen may be any.
        self.any_key = any(
            isinstance(n, ast.Subscript)
            and isinstance(n.ctx, ast.Store)
            and not isinstance(n.slice, ast.Constant)
            and shown_kind(self.shapes.of(n.value)) == "dict"
            for n in subject.nodes
        )

    def run(self) -> None:
        """Look at every use."""
        subject, shapes = self.subject, self.shapes
        for node in subject.nodes:
            match node:
                case ast.Attribute(ctx=ast.Load()):
                    self._attribute(node, shapes.of(node.value))
                case ast.Subscript(ctx=ast.Load()):
                    self._item(node, shapes.of(node.value))
                case ast.For() | ast.comprehension():
                    self._walk(node.iter, shapes.of(node.iter), ordered=True)
                case ast.Compare() | ast.BinOp():
                    check_operation(subject, node, shapes)
                case ast.Call():
                    self._call(node)

    def _call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(), args=[first, *_]) if (origin := self.subject.origin(node.func)) in _WALKS:
                self._walk(first, self.shapes.of(first), ordered=origin in _KEEPS_ORDER)
            case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value=str())), args=[first]):
                self._walk(first, self.shapes.of(first), ordered=True)
            case ast.Call(func=ast.Attribute(attr="find" | "exists" | "crop" | "trim" as name, value=value)):
                shape = self.shapes.of(value)
                if shape is not None and shape.kind in ("patch", "video"):
                    check_method(self.subject, node, name)
            case ast.Call(func=ast.Attribute(attr="get", value=value), args=[ast.Constant(value=str() as key), *_]):
                self._key(node, self.shapes.of(value), key, "there is never any such key")
        if self.subject.origin(node.func) in ("hermod.call", "hermod.call_sync"):
            self._images(node)

    def _images(self, node: ast.Call) -> None:
        """Parameters that take a patch, given something else."""
        name = node.args[0].value if len(node.args) == 1 and isinstance(node.args[0], ast.Constant) else None
        if not isinstance(name, str) or name not in self.subject.functions:
            return
        images = self.subject.functions.get(name).image_parameters
        for keyword in node.keywords:
            shape = self.shapes.of(keyword.value) if keyword.arg in images else None
            if shape is not None and shown_kind(shape) in ("list", "text", "number", "bool"):
                message = f"{name}: {keyword.arg}: a patch or an image is wanted here, and {given_by(shape)}"
                hint = "Call it for each of them, or for one: patches[0]" if shape.kind == "list" else ""
                self._say(keyword.value, message, hint)

    def _say(self, node: ast.expr, message: str, hint: str = "") -> None:
        self.subject.say(node, "warning", "result-use", message, hint)

    def _attribute(self, node: ast.Attribute, shape: Shape | None) -> None:
        kind = shown_kind(shape)
        if shape is None or node.attr in self.attributes:
            return
        if shape.kind == "call":
            if node.attr != "result":
                self._not_awaited(node, shape)
        elif shape.kind in ("patch", "video"):
            if node.attr not in PATCH_WORDS[shape.kind]:
                owner = "ImagePatch" if shape.kind == "patch" else "VideoSegment"
                hint = did_you_mean(node.attr, PATCH_WORDS[shape.kind])
                message = f"{owner} has no {node.attr}: an AttributeError in this line"
                self.subject.say(node, "warning", "unknown-attribute", message, hint)
        elif kind in _OF_KIND and not hasattr(_OF_KIND[kind], node.attr):
            words = [n for n in dir(_OF_KIND[kind]) if not n.startswith("_")]
            hint = did_you_mean(node.attr, words, cutoff=0.75)
            if kind == "dict" and node.attr in shape.keys:
                hint = f'Write ["{node.attr}"]'
            elif shape.kind == "list" and node.attr in PATCH_WORDS["patch"]:
                hint = f"Walk over them, or take one: patches[0].{node.attr}"
            self._say(node, f"{given_by(shape)}, which has no {node.attr}", hint)

    def _item(self, node: ast.Subscript, shape: Shape | None) -> None:
        if shape is None:
            return
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        kind = shown_kind(shape)
        if shape.kind == "call":
            self._not_awaited(node, shape)
        elif kind in _NO_ITEMS:
            self._say(node, f"{given_by(shape)}, which has no items: a TypeError in this line")
        elif isinstance(key, str):
            if kind in ("list", "text"):
                self._say(node, f"{given_by(shape)}: [{key!r}] is a TypeError")
            self._key(node, shape, key, "a KeyError in this line")
        elif type(key) is int and kind == "dict" and not self.any_key:
            hint = f"It has {', '.join(sorted(shape.keys))}" if shape.keys else ""
            self._say(node, f"{given_by(shape)}: [{key}] is a KeyError", hint)

    def _key(self, node: ast.expr, shape: Shape | None, key: str, consequence: str) -> None:
        if shape is None or shape.kind != "json" or not shape.keys or key in shape.keys | self.keys or self.any_key:
            return
        near = nearest(key, shape.keys)
        hint = f"Did you mean {near}?" if near else f"It has {', '.join(sorted(shape.keys))}"
        self._say(node, f"what {shape.source} gives has no {key!r}: {consequence}", hint)

    def _walk(self, node: ast.expr, shape: Shape | None, *, ordered: bool) -> None:
        if shape is None:
            return
        if shape.kind == "call":
            self._not_awaited(node, shape)
        elif shape.kind == "set" and ordered:
            hint = "Use sorted(...) or dict.fromkeys(...) for an order that stays"
            self.subject.say(node, "note", "set-order", "the order in which a set is walked is not specified", hint)
        elif shown_kind(shape) in _NO_ITEMS:
            self._say(node, f"{given_by(shape)}, which cannot be walked over: a TypeError in this line")

    def _not_awaited(self, node: ast.expr, shape: Shape) -> None:
        message = f"the call of {shape.source} is used before it is awaited"
        self.subject.say(node, "warning", "not-awaited", message, "Write `await` before hermod.call")
