"""Stubs for the type checker: what a program finds when it starts, and what each function takes and gives.

The functions come from a registry, which somebody else may have written: its names and schemas are data.  Text goes
into a stub as an ASCII literal only, and a name only if it is an identifier; whatever cannot be said becomes `Any`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from dicem_shared.functions import RESERVED, FunctionSpec, Registry
from dicem_shared.schema_types import resolved

from .prelude_stubs import HERMOD, IMAGE, PIL, PRELUDE, WORDS

MAX_DEPTH: Final = 8
"""Schemas inside schemas; what is deeper is anything."""
MAX_TYPES: Final = 400
"""Dicts that are written out, of all functions together."""
MAX_CHOICES: Final = 40
"""Of an enum; one with more is text."""
OPTIONS: Final = "site: str | None = ..., at: str | None = ..., deadline_s: float | None = ..., "
PRIORITY: Final = "priority: int | None = ..., away: str | None = ..."
OPTIONS_ALONE: Final = f"*, {OPTIONS}{PRIORITY}"
_SIMPLE: Final = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}
ASYNC_PREFIX: Final = "f_"
SYNC_PREFIX: Final = "s_"


@dataclass(frozen=True)
class Stubs:
    """What the type checker is told."""

    prelude: str
    """names that need no import"""
    modules: dict[str, str]
    """text by module: `hermod`, `PIL`, `PIL.Image`, and ours, from which the others take their classes"""
    results: dict[str, str] = field(default_factory=dict)
    """which function gives a dict of the stubs, by its name in the stubs"""
    keys: dict[str, str] = field(default_factory=dict)
    """what is in it, for people: `{'depth': float}`"""
    functions: dict[str, str] = field(default_factory=dict)
    """the name of each function in the stubs, without prefix; only those whose parameters can be written"""


def stubs_of(functions: Registry) -> Stubs:
    """The stubs for programs that may call these functions."""
    writer = _Writer()
    calls = "\n".join(writer.calls(functions))
    hermod = "\n".join([HERMOD, *writer.lines, calls, ""])
    modules = {"hermod": hermod, "PIL": PIL, "PIL.Image": IMAGE, WORDS_MODULE: WORDS}
    return Stubs(PRELUDE, modules, writer.shown, writer.keys, writer.names)


WORDS_MODULE: Final = "_dicem_words"


def is_name(text: str) -> bool:
    """Whether it can stand in a stub as a name: ASCII, so that no two that look alike become one."""
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text)


class _Writer:
    """Collects the types that the functions' schemas need."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._of: dict[str, str] = {}

    def calls(self, functions: Registry) -> Iterator[str]:
        """`call` and `call_sync` for any constant name, and one function for each of the registry."""
        overloads: list[tuple[str, str, str]] = []
        for spec in functions:
            parameters = self._parameters(spec)
            result = self._type(spec.result_schema, spec.result_schema, spec.name, 0)
            overloads.append((ascii(spec.name), parameters, result))
            plain = re.sub(r"\W", "_", spec.name, flags=re.ASCII)
            if plain in self.names.values():
                continue  # `a-b` beside `a_b`
            self.names[spec.name] = plain
            yield f"def {ASYNC_PREFIX}{plain}({parameters}) -> Call[{result}]: ..."
            yield f"def {SYNC_PREFIX}{plain}({parameters}) -> {result}: ..."
        for word, gives in (("call", "Call[{}]"), ("call_sync", "{}")):
            for name, parameters, result in overloads if len(overloads) > 1 else ():
                yield "@overload"
                yield f"def {word}(name: Literal[{name}], /, {parameters}) -> {gives.format(result)}: ..."
            if len(overloads) <= 1:
                yield f"def {word}(name: str, /, **params: Any) -> {gives.format('Any')}: ..."

    def _parameters(self, spec: FunctionSpec) -> str:
        """As they stand between the brackets; anything where one has a name that no keyword can have."""
        schema = spec.parameters_schema
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return "**params: Any" if spec.parameters.model_fields else OPTIONS_ALONE
        names = list(map(str, properties))
        if any(not is_name(name) or name in RESERVED for name in names):
            return "**params: Any"
        required = set(map(str, schema.get("required") or ()))
        said = []
        for name in names:
            kind = self._type(properties[name], schema, f"{spec.name}: {name}", 0, given=True)
            said.append(f"{name}: {kind}" + ("" if name in required else " = ..."))
        return ", ".join(["*", *said, OPTIONS + PRIORITY])

    def _type(self, schema: Any, root: dict[str, Any], shown: str, depth: int, *, given: bool = False) -> str:
        """A schema as a type.  `given`: of a parameter, where a program's own lists and dicts must fit."""
        found = resolved(schema, root)
        if not isinstance(found, dict) or depth > MAX_DEPTH:
            return "Any"
        if found.get("format") == "binary":
            return "Picture"
        choices = [found["const"]] if "const" in found else found.get("enum")
        if isinstance(choices, list):
            return _literal(choices)
        for key in ("anyOf", "oneOf"):
            if isinstance(found.get(key), list):
                return self._union(found[key], root, shown, depth, given)
        kind = found.get("type")
        if isinstance(kind, list):
            return self._union([{**found, "type": each} for each in kind], root, shown, depth, given)
        if kind == "array":
            if "prefixItems" in found:
                return "list[Any]"
            item = self._type(found.get("items", True), root, shown, depth + 1, given=given)
            return f"Iterable[{item}]" if given else f"list[{item}]"
        if kind == "object":
            return self._object(found, root, shown, depth, given)
        return _SIMPLE.get(kind, "Any") if isinstance(kind, str) else "Any"

    def _union(self, options: list[Any], root: dict[str, Any], shown: str, depth: int, given: bool) -> str:
        found = dict.fromkeys(self._type(option, root, shown, depth + 1, given=given) for option in options)
        return "Any" if "Any" in found or not found else " | ".join(found)

    def _object(self, schema: dict[str, Any], root: dict[str, Any], shown: str, depth: int, given: bool) -> str:
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if given or not isinstance(properties, dict) or not properties or more or len(self.lines) >= MAX_TYPES:
            value = self._type(more, root, shown, depth + 1) if isinstance(more, dict) and not properties else "Any"
            return f"dict[str, {value}]"
        required = schema.get("required")
        needed = set(map(str, required)) if isinstance(required, list) else set()
        parts = []
        for key, each in properties.items():
            kind = self._type(each, root, shown, depth + 1)
            parts.append(f"{str(key)!a}: {kind if key in needed else f'NotRequired[{kind}]'}")
        body = ", ".join(parts)
        if body not in self._of:
            self._of[body] = f"Result{len(self.lines) + 1}"
            self.lines.append(f"{self._of[body]} = TypedDict({self._of[body]!a}, {{{body}}})")
            self.shown[self._of[body]] = shown
            self.keys[self._of[body]] = f"{{{body}}}"
        return self._of[body]


def _literal(choices: list[Any]) -> str:
    plain = [
        each
        for each in choices
        if each is None or isinstance(each, (bool, str)) or (type(each) is int and abs(each) < 2**31)
    ]
    if len(plain) != len(choices) or not plain or len(plain) > MAX_CHOICES:
        return "str" if choices and all(isinstance(each, str) for each in choices) else "Any"
    return "Literal[" + ", ".join(ascii(each) for each in plain) + "]"
