"""What crosses the wall between a program and its host: parameters, returned values, exceptions.

What a program hands over is hostile until shown otherwise: it may hold itself a million times, or be no value at all.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard, get_args

import pydantic_monty as monty
from pydantic import ValidationError

from .errors import InvalidCall, ProgramError, ProgramFailed, ProgramLimitError, ProgramSyntaxError
from .patches import check_handle
from .program import Program
from .types import FrameInfo, Handle

if TYPE_CHECKING:
    from .runner import RunLimits

EXC_TYPES: Final = frozenset(get_args(monty.ExcType))
MAX_PARAMETER_ITEMS: Final = 10_000
"""Lists, dicts and plain values in the parameters of one call."""
MAX_CROSSING_BYTES: Final = 1_000_000
"""What one call or promise hands to the host, `ITEM_BYTES` for each value and the length of its text."""
MAX_CROSSING_TOTAL: Final = 16_000_000
"""The same for all calls and promises of a run."""
ITEM_BYTES: Final = 8
MAX_PIXELS_A_SIDE: Final = 2**31 - 1
INT64: Final = 2**63
"""Whole numbers stay below this: larger ones cannot be stored, and printing one of a million digits takes minutes."""
PROGRAM_FEED: Final = "<python-input-2>"
"""Monty's name for the third feed of a session: bootstrap, prelude, program."""


def is_exception_name(name: str) -> TypeGuard[monty.ExcType]:
    """Whether the interpreter has an exception of that name."""
    return name in EXC_TYPES


def arguments_of(snapshot: monty.FunctionSnapshot) -> tuple[Any, ...]:
    """What a program passed to the host; nothing, which fits no host function, where it cannot be read at all."""
    try:
        return snapshot.args
    except (TypeError, ValueError):  # a set or dict of things that the host cannot hash
        return ()


def weigh(values: tuple[Any, ...]) -> int:
    """Bytes, roughly, of what is handed to the host; it stops counting once one call's bound is passed.

    :raises ProgramLimitError: more than `MAX_CROSSING_BYTES`
    """
    weight = 0
    waiting: list[Any] = list(values)
    while waiting:
        item = waiting.pop()
        weight += ITEM_BYTES
        if isinstance(item, (str, bytes)):
            weight += len(item)
        elif isinstance(item, int):
            weight += item.bit_length() // 8
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
        elif isinstance(item, monty.MontyClassProxy):
            waiting += _attributes(item).values()
        if weight + len(waiting) * ITEM_BYTES > MAX_CROSSING_BYTES:
            raise ProgramLimitError(
                "the program hands too much to its host", limit="output_kb", expected=f"{MAX_CROSSING_BYTES} bytes"
            )
    return weight


def _attributes(proxy: monty.MontyClassProxy) -> dict[str, Any]:
    """What an object of the program holds; nothing where it cannot be read."""
    try:
        return proxy.attributes
    except (TypeError, ValueError):
        return {}


def output_of(snapshot: monty.MontyComplete) -> Any:
    """What a program returned.

    :raises ProgramError: it cannot be read
    """
    try:
        return snapshot.output
    except (TypeError, ValueError):
        raise _unreadable() from None


def ended_with(snapshot: monty.FunctionSnapshot) -> Any:
    """What a program with strands returned, as it hands it over.

    :raises ProgramError: it cannot be read
    """
    arguments = arguments_of(snapshot)
    if len(arguments) != 1:
        raise _unreadable()
    return arguments[0]


def _unreadable() -> ProgramError:
    return ProgramError("the program returned something that cannot be stored", got="a set or dict of objects")


