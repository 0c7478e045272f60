"""What the functions of modules give, and what awaiting gives, as far as `kinds` knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .values import UNKNOWN, Box, Instance, Values

if TYPE_CHECKING:
    from .inference import Inference
    from .models import Arguments

_MATH_INTS: Final = frozenset({"floor", "ceil", "trunc", "comb", "factorial", "gcd", "lcm", "perm", "isqrt"})
_MATH_BOOLS: Final = frozenset({"isclose", "isfinite", "isinf", "isnan"})


def in_module(inference: Inference, path: str, arguments: Arguments) -> Values:
    """What calling a function of a module gives."""
    where, _, name = path.rpartition(".")
    match where, name:
        case "hermod", "call":
            return {"call"}
        case "hermod", "call_sync":
            return set(inference.in_plain)
        case "hermod", "again":
            return arguments.get(0)
        case "asyncio", "run":
            return awaited(inference, arguments.get(0))
        case "hermod", "run":
            return {inference.box(arguments.node, "coroutine", awaited(inference, arguments.get(0)))}
        case "asyncio", "gather":
            results = inference.box(arguments.node, "list", awaited(inference, arguments.all()))
            return {inference.box(arguments.node, "coroutine", {results})}
        case "math", _:
            kinds: Values = {"int"} if name in _MATH_INTS else {"bool"} if name in _MATH_BOOLS else {"float"}
            return kinds
        case "random", "choice":
            return inference.iterate(arguments.get(0))
        case "random" | "time", "random" | "uniform" | "time" | "perf_counter" | "monotonic":
            return {"float"}
        case "json", "loads":
            return set(inference.in_plain)
        case "json", "dumps":
            return {"str"}
        case "PIL.Image", "open":
            return {"image"}
    arguments.escape(inference)
    return {UNKNOWN}


def awaited(inference: Inference, values: Values) -> Values:
    """What awaiting gives; the short form `await patch.find(...)` gives what the method does."""
    found: Values = set()
    for value in values:
        if isinstance(value, Box) and value.kind == "coroutine":
            found |= value.items
        elif value == "call":
            found |= inference.in_plain
        elif value == UNKNOWN or isinstance(value, Instance):
            found.add(UNKNOWN)
        else:
            found.add(value)
    return found
