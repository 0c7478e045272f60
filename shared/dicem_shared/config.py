"""Config files: YAML read into strict models, with one clear line for each mistake."""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from .errors import ConfigError, DicemError

M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Plain YAML; of a key that stands twice the first would be lost, so it is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See `yaml.SafeLoader`."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, *, error: type[DicemError] = ConfigError, what: str = "config") -> Any:
    """The plain value in a YAML file.

    :raises DicemError: (of the given kind) missing, unreadable or not YAML; says the line
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{what} {path} does not exist", todo="Check the path.") from None
    except (OSError, ValueError) as cause:  # ValueError: not UTF-8, or a path that no file can have
        raise error(f"{what} {path} cannot be read", got=str(cause)) from None
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        got = " ".join(str(getattr(cause, "problem", None) or cause).split())
        raise error(f"{path}{line}: not YAML", got=got) from None
    except (ValueError, KeyError, RecursionError) as cause:  # PyYAML's own: the 32nd of a month, 3,000 brackets
        raise error(f"{path}: not YAML that can be used", got=str(cause)[:80]) from None


def parse_config(kind: type[M], value: Any, *, where: str, error: type[DicemError] = ConfigError) -> M:
    """`value` as a `kind`.

    :raises DicemError: (of the given kind) names the key, what was expected and what was got
    """
    if not isinstance(value, dict):
        raise error(f"{where} is empty or no mapping", expected="`key: value` lines", got=type(value).__name__)
    try:
        return kind.model_validate(value)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(first["loc"][-1]), _keys(kind, first["loc"][:-1]), n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else "Remove it, or see configs/ for what there is."
            raise error(f"{where}: unknown key {key}", todo=hint) from None
        got = _short(first.get("input")) if first["type"] not in ("missing", "value_error") else ""
        said = first["msg"].removeprefix("Value error, ")
        raise error(f"{where}: {key}: {said}" if key else f"{where}: {said}", got=got) from None


def load_config(kind: type[M], path: Path) -> M:
    """The config in a file.

    :raises ConfigError: missing, not YAML, an unknown key, or a value out of bounds
    """
    return parse_config(kind, read_yaml(path), where=str(path))


def _short(value: Any) -> str:
    """What was got; aliases in YAML unfold into more than there is room for, so it is never printed whole."""
    return reprlib.repr(value)[:80]


def _keys(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names at `path` below a model, as far as they can be told."""
    current: Any = kind
    for part in path:
        if isinstance(part, int):  # an item of a list: what the list holds was found with its field
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        options = [o for o in (field.annotation, *get_args(field.annotation)) if get_origin(o) is None]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return list(getattr(current, "model_fields", {}))