def with_handles(params: Any) -> dict[str, Any]:
    """The parameters of a call, prelude objects that stand for a patch as their handles.

    The same list may stand in many places of a value, so its size is bounded here as a walk, not as memory.

    :raises InvalidCall: something that no function takes, or too much of it
    """
    budget = [MAX_PARAMETER_ITEMS]

    def convert(item: Any, depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or depth > 32:
            raise InvalidCall("the parameters are too large", expected=f"at most {MAX_PARAMETER_ITEMS} items")
        if isinstance(item, dict) and all(isinstance(key, str) and is_text(key) for key in item):
            return {key: convert(each, depth + 1) for key, each in item.items()}
        if isinstance(item, (list, tuple)):
            return [convert(each, depth + 1) for each in item]
        if isinstance(item, monty.MontyClassProxy) and (raw := _attributes(item).get("handle")) is not None:
            return handle_of(raw).model_dump(mode="json")
        if item is None or isinstance(item, (bool, float)):
            return item
        if (isinstance(item, int) and abs(item) < INT64) or (isinstance(item, str) and is_text(item)):
            return item
        name = item.name if isinstance(item, monty.MontyClassProxy) else type(item).__name__
        raise InvalidCall(f"a {name} cannot be passed to a function", expected="text, numbers, lists, a patch")

    if not isinstance(params, dict) or not all(isinstance(key, str) and key.isidentifier() for key in params):
        raise InvalidCall("hermod.call: the parameters are no dict of names")
    return {key: convert(item, 0) for key, item in params.items()}


def is_text(text: str) -> bool:
    """Whether it can be written down: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def handle_of(raw: Any) -> Handle:
    """A handle as a program holds it.  What is none is not printed either: it may be large beyond measure.

    :raises InvalidCall: it is none
    """
    if isinstance(raw, dict) and raw.keys() == {"blob", "box"}:
        blob, box = raw["blob"], raw["box"]
        sides = isinstance(box, (list, tuple)) and len(box) == 4 and all(type(side) is int for side in box)
        if sides and isinstance(blob, str) and len(blob) == 64 and all(0 <= side <= MAX_PIXELS_A_SIDE for side in box):
            try:
                return Handle(blob=blob, box=tuple(box))
            except ValidationError:
                pass
    raise InvalidCall("a patch that is none", expected="a handle as the prelude made it")


def plain_value(value: Any, limits: RunLimits, frame: FrameInfo) -> Any:
    """What a program returned, as plain values; a patch becomes `{"patch": {"blob", "box"}}`.

    :raises ProgramError: it holds something else, or is larger than the limit
    """
    budget = [limits.output_bytes]

    def convert(item: Any, depth: int) -> Any:
        budget[0] -= 8 + (len(item.encode(errors="replace")) if isinstance(item, str) else 0)
        if budget[0] < 0:
            raise ProgramLimitError(
                "the program returned too much", limit="output_kb", expected=f"at most {limits.output_kb:g} kB"
            )
        if item is None or isinstance(item, bool) or (isinstance(item, int) and abs(item) < INT64):
            return item
        if isinstance(item, str) and is_text(item):
            return item
        if isinstance(item, float) and math.isfinite(item):
            return item
        if depth and isinstance(item, (list, tuple, set, frozenset)):
            return [convert(each, depth - 1) for each in item]
        if depth and isinstance(item, dict) and all(isinstance(key, (str, int)) for key in item):
            named = {str(convert(key, 0)): each for key, each in item.items()}
            if len(named) == len(item):
                return {key: convert(each, depth - 1) for key, each in named.items()}
        if isinstance(item, monty.MontyClassProxy) and (raw := _attributes(item).get("handle")) is not None:
            return {"patch": _checked_handle(raw, frame)}
        raise ProgramError(
            "the program returned something that cannot be stored",
            expected="text, finite numbers, True, False, None, lists, dicts with distinct names, patches",
            got=item.name if isinstance(item, monty.MontyClassProxy) else type(item).__name__,
        )

    return convert(value, 32)


def _checked_handle(raw: Any, frame: FrameInfo) -> dict[str, Any]:
    try:
        handle = handle_of(raw)
        check_handle(handle, frame)
    except InvalidCall as cause:
        raise ProgramError("the program returned a patch that is none", got=cause.what) from None
    return handle.model_dump(mode="json")


_LIMIT_SIGNS: Final = (
    (TimeoutError, r"feed time limit exceeded: ", "cpu_s", "it computed for too long; is there an endless loop?"),
    (MemoryError, r"memory limit exceeded: \d+ bytes > (\d+) bytes", "memory_mb", "it used too much memory"),
    (RuntimeError, r"suspension limit \d+ exceeded", "calls", "it turned to its host too often"),
    (RecursionError, r"maximum recursion depth exceeded", "recursion", "its calls inside calls go too deep"),
)
"""How the interpreter says that a limit was passed: exception, message, which limit, what it means."""


def _limit_passed(inner: BaseException, limits: RunLimits) -> tuple[str, str] | None:
    """Which limit an exception stands for, and what that means."""
    for kind, sign, limit, meaning in _LIMIT_SIGNS:
        found = re.match(sign, str(inner)) if type(inner) is kind else None
        if found is not None:
            # Printed text is collected outside the interpreter, by a collector that has its own bound.
            printed = limit == "memory_mb" and found.group(1) == str(limits.output_bytes)
            return ("output_kb", "it printed too much") if printed else (limit, meaning)
    return None


def explain(cause: monty.MontyError, program: Program, limits: RunLimits) -> ProgramError:
    """What the interpreter says, as one of our errors, with the program's name and line."""
    if isinstance(cause, monty.MontyCrashedError):
        return ProgramLimitError(f"{program.name}: the interpreter was stopped", limit="cpu_s", got=str(cause))
    frames = cause.traceback() if isinstance(cause, (monty.MontyRuntimeError, monty.MontySyntaxError)) else []
    line = next((frame.line for frame in reversed(frames) if frame.filename == PROGRAM_FEED), None)
    if line is not None and line > program.source.count("\n") + 1:
        line = None  # in what was put after the program, to call its entry
    where = f"{program.name}:{line}" if line else program.name
    inner = cause.exception()
    exc_type, message = type(inner).__name__, str(inner)
    if isinstance(cause, monty.MontySyntaxError) or "monty syntax parser" in message:
        return ProgramSyntaxError(f"{where}: {message.replace('The monty syntax parser', 'the interpreter')}")
    if type(inner) is NotImplementedError and "cannot suspend in this synchronous context" in message:
        return ProgramSyntaxError(
            f"{where}: a call inside a key, map, filter or special method, where the interpreter cannot wait",
            todo="Make the calls before, and use their results there.",
        )
    passed = _limit_passed(inner, limits)
    if passed is not None:
        limit, meaning = passed
        todo = f"Raise limits.program.{limit} in the config if it is right to."
        return ProgramLimitError(f"{where}: {meaning}", limit=limit, got=message, todo=todo)
    return ProgramFailed(f"{where}: {exc_type}: {message}", exc_type=exc_type, line=line)
