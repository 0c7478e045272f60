"""A function's parameters as options of a command line, from its JSON Schema: `object_name` becomes `--object-name`."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dicem_shared.errors import DicemError, ImageError, InvalidCall

MAX_FILE: Final = 64_000_000
"""Bytes of an image that is read at all."""
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function."""

    name: str
    kind: str
    """image, string, integer, number, boolean, array or json"""
    required: bool
    of: str = "string"
    """of an array: the kind of its items"""

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def usage(self) -> str:
        """The option with what belongs to it."""
        values = {"image": "FILE", "string": "TEXT", "integer": "NUMBER", "number": "NUMBER", "json": "JSON"}
        value = values.get(self.of if self.kind == "array" else self.kind, "")
        return f"{self.option} {value}".strip() + (" ..." if self.kind == "array" else "")


@dataclass
class Given:
    """What somebody typed."""

    params: dict[str, Any] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)


def parameters_of(resource: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of a function that a cloud describes.

    :raises InvalidCall: the description cannot be read
    """
    try:
        schema = json.loads(resource["status"]["parametersSchema"])
        required = set(schema.get("required", ()))
        return [_parameter(name, one, name in required) for name, one in schema.get("properties", {}).items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidCall("the cloud's description of the function cannot be read") from None


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> Parameter:
    if schema.get("format") == "binary":
        return Parameter(name, "image", required)
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kind = options[0].get("type", "json") if len(options) == 1 else "json"
    if kind == "array":
        return Parameter(name, kind, required, str(options[0].get("items", {}).get("type", "json")))
    return Parameter(name, kind if kind in ("string", "integer", "number", "boolean") else "json", required)


def given(function: str, parameters: Sequence[Parameter], typed: Sequence[str]) -> Given:
    """What was typed, as the function's parameters.

    :raises InvalidCall: an option that there is not, with the nearest; a value that is none; or one that is missing
    :raises ImageError: a file that is not there, or no image
    """
    by_option = {one.option: one for one in parameters} | {f"--{one.name}": one for one in parameters}
    found, left = Given(), list(typed)
    while left:
        option, equals, value = left.pop(0).partition("=")
        parameter = by_option.get(option)
        if parameter is None:
            raise _unknown(function, option, parameters)
        if not equals:
            value = _next(parameter, left)
        _add(found, parameter, value)
    missing = [one for one in parameters if one.required and one.name not in found.params | found.images]
    if missing:
        raise InvalidCall(
            f"{function} needs {' and '.join(one.option for one in missing)}", todo=usage(function, parameters)
        )
    return found


def usage(function: str, parameters: Sequence[Parameter]) -> str:
    """One line that shows how the function is called."""
    options = " ".join(one.usage if one.required else f"[{one.usage}]" for one in parameters)
    return f"Usage: dicem call {function} {options}".rstrip()


def _unknown(function: str, option: str, parameters: Sequence[Parameter]) -> InvalidCall:
    known = [one.option for one in parameters]
    if not option.startswith("-"):
        what = f"{option[:60]!r} belongs to no option"
        return InvalidCall(what, todo=f"Put text of several words in quotes. {usage(function, parameters)}")
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else usage(function, parameters)
    return InvalidCall(f"{function} has no option {option[:60]}", expected=", ".join(known), todo=hint)


def _next(parameter: Parameter, left: list[str]) -> str:
    if parameter.kind == "boolean" and (not left or left[0].lower() not in TRUE + FALSE):
        return "true"
    if not left:
        raise InvalidCall(f"{parameter.option} needs a value", todo=f"Type it: {parameter.usage}")
    return left.pop(0)


def _add(found: Given, parameter: Parameter, text: str) -> None:
    if parameter.kind == "array":
        found.params.setdefault(parameter.name, []).append(_value(parameter, parameter.of, text))
        return
    if parameter.name in found.params or parameter.name in found.images:
        raise InvalidCall(f"{parameter.option} was given twice")
    if parameter.kind == "image":
        found.images[parameter.name] = read_image(parameter.option, text)
    else:
        found.params[parameter.name] = _value(parameter, parameter.kind, text)


def _value(parameter: Parameter, kind: str, text: str) -> Any:
    try:
        match kind:
            case "string":
                return text
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}[text.lower()]
            case _:
                return json.loads(text)
    except (ValueError, KeyError, RecursionError):
        expected = "JSON" if kind not in ("integer", "number", "boolean") else kind
        raise InvalidCall(f"{parameter.option} has no such value", expected=expected, got=repr(text[:60])) from None


def read_image(option: str, name: str) -> bytes:
    """The bytes of an image file; `-` reads the standard input.

    :raises ImageError: it is not there, cannot be read, or is no image
    """
    from dicem_shared import images  # loads Pillow, which who asks for help does not need

    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as cause:
        got = getattr(cause, "strerror", None) or str(cause)
        raise ImageError(f"{option}: {name[:200]} cannot be read", got=got) from None
    try:
        images.probe(data)
    except DicemError as cause:
        raise ImageError(f"{option}: {name[:200]}: {cause.what}", expected=cause.expected, got=cause.got) from None
    if len(data) > MAX_FILE:
        raise ImageError(f"{option}: {name[:200]} is too large", expected=f"at most {MAX_FILE} bytes")
    return data
