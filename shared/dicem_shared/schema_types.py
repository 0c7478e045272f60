"""JSON Schemas as types that pydantic can check with: what functions are described by, and no more."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Union

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from .errors import ConfigError
from .types import Handle

MAX_DEPTH: Final = 32
_BOUNDS: Final = {
    "minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt",
    "minLength": "min_length", "maxLength": "max_length", "minItems": "min_length", "maxItems": "max_length",
}  # fmt: skip
_BOUNDED: Final = {
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "string": frozenset({"minLength", "maxLength"}),
    "array": frozenset({"minItems", "maxItems"}),
}
_SIMPLE: Final = {"integer": int, "number": float, "string": str, "boolean": bool, "null": type(None)}


def type_of(schema: Any, root: dict[str, Any], where: str) -> Any:
    """The type whose values fit a schema; what it says beyond types, bounds and choices is not checked.

    :param root: the schema in which `#/$defs/...` lie
    :raises ConfigError: it is no JSON Schema, or one that holds itself
    """
    return _Reader(root, where).read(schema, 0)


def resolved(schema: Any, root: dict[str, Any]) -> Any:
    """The schema that a chain of `$ref`s means; None for one that leads nowhere."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        definitions = root.get("$defs")
        schema = definitions.get(name) if isinstance(definitions, dict) else None
    return None


class _Reader:
    def __init__(self, root: dict[str, Any], where: str) -> None:
        self.root, self.where = root, where
        self.left = 2_000
        """schemas that may still be read: few lines can unfold into many"""

    def read(self, schema: Any, depth: int) -> Any:
        self.left -= 1
        found = resolved(schema, self.root)
        if not isinstance(found, dict):
            expected = "a JSON Schema" if found is not None else "a $ref to #/$defs of the same schema"
            if found is True:
                return Any
            raise ConfigError(self.where, expected=expected, got=type(schema).__name__)
        if depth > MAX_DEPTH or self.left < 0:
            raise ConfigError(self.where, expected=f"a schema at most {MAX_DEPTH} deep that does not hold itself")
        if found.get("format") == "binary":
            return Handle
        if "const" in found:
            return self.choice([found["const"]])
        if "enum" in found:
            return self.choice(found["enum"])
        for key in ("anyOf", "oneOf"):
            if key in found:
                return self.union(found[key], depth)
        kind = found.get("type")
        if isinstance(kind, list):
            return self.union([{**found, "type": each} for each in kind], depth)
        return self.of_type(kind, found, depth)

    def of_type(self, kind: Any, schema: dict[str, Any], depth: int) -> Any:
        if kind is None:
            return Any
        if kind == "array":
            plain: Any = list[self.read(schema.get("items", True), depth + 1)]  # type: ignore[misc]
        elif kind == "object":
            plain = self.object(schema, depth)
        elif isinstance(kind, str) and kind in _SIMPLE:
            plain = _SIMPLE[kind]
        else:
            raise ConfigError(
                f"{self.where}: type", expected=", ".join([*_SIMPLE, "array", "object"]), got=str(kind)[:40]
            )
        bounds = {_BOUNDS[key]: schema[key] for key in _BOUNDED.get(kind, ()) if key in schema}
        for bound in bounds.values():
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise ConfigError(f"{self.where}: a bound", expected="a number", got=str(bound)[:40])
        return Annotated[plain, Field(**bounds)] if bounds else plain

    def object(self, schema: dict[str, Any], depth: int) -> Any:
        properties, required = schema.get("properties"), schema.get("required", [])
        if not properties:
            values = schema.get("additionalProperties", True)
            return dict[str, self.read(values, depth + 1) if values is not False else Any]  # type: ignore[misc]
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise ConfigError(self.where, expected="`properties` to be a mapping, `required` a list")
        fields = {}
        for name, each in properties.items():
            read = self.read(each, depth + 1)
            fields[str(name)] = read if name in required else NotRequired[read]
        return TypedDict(str(schema.get("title", "Object")), fields)  # type: ignore[operator]

    def union(self, options: Any, depth: int) -> Any:
        if not isinstance(options, list) or not options:
            raise ConfigError(self.where, expected="a list of schemas", got=type(options).__name__)
        return Union[tuple(self.read(option, depth + 1) for option in options)]  # noqa: UP007 - so many, known late

    def choice(self, values: Any) -> Any:
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(v, (str, int, bool, type(None))) for v in values)
        ):
            raise ConfigError(self.where, expected="choices that are text or whole numbers", got=str(values)[:40])
        return Literal[tuple(values)]
