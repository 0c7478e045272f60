"""What shape a value has, where that is certain: a patch, a result of a known schema, a call, a set.

A variable has a shape if all that is ever assigned to it has the same one.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from dicem_shared.functions import FunctionSpec
from dicem_shared.schema_types import resolved

from ..lower.words import PATCH_NUMBERS
from ..walking import walk
from .subject import Subject

Kind = Literal["patch", "video", "json", "call", "list", "set"]
MAX_STEPS: Final = 60
"""From a use of a value back to where its shape is known: variables may follow each other without end."""
_PASSING: Final = frozenset({"list", "sorted", "reversed", "tuple"})
_CHOOSING: Final = frozenset({"min", "max"})
_NUMBERS: Final = (int, float)


@dataclass(frozen=True)
class Shape:
    """`item`: of a list; `schema`, in `root`: of a result, or what a call will give; `source`: whose result it is."""

    kind: Kind
    item: Shape | None = None
    source: str = ""
    schema: dict[str, Any] = field(default_factory=dict, hash=False)
    root: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def keys(self) -> frozenset[str]:
        """The keys that a dict has; none where it may have others."""
        properties = self.schema.get("properties")
        if not isinstance(properties, dict) or self.schema.get("additionalProperties"):
            return frozenset()
        return frozenset(properties)

    def part(self, schema: Any) -> Shape | None:
        """A part of a result."""
        found = resolved(schema, self.root)
        return Shape("json", None, self.source, found, self.root) if isinstance(found, dict) else None


PATCH: Final = Shape("patch")
VIDEO: Final = Shape("video")
SET: Final = Shape("set")


def schema_kind(schema: dict[str, Any]) -> str:
    """`object`, `array`, `string`..., or "" where it is not one of them."""
    kind = schema.get("type")
    return kind if isinstance(kind, str) else ""


_SHOWN: Final = {
    "object": "dict", "array": "list", "string": "text", "number": "number", "integer": "number", "boolean": "bool",
}  # fmt: skip
_NOUNS: Final = {
    "dict": "a dict", "list": "a list", "text": "text", "number": "a number", "bool": "True or False",
    "patch": "an ImagePatch", "video": "a VideoSegment", "call": "a call", "set": "a set",
}  # fmt: skip


def shown_kind(shape: Shape | None) -> str:
    """In Python's words: `dict`, `list`, `text`, `number`, `bool`, `patch`, `video`, `call`, `set`; "" if unknown."""
    if shape is None:
        return ""
    return _SHOWN.get(schema_kind(shape.schema), "") if shape.kind == "json" else shape.kind


def given_by(shape: Shape) -> str:
    """`depth gives a dict here`, for messages."""
    noun = "a list of patches" if shape.kind == "list" and shape.item == PATCH else _NOUNS.get(shown_kind(shape), "")
    if not shape.source:
        return f"this is {noun}"
    if shape.source in PATCH_NUMBERS:
        return f"a patch's {shape.source} is {noun}"
    return f"{shape.source} gives {noun} here"


