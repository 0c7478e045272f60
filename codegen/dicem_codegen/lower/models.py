"""What the builtins, the methods of builtin types, the prelude and the modules give, as far as `kinds` knows them.

What is not named here takes its arguments out of sight and gives "unknown".
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .modules import in_module
from .scopes import Scope
from .values import (
    IMMUTABLE,
    NUMBERS,
    PLAIN,
    UNKNOWN,
    Bound,
    Box,
    BoxKind,
    Class,
    Func,
    Instance,
    Method,
    Value,
    Values,
    builtin,
    module,
    named,
    prelude,
)
from .words import CLASSES, METHODS, PATCH_NUMBERS, prelude_globals

if TYPE_CHECKING:
    from .inference import Inference

ANY: Final = "*"
"""The attribute that stands for those whose names are known at run time only."""
_MODULES: Final = {"hermod": "hermod", "PIL": "PIL", "PIL.Image": "PIL.Image", "PIL_Image": "PIL.Image"}


@dataclass
class Arguments:
    """The arguments of a call; `rest` is what stars may add anywhere."""

    positional: list[Values] = field(default_factory=list)
    named: dict[str, Values] = field(default_factory=dict)
    rest: Values = field(default_factory=set)
    node: ast.Call | None = None

    @classmethod
    def read(cls, inference: Inference, node: ast.Call, scope: Scope) -> Arguments:
        """Evaluate those of a call."""
        given = cls(node=node)
        for argument in node.args:
            values = inference.eval(argument, scope)
            if isinstance(argument, ast.Starred):
                given.rest |= inference.iterate(values)
            elif given.rest:
                given.rest |= values
            else:
                given.positional.append(values)
        for keyword in node.keywords:
            values = inference.eval(keyword.value, scope)
            if keyword.arg is not None:
                given.named[keyword.arg] = values
            else:
                given.rest |= {v for box in values for v in (box.items if isinstance(box, Box) else {UNKNOWN})}
        return given

    def after(self, first: Values) -> Arguments:
        """The same, after one more."""
        return Arguments([first, *self.positional], self.named, self.rest, self.node)

    def get(self, position: int, name: str = "") -> Values:
        """One of them; empty if it is not given."""
        found = set(self.rest)
        if position < len(self.positional):
            found |= self.positional[position]
        return found | self.named.get(name, set())

    def all(self) -> Values:
        """Everything that is handed over."""
        return self.rest.union(*self.positional, *self.named.values())

    def escape(self, inference: Inference) -> None:
        """All of it goes out of sight."""
        inference.escape(self.all())


# Names that the program does not bind


def is_outside(name: str) -> bool:
    """Whether a name means something before the program binds it."""
    return name in prelude_globals() or hasattr(builtins, name)


def outside(name: str) -> Value:
    """What a name means that the program does not bind."""
    if name in CLASSES or name in ("PILImage", "_as_image"):
        return f"class:{name}"
    if name in _MODULES:
        return module(_MODULES[name])
    if name in prelude_globals():
        return prelude(name)
    return builtin(name) if hasattr(builtins, name) else UNKNOWN


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Value]]:
    """The names that an import binds, and what they mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.asname or whole, module(whole)
    else:
        for alias in node.names:
            path = f"{node.module}.{alias.name}"
            yield alias.asname or alias.name, "class:PILImage" if path.endswith("Image.Image") else module(path)


def entry_argument(inference: Inference, name: str) -> Values:
    """What the runner calls an entry with whose parameter has this name; as `dicem_shared.program` says."""
    if name.endswith("patch"):
        return {"patch"}
    if "video" in name:
        return {inference.box("video", "list", {PLAIN})}
    return {"str"} if name.endswith(("filename", "path", "file")) else {"image"}


# Operators


def operate(inference: Inference, node: ast.BinOp, left: Values, right: Values, place: ast.AST) -> Values:
    """What a binary operator gives."""
    found: Values = set()
    if left <= NUMBERS and right <= NUMBERS:
        integral = left <= {"int", "bool"} and right <= {"int", "bool"}
        whole = integral and not isinstance(node.op, (ast.Div, ast.Pow))
        return {"int"} if whole else {"int", "float"}
    boxes = [v for v in left | right if isinstance(v, Box)]
    for box in boxes:
        if box.kind in ("list", "tuple", "set"):
            inner = inference.iterate([v for v in left | right if isinstance(v, Box)])
            found.add(inference.box(place, box.kind, inner))
    if "str" in left | right:
        found.add("str")
    if left & NUMBERS and right & NUMBERS:
        found |= {"int", "float"}
    known = {"str", "bytes", "none", *NUMBERS}
    lost = [v for v in left | right if not isinstance(v, Box) and v not in known]
    if lost or any(box.kind not in ("list", "tuple", "set") for box in boxes):
        inference.escape(left | right)
        found.add(UNKNOWN)
    return found or {UNKNOWN}


