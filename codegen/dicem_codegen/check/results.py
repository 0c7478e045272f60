"""Use of results against their schemas, calls that nobody awaited, and sets whose order nobody knows."""

from __future__ import annotations

import ast

from .calls import check_method
from .near import did_you_mean, nearest
from .shapes import PATCH_WORDS, Shape, Shapes, schema_kind
from .subject import Subject

_OF_KIND = {"object": dict, "array": list, "string": str, "number": float, "integer": int, "boolean": bool}
_ARTICLE = {
    "object": "a dict",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a number",
    "boolean": "True or False",
}
_KEEPS_ORDER = frozenset({"list", "tuple", "enumerate", "iter", "next", "zip"})


def check_results(subject: Subject) -> None:
    """Warn of what fails or means nothing, judged by the schemas; what is not known for certain passes."""
    shapes = Shapes(subject)
    stored = {n.attr for n in subject.nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    if any(isinstance(n, ast.Name) and n.id == "setattr" for n in subject.nodes):
        stored |= {n.attr for n in subject.nodes if isinstance(n, ast.Attribute)}  # by names that are not to be seen
    for node in subject.nodes:
        match node:
            case ast.Attribute(ctx=ast.Load()):
                _check_attribute(subject, node, shapes.of(node.value), stored)
            case ast.Subscript(ctx=ast.Load()):
                _check_item(subject, node, shapes.of(node.value))
            case ast.For() | ast.comprehension():
                _check_walk(subject, node.iter, shapes.of(node.iter))
            case ast.Call(func=ast.Name(), args=[first, *_]) if subject.origin(node.func) in _KEEPS_ORDER:
                _check_walk(subject, first, shapes.of(first))
            case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value=str())), args=[first]):
                _check_walk(subject, first, shapes.of(first))
            case ast.Call(func=ast.Attribute(attr="find" | "exists" | "crop" | "trim" as name, value=value)):
                shape = shapes.of(value)
                if shape is not None and shape.kind in ("patch", "video"):
                    check_method(subject, node, name)
            case ast.Call(func=ast.Attribute(attr="get", value=value), args=[ast.Constant(value=str() as key), *_]):
                _check_key(subject, node, shapes.of(value), key, "there is never any such key")


def _check_attribute(subject: Subject, node: ast.Attribute, shape: Shape | None, stored: set[str]) -> None:
    if shape is None:
        return
    if shape.kind == "call":
        if node.attr != "result":
            _not_awaited(subject, node, shape)
    elif shape.kind in ("patch", "video") and node.attr not in PATCH_WORDS[shape.kind] | stored:
        owner = "ImagePatch" if shape.kind == "patch" else "VideoSegment"
        hint = did_you_mean(node.attr, PATCH_WORDS[shape.kind])
        subject.say(
            node, "warning", "unknown-attribute", f"{owner} has no {node.attr}: an AttributeError in this line", hint
        )
    elif (
        shape.kind == "json"
        and (kind := schema_kind(shape.schema)) in _OF_KIND
        and not hasattr(_OF_KIND[kind], node.attr)
    ):
        hint = did_you_mean(node.attr, [n for n in dir(_OF_KIND[kind]) if not n.startswith("_")], cutoff=0.75)
        if kind == "object" and node.attr in shape.keys:
            hint = f'Write ["{node.attr}"]'
        message = f"{shape.source} gives {_ARTICLE[kind]} here, which has no {node.attr}"
        subject.say(node, "warning", "result-use", message, hint)


def _check_item(subject: Subject, node: ast.Subscript, shape: Shape | None) -> None:
    if shape is None:
        return
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    if shape.kind == "call":
        _not_awaited(subject, node, shape)
    elif shape.kind == "json" and isinstance(key, str):
        if (kind := schema_kind(shape.schema)) in ("array", "string"):
            message = f"{shape.source} gives {_ARTICLE[kind]} here: [{key!r}] is a TypeError"
            subject.say(node, "warning", "result-use", message)
        _check_key(subject, node, shape, key, "a KeyError in this line")
    elif shape.kind == "json" and type(key) is int and schema_kind(shape.schema) == "object":
        message = f"{shape.source} gives a dict here: [{key}] is a KeyError"
        hint = f"It has {', '.join(sorted(shape.keys))}" if shape.keys else ""
        subject.say(node, "warning", "result-use", message, hint)


def _check_key(subject: Subject, node: ast.expr, shape: Shape | None, key: str, consequence: str) -> None:
    if shape is None or shape.kind != "json" or not shape.keys or key in shape.keys:
        return
    near = nearest(key, shape.keys)
    hint = f"Did you mean {near}?" if near else f"It has {', '.join(sorted(shape.keys))}"
    subject.say(node, "warning", "result-use", f"what {shape.source} gives has no {key!r}: {consequence}", hint)


def _check_walk(subject: Subject, node: ast.expr, shape: Shape | None) -> None:
    if shape is None:
        return
    if shape.kind == "call":
        _not_awaited(subject, node, shape)
    elif shape.kind == "set":
        hint = "Use sorted(...) or dict.fromkeys(...) for an order that stays"
        subject.say(node, "note", "set-order", "the order in which a set is walked is not specified", hint)


def _not_awaited(subject: Subject, node: ast.expr, shape: Shape) -> None:
    message = f"the call of {shape.source} is used before it is awaited"
    subject.say(node, "warning", "not-awaited", message, "Write `await` before hermod.call")