@cache
def _words(name: str) -> frozenset[str]:
    """Attributes and methods of a class of the prelude."""
    tree = ast.parse(resources.files("hermod").joinpath("prelude.py").read_text(encoding="utf-8"))
    (node,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    stored = {n.attr for n in walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return frozenset(
        stored | {n.name for n in node.body if isinstance(n, ast.FunctionDef)} | set(dir(object())) | {"__dict__"}
    )


_GIVES: Final[dict[str, dict[str, str]]] = {
    "patch": {
        "exists": "boolean", "verify_property": "boolean", "overlaps_with": "boolean", "best_text_match": "string",
        "simple_query": "string", "llm_query": "string", "compute_depth": "number",
    },
    "": {"distance": "number", "bool_to_yesno": "string", "llm_query": "string", "process_guesses": "string"},
}  # fmt: skip
"""What plain values the prelude's methods and functions give."""
PATCH_WORDS: Final = {"patch": _words("ImagePatch"), "video": _words("VideoSegment")}


class Shapes:
    """The shapes of a program's expressions."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: dict[ast.AST, Shape | None] = {}
        self._given = _given(subject)
        self._stored = stored_attributes(subject)
        self._depth = 0

    def of(self, node: ast.expr) -> Shape | None:
        """The shape of an expression; None where it is not certain."""
        if node not in self._known and self._depth < MAX_STEPS:
            self._known[node] = None  # while it hangs on itself
            self._depth += 1
            self._known[node] = self._of(node)
            self._depth -= 1
        return self._known.get(node)

    def _of(self, node: ast.expr) -> Shape | None:
        match node:
            case ast.Name(ctx=ast.Load()):
                return self._variable(node)
            case ast.Await():
                inner = self.of(node.value)
                if inner is None or inner.kind != "call":
                    return None
                return Shape("json", None, inner.source, inner.schema, inner.root)
            case ast.Call():
                return self._call(node)
            case ast.Subscript():
                return self._item(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.ListComp():
                item = self.of(node.elt)
                return None if item is None else Shape("list", item)
            case ast.Set():
                numbers = all(isinstance(part, ast.Constant) and isinstance(part.value, _NUMBERS) for part in node.elts)
                return None if numbers else SET
            case ast.SetComp():
                return SET
            case ast.IfExp():
                return self._same([self.of(node.body), self.of(node.orelse)])
            case ast.NamedExpr():
                return self.of(node.value)
        return None

    def _attribute(self, node: ast.Attribute) -> Shape | None:
        owner = self.of(node.value)
        if owner is None or node.attr in self._stored:
            return None
        if owner.kind == "call" and node.attr == "result":
            return owner.part(owner.schema)
        return _plain(node.attr, "number") if owner.kind == "patch" and node.attr in PATCH_NUMBERS else None

    @staticmethod
    def _same(found: list[Shape | None]) -> Shape | None:
        return found[0] if found and all(shape == found[0] for shape in found) else None

    def _variable(self, node: ast.Name) -> Shape | None:
        binders = self._subject.binders(node)
        if not binders or any(binder not in self._given for binder in binders):
            return None
        return self._same([self._bound(binder) for binder in binders])

    def _bound(self, binder: ast.AST) -> Shape | None:
        how, value = self._given[binder]
        if how == "frame":
            return PATCH
        if value is None:
            return None
        return self.of(value) if how == "value" else self.item(self.of(value))

    def item(self, shape: Shape | None) -> Shape | None:
        """What walking over a value gives."""
        if shape is None:
            return None
        if shape.kind == "list":
            return shape.item
        return shape.part(shape.schema.get("items")) if shape.kind == "json" else None

    def _item(self, node: ast.Subscript) -> Shape | None:
        shape = self.of(node.value)
        if shape is None:
            return None
        if isinstance(node.slice, ast.Slice):
            return shape if shape.kind == "list" else None
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            properties = shape.schema.get("properties")
            return shape.part(properties.get(node.slice.value)) if isinstance(properties, dict) else None
        return self.item(shape)

    def _call(self, node: ast.Call) -> Shape | None:
        origin = self._subject.origin(node.func)
        if origin in ("hermod.call", "hermod.call_sync"):
            spec = self._function(node)
            return None if spec is None else _result(spec, "call" if origin == "hermod.call" else "json")
        if origin == "ImagePatch":
            return PATCH
        if origin == "VideoSegment":
            return VIDEO
        if origin in ("set", "frozenset"):
            return SET
        if origin in _GIVES[""]:
            return _plain(origin, _GIVES[""][origin])
        if origin in _PASSING and len(node.args) == 1:
            shape = self.of(node.args[0])
            return shape if shape is not None and shape.kind == "list" else None
        if origin in _CHOOSING and len(node.args) == 1:
            return self.item(self.of(node.args[0]))
        return self._method(node) if isinstance(node.func, ast.Attribute) else None

    def _method(self, node: ast.Call) -> Shape | None:
        assert isinstance(node.func, ast.Attribute)
        owner = self.of(node.func.value)
        match (owner.kind if owner else "", node.func.attr):
            case ("patch", "find"):
                return Shape("list", PATCH, "find")
            case ("patch", "crop") | ("video", "frame_from_index"):
                return PATCH
            case ("video", "trim"):
                return VIDEO
            case ("patch", name) if name in _GIVES["patch"]:
                return _plain(name, _GIVES["patch"][name])
        return None

    def _function(self, node: ast.Call) -> FunctionSpec | None:
        name = node.args[0].value if len(node.args) == 1 and isinstance(node.args[0], ast.Constant) else None
        functions = self._subject.functions
        return functions.get(name) if isinstance(name, str) and name in functions else None


def _result(spec: FunctionSpec, kind: Kind) -> Shape | None:
    schema = resolved(spec.result_schema, spec.result_schema)
    return Shape(kind, None, spec.name, schema, spec.result_schema) if isinstance(schema, dict) else None


def _plain(source: str, kind: str) -> Shape:
    """What a method or function of the prelude gives."""
    schema = {"type": kind}
    return Shape("json", None, source, schema, schema)


def stored_attributes(subject: Subject) -> frozenset[str]:
    """The attributes that a program gives to objects itself; all that it reads where `setattr` hides their names."""
    hidden = any(isinstance(n, ast.Name) and n.id == "setattr" for n in subject.nodes)
    return frozenset(
        n.attr for n in subject.nodes if isinstance(n, ast.Attribute) and (hidden or isinstance(n.ctx, ast.Store))
    )


def stored_keys(subject: Subject) -> frozenset[str]:
    """The keys that a program puts into dicts itself, results among them: `car["metres"] = 3`."""
    found: set[str] = set()
    for node in subject.nodes:
        match node:
            case ast.Subscript(ctx=ast.Store(), slice=ast.Constant(value=str() as key)):
                found.add(key)
            case ast.Call(func=ast.Attribute(attr="setdefault"), args=[ast.Constant(value=str() as key), *_]):
                found.add(key)
            case ast.Call(func=ast.Attribute(attr="update")) | ast.AugAssign(op=ast.BitOr()):
                found |= {keyword.arg for keyword in getattr(node, "keywords", ()) if keyword.arg}
                found |= {k.value for k in _literal_keys(node) if isinstance(k.value, str)}
    return frozenset(found)


def _literal_keys(node: ast.Call | ast.AugAssign) -> list[ast.Constant]:
    values = node.args if isinstance(node, ast.Call) else [node.value]
    return [key for each in values if isinstance(each, ast.Dict) for key in each.keys if isinstance(key, ast.Constant)]


def _given(subject: Subject) -> dict[ast.AST, tuple[Literal["value", "item", "frame"], ast.expr | None]]:
    """For what binds a name: the value it is given, or whose items; parameters that are given a patch."""
    found: dict[ast.AST, tuple[Literal["value", "item", "frame"], ast.expr | None]] = {}
    for node in subject.nodes:
        match node:
            case ast.Assign():
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[target] = ("value", node.value)
            case ast.AnnAssign(target=ast.Name() as target) | ast.NamedExpr(target=ast.Name() as target):
                found[target] = ("value", node.value)
            case ast.For(target=ast.Name() as target) | ast.comprehension(target=ast.Name() as target):
                found[target] = ("item", node.iter)
            case (
                ast.For(target=ast.Tuple(elts=[_, ast.Name() as target]))
                | ast.comprehension(target=ast.Tuple(elts=[_, ast.Name() as target]))
            ):
                match node.iter:
                    case ast.Call(func=ast.Name() as func, args=[walked, *_]) if subject.origin(func) == "enumerate":
                        found[target] = ("item", walked)
    for node in subject.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in (
            "execute_command",
            "execute_query",
        ):
            for argument in node.args.args[:1]:
                if argument.arg.endswith("patch"):
                    found[argument] = ("frame", None)
    return found