def item(inference: Inference, node: ast.Subscript, receivers: Values, keys: Values) -> Values:
    """What a subscript gives."""
    found: Values = set()
    for value in receivers:
        if isinstance(value, Box):
            if isinstance(node.slice, ast.Slice):
                kind: BoxKind = "tuple" if value.kind == "tuple" else "list"
                found.add(inference.box(node, kind, value.items))
            elif value.fields is not None and _index(node.slice) in range(len(value.fields)):
                found |= value.fields[_index(node.slice) or 0]
            else:
                found |= value.items
        elif value == "str":
            found.add("str")
        elif value == "bytes":
            found |= {"int", "bytes"}
        elif value == PLAIN:
            found |= inference.in_plain
        elif value == "range":
            found |= {"int", "range"}
        elif value == UNKNOWN or isinstance(value, (Instance, Class)) or named(value, "module"):
            inference.escape([value, *keys])
            found.add(UNKNOWN)
    return found


def _index(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number
    return None


def update_dict(inference: Inference, box: Box, values: Values) -> None:
    """`box.update(values)`."""
    for value in values:
        if isinstance(value, Box) and value.kind == "dict":
            inference.put(box.key_cell, value.keys)
            inference.put(box.item_cell, value.items)
        elif isinstance(value, Box):
            for pair in list(value.items):
                fields = pair.fields if isinstance(pair, Box) else None
                if fields is not None and len(fields) == 2:
                    inference.put(box.key_cell, fields[0])
                    inference.put(box.item_cell, fields[1])
                else:
                    both = inference.iterate([pair])
                    inference.put(box.key_cell, both)
                    inference.put(box.item_cell, both)
        elif value == PLAIN:
            inference.put(box.key_cell, {"str"})
            inference.put(box.item_cell, inference.in_plain)
        elif value not in ("none", "str"):
            inference.put(box.key_cell, {UNKNOWN})
            inference.put(box.item_cell, {UNKNOWN})


# Attributes


def attribute(inference: Inference, receivers: Values, name: str) -> Values:
    """What `receiver.name` gives."""
    found: Values = set()
    for value in receivers:
        found |= _attribute(inference, value, name)
    return found


def _attribute(inference: Inference, value: Value, name: str) -> Values:
    if isinstance(value, Instance):
        return _of_instance(inference, value, name)
    if isinstance(value, Class):
        return set(inference.read(value.inside, name)) or {UNKNOWN}
    if value == "patch":
        return _of_patch(inference, name)
    if value == "video":
        if name in ("start", "end", "num_frames"):
            return {"int"}
        return {PLAIN} if name in ("frames", "trimmed_video") else {Bound(value, name)}
    if value == "image":
        if name in ("width", "height"):
            return {"int"}
        if name == "size":
            return {inference.box("image", "tuple", {"int"}, "size")}
        return {PLAIN} if name == "handle" else {Bound(value, name)}
    path = named(value, "module")
    if path is not None:
        return _of_module(path, name)
    if value == UNKNOWN or isinstance(value, (Bound, Method)):
        return {UNKNOWN}
    return {Bound(value, name)}


def _of_patch(inference: Inference, name: str) -> Values:
    own = inference.attribute(inference.patch_attributes, name) | inference.attribute(inference.patch_attributes, ANY)
    if name in PATCH_NUMBERS:
        return own | {"int", "float"}
    if name in ("image", "cropped_image"):
        return own | {"image"}
    if name == "handle":
        return own | {PLAIN}
    if name in METHODS or name.rpartition("_")[0] in METHODS or name in ("crop", "overlaps_with"):
        return own | {Bound("patch", name)}
    return set(own) or {UNKNOWN}


def _of_instance(inference: Inference, value: Instance, name: str) -> Values:
    found = set(inference.attribute(value.attributes, name))
    assert value.of is not None
    for held in inference.read(value.of.inside, name):
        found.add(Method(value, held) if isinstance(held, Func) else held)
    return found | {UNKNOWN} if inference.see(value.lost) or not found else found


def _of_module(path: str, name: str) -> Values:
    if path == "PIL" and name == "Image":
        return {module("PIL.Image")}
    if path == "PIL.Image":
        return {"class:PILImage"} if name == "Image" else {module(f"PIL.Image.{name}")}
    if path == "math" and name in ("pi", "e", "inf", "nan", "tau"):
        return {"float"}
    return {module(f"{path}.{name}")}


# Methods of builtin types and of the prelude's classes

_STR_BOOL: Final = frozenset(
    {"startswith", "endswith", "isdigit", "isalpha", "isalnum", "islower", "isupper", "isspace", "istitle", "isdecimal",
     "isnumeric", "isidentifier", "isascii", "isprintable"}
)  # fmt: skip
_STR_LISTS: Final = frozenset({"split", "rsplit", "splitlines"})
_STR_INTS: Final = frozenset({"find", "rfind", "index", "rindex", "count"})


def method(inference: Inference, bound: Bound, arguments: Arguments) -> Values:
    """What calling a method gives."""
    receiver, name = bound.receiver, bound.name
    if receiver == "patch":
        return _patch_method(inference, name, arguments)
    if receiver == "video":
        return _video_method(inference, name, arguments)
    if receiver == "image":
        return {"image"} if name == "crop" else {UNKNOWN}
    if receiver == "str":
        return _str_method(inference, name, arguments)
    if isinstance(receiver, Box):
        return _box_method(inference, receiver, name, arguments)
    if receiver == PLAIN:
        inference.put_into_plain(arguments.all())
        views = {"items", "keys", "values", *_STR_LISTS}
        return {inference.box(arguments.node, "list", inference.in_plain)} if name in views else set(inference.in_plain)
    _lose(inference, arguments)
    return {UNKNOWN}


def _patch_method(inference: Inference, name: str, arguments: Arguments) -> Values:
    stem, _, form = name.rpartition("_")
    if form == "start" and stem in METHODS:
        return {"call"}
    if form == "finish" and stem in METHODS:
        name, arguments = stem, Arguments(arguments.positional[1:], arguments.named, arguments.rest, arguments.node)
    match name:
        case "find":
            return {inference.box(arguments.node, "list", {"patch"})}
        case "exists" | "verify_property" | "overlaps_with":
            return {"bool"}
        case "best_text_match":
            return inference.iterate(arguments.get(0, "option_list"))
        case "simple_query" | "llm_query":
            return {"str"}
        case "compute_depth":
            return {"float"}
        case "crop":
            return {"patch"}
    arguments.escape(inference)
    return {UNKNOWN}


def _video_method(inference: Inference, name: str, arguments: Arguments) -> Values:
    match name:
        case "frame_from_index":
            return {"patch"}
        case "trim":
            return {"video"}
        case "frame_iterator":
            return {inference.box(arguments.node, "iterator", {"patch"})}
        case "select_answer" | "select_answer_finish":
            return {"str"} | inference.iterate(arguments.get(1 if name.endswith("finish") else 2, "options"))
        case "select_answer_start":
            return {"call"}
    arguments.escape(inference)
    return {UNKNOWN}


def _str_method(inference: Inference, name: str, arguments: Arguments) -> Values:
    if name in _STR_BOOL:
        return {"bool"}
    if name in _STR_LISTS:
        return {inference.box(arguments.node, "list", {"str"})}
    if name in _STR_INTS:
        return {"int"}
    if name in ("partition", "rpartition"):
        return {inference.box(arguments.node, "tuple", {"str"})}
    if name == "encode":
        return {"bytes"}
    return {"str"} if hasattr(str, name) else {UNKNOWN}


def _box_method(inference: Inference, box: Box, name: str, arguments: Arguments) -> Values:  # noqa: PLR0912
    first = arguments.get(0)
    added: Values = set()
    found: Values = {"none"}
    match box.kind, name:
        case "list", "append" | "remove" | "clear" | "reverse" | "sort":
            added = first if name == "append" else set()
            if name == "sort":
                call_back(inference, arguments.get(9, "key"), box.items)
        case "list", "extend":
            added = inference.iterate(first)
        case "list", "insert":
            added = arguments.get(1)
        case "list" | "set", "pop":
            found = set(box.items)
        case "list" | "tuple", "index" | "count":
            found = {"int"}
        case "list" | "set" | "dict", "copy":
            again = inference.box(arguments.node, box.kind, box.items)
            inference.put(again.key_cell, box.keys)
            found = {again}
        case "set", "add" | "discard" | "update" | "remove" | "clear":
            added = first if name == "add" else inference.iterate(arguments.all()) if name == "update" else set()
        case "set", "union" | "intersection" | "difference" | "symmetric_difference":
            found = {inference.box(arguments.node, "set", box.items | inference.iterate(arguments.all()))}
        case "set", "issubset" | "issuperset" | "isdisjoint":
            found = {"bool"}
        case "dict", "get" | "pop" | "setdefault":
            default = arguments.get(1) or {"none"}
            found = box.items | default
            if name == "setdefault":
                added = default
                inference.put(box.key_cell, first)
        case "dict", "keys":
            found = {inference.box(arguments.node, "view", box.keys)}
        case "dict", "values":
            found = {inference.box(arguments.node, "view", box.items)}
        case "dict", "items":
            found = {inference.box(arguments.node, "view", {pair(inference, arguments.node, box.keys, box.items)})}
        case "dict", "popitem":
            found = {pair(inference, arguments.node, box.keys, box.items)}
        case "dict", "clear":
            pass
        case "dict", "update":
            update_dict(inference, box, first)
            if arguments.named or arguments.rest:
                inference.put(box.key_cell, {"str"})
                added = arguments.rest.union(*arguments.named.values())
        case _:
            inference.escape([box, *arguments.all()])
            return {UNKNOWN}
    inference.fill(box, added)
    return found


def pair(inference: Inference, place: object, *parts: Values) -> Box:
    """A tuple whose places hold these."""
    box = inference.box(place, "tuple", set().union(*parts), "pair")
    if box.field_cells is None:
        box.field_cells = [set() for _ in parts]
    for at, values in zip(box.field_cells, parts, strict=False):
        inference.put(at, values)
    return box


# Functions

_TYPES: Final[dict[str, Values]] = {
    "len": {"int"}, "abs": {"int", "float"}, "round": {"int", "float"}, "int": {"int"}, "float": {"float"},
    "str": {"str"}, "repr": {"str"}, "bool": {"bool"}, "ord": {"int"}, "chr": {"str"}, "isinstance": {"bool"},
    "print": {"none"}, "range": {"range"}, "any": {"bool"}, "all": {"bool"}, "format": {"str"}, "callable": {"bool"},
    "hasattr": {"bool"}, "issubclass": {"bool"}, "id": {"int"}, "hash": {"int"}, "bin": {"str"}, "hex": {"str"},
    "bytes": {"bytes"}, "input": {"str"},
}  # fmt: skip
_BOXES: Final[dict[str, BoxKind]] = {
    "list": "list", "sorted": "list", "tuple": "tuple", "set": "set", "frozenset": "set", "iter": "iterator",
    "reversed": "iterator",
}  # fmt: skip
_PRELUDE: Final[dict[str, Values]] = {
    "llm_query": {"str"}, "llm_query_finish": {"str"}, "llm_query_start": {"call"}, "process_guesses_start": {"call"},
    "bool_to_yesno": {"str"}, "distance": {"int", "float"},
}  # fmt: skip


def function(inference: Inference, callee: Value, arguments: Arguments) -> Values:
    """What calling a builtin, a word of the prelude or a module's function gives."""
    for family, model in (("builtin", _builtin), ("prelude", _prelude), ("class", _made), ("module", in_module)):
        name = named(callee, family)
        if name is not None:
            return model(inference, name, arguments)
    _lose(inference, arguments)
    return {UNKNOWN}


def _lose(inference: Inference, arguments: Arguments) -> None:
    """These go out of sight, perhaps into a plain list or dict."""
    arguments.escape(inference)
    if not arguments.all() <= IMMUTABLE | {PLAIN}:
        inference.put_into_plain({UNKNOWN})


def _made(inference: Inference, name: str, arguments: Arguments) -> Values:
    return {CLASSES[name]} if name in CLASSES else {"image"}


def _builtin(inference: Inference, name: str, arguments: Arguments) -> Values:  # noqa: PLR0912
    first = arguments.get(0)
    if name in _TYPES:
        if any(isinstance(value, Instance) for value in arguments.all()):
            inference.escape(arguments.all())
        return set(_TYPES[name])
    if name in _BOXES and (name != "iter" or len(arguments.positional) < 2):
        call_back(inference, arguments.named.get("key", set()), inference.iterate(first))
        return {inference.box(arguments.node, _BOXES[name], inference.iterate(first))}
    match name:
        case "min" | "max":
            single = len(arguments.positional) == 1
            among = inference.iterate(first) if single or arguments.rest else set[Value]()
            if arguments.rest or not single:
                among = among.union(arguments.rest, *arguments.positional)
            call_back(inference, arguments.named.get("key", set()), among)
            return among | arguments.named.get("default", set())
        case "sum":
            numbers = inference.iterate(first) | arguments.get(1, "start")
            if not numbers <= NUMBERS:
                inference.escape(numbers)
                return {UNKNOWN}
            return {"int", "float"} if "float" in numbers else {"int"}
        case "enumerate":
            each = pair(inference, arguments.node, {"int"}, inference.iterate(first))
            return {inference.box(arguments.node, "iterator", {each})}
        case "zip":
            columns = [inference.iterate(values) for values in arguments.positional]
            row = inference.box(arguments.node, "tuple", inference.iterate(arguments.rest), "pair")
            if columns and not arguments.rest:
                row = pair(inference, arguments.node, *columns)
            return {inference.box(arguments.node, "iterator", {row})}
        case "map":
            given = Arguments([inference.iterate(v) for v in arguments.positional[1:]], node=arguments.node)
            results = set().union(*[inference.call(callee, given) for callee in list(first)])
            return {inference.box(arguments.node, "iterator", results)}
        case "filter":
            among = inference.iterate(arguments.get(1))
            call_back(inference, first, among)
            return {inference.box(arguments.node, "iterator", among)}
        case "next":
            return inference.iterate(first) | arguments.get(1)
        case "dict":
            box = inference.box(arguments.node, "dict", arguments.rest.union(*arguments.named.values()))
            inference.put(box.key_cell, {"str"} if arguments.named or arguments.rest else ())
            update_dict(inference, box, first)
            return {box}
        case "getattr":
            return _getattr(inference, arguments)
        case "setattr":
            _setattr(inference, arguments)
            return {"none"}
        case "type":
            return {UNKNOWN}
        case "divmod":
            return {inference.box(arguments.node, "tuple", {"int", "float"})}
    if _is_exception(name):
        arguments.escape(inference)
        return {"exception"}
    arguments.escape(inference)
    return {UNKNOWN}


def _is_exception(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def _setattr(inference: Inference, arguments: Arguments) -> None:
    match arguments.node:
        case ast.Call(args=[_, ast.Constant(value=str() as name), _]):
            inference.set_attribute(arguments.get(0), name, arguments.get(2))
        case _:
            inference.escape(arguments.all())
            inference.put(inference.patch_attributes.setdefault(ANY, set()), {UNKNOWN})


def _getattr(inference: Inference, arguments: Arguments) -> Values:
    match arguments.node:
        case ast.Call(args=[_, ast.Constant(value=str() as name), *_]):
            return attribute(inference, arguments.get(0), name) | arguments.get(2)
    inference.escape(arguments.all())
    return {UNKNOWN}


def call_back(inference: Inference, callees: Values, items: Values) -> None:
    """Somebody calls these with each of the items."""
    for callee in list(callees):
        if callee != "none":
            inference.call(callee, Arguments([items]))


def _prelude(inference: Inference, name: str, arguments: Arguments) -> Values:
    if name in _PRELUDE:
        return set(_PRELUDE[name])
    match name:
        case "best_image_match" | "best_image_match_ask" | "best_image_match_finish":
            patches = arguments.get(1 if name.endswith("finish") else 0, "list_patches")
            found = inference.iterate(patches) | {"none", "int"}
            return {inference.box(arguments.node, "coroutine", found)} if name.endswith("ask") else found
        case "process_guesses" | "process_guesses_finish":
            return {"str"} | arguments.all()
        case "coerce_to_numeric":
            return {"int", "float"} | arguments.get(0)
    arguments.escape(inference)
    return {UNKNOWN}
