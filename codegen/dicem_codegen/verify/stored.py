"""What a program returned in CPython, as the runner stores it."""

from __future__ import annotations

import json
from typing import Any, Final

from dicem_shared.crossing import plain_value
from dicem_shared.errors import ProgramError
from dicem_shared.runner import RunLimits
from dicem_shared.types import FrameInfo

MAX_DEPTH: Final = 32
Path = tuple[str | int, ...]


def stored(value: Any, limits: RunLimits, frame: FrameInfo, patches: tuple[type, ...]) -> tuple[Any, tuple[Path, ...]]:
    """The plain value, objects of the types `patches` as `{"patch": handle}`; and where in it sets stood.

    A set becomes a list in an order of its own: what the language leaves open is not compared.

    :raises ProgramError: it cannot be stored, or is larger than the limit
    """
    unordered: list[Path] = []

    def named(item: Any, path: Path) -> Any:
        if isinstance(item, patches):
            return {"patch": vars(item)["handle"]}
        if len(path) > MAX_DEPTH:
            return item  # which plain_value refuses
        if isinstance(item, (list, tuple)):
            return [named(each, (*path, number)) for number, each in enumerate(item)]
        if isinstance(item, (set, frozenset)):
            if any(isinstance(each, patches) for each in item):
                raise ProgramError("the program returned something that cannot be stored", got="a set of objects")
            unordered.append(path)
            return list(item)
        if isinstance(item, dict):
            return {key: named(each, (*path, str(key))) for key, each in item.items()}
        return item

    plain = plain_value(named(value, ()), limits, frame)
    return in_one_order(plain, tuple(unordered)), tuple(unordered)


def in_one_order(plain: Any, unordered: tuple[Path, ...]) -> Any:
    """`plain` with the lists at these places sorted; places that are not there are left out."""
    for path in unordered:
        *outer, last = ("", *path)
        holder: Any = {"": plain}
        try:
            for key in outer:
                holder = holder[key]
            if isinstance(holder[last], list):
                holder[last] = sorted(holder[last], key=_order)
        except (KeyError, IndexError, TypeError):
            continue
        plain = plain if path else holder[last]
    return plain


def _order(item: Any) -> str:
    return f"{type(item).__name__} {json.dumps(item)}"
