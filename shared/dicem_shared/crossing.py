"""What crosses the wall between a program and its host: parameters, returned values, exceptions.

What a program hands over is hostile until shown otherwise: it may hold itself a million times, or be no value at all.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any, Final, TypeGuard, get_args

import pydantic_monty as monty
from pydantic import ValidationError

from .errors import InvalidCall, ProgramError, ProgramFailed, ProgramLimitError, ProgramSyntaxError
from .limits import RunLimits, exceeded
from .patches import check_handle
from .program import Program
from .types import FrameInfo, Handle

EXC_TYPES: Final = frozenset(get_args(monty.ExcType))
MAX_PARAMETER_ITEMS: Final = 10_000
"""Lists, dicts and plain values in the parameters of one call."""
MAX_CROSSING_BYTES: Final = 1_000_000
"""Memory here of what one call or promise hands to the host."""
MAX_CROSSING_TOTAL: Final = 8_000_000
"""The same for all calls and promises of a run."""
MAX_MESSAGE_CHARACTERS: Final = 4_000
"""Of an exception's message that much is kept: it enters answers and logs."""
POINTER_BYTES: Final = 8
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
    """Bytes of memory that what is handed to the host takes; it stops counting once one call's bound is passed.

    :raises ProgramLimitError: more than `MAX_CROSSING_BYTES`
    """
    weight = 0
    waiting: list[Any] = list(values)
    while waiting:
        item = waiting.pop()
        weight += sys.getsizeof(item, POINTER_BYTES)
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
        elif isinstance(item, monty.MontyClassProxy):
            waiting += _attributes(item).values()
        if weight + len(waiting) * POINTER_BYTES > MAX_CROSSING_BYTES:
            raise ProgramLimitError(
                "the program hands too much to its host", limit="output_kb", expected=f"{MAX_CROSSING_BYTES} bytes",
                todo="Hand over less at once.",
            )  # fmt: skip
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
        budget[0] -= 8 + (_utf8_bytes(item, budget[0]) if isinstance(item, str) else 0)
        if budget[0] < 0:
            raise exceeded(limits, "output_kb", "the program", what="it returned too much")
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


def _utf8_bytes(text: str, enough: int) -> int:
    """Its length as UTF-8; text that is longer than `enough` anyway is not encoded to find out."""
    return len(text) if len(text) > enough else len(text.encode(errors="replace"))


def _checked_handle(raw: Any, frame: FrameInfo) -> dict[str, Any]:
    try:
        handle = handle_of(raw)
        check_handle(handle, frame)
    except InvalidCall as cause:
        raise ProgramError("the program returned a patch that is none", got=cause.what) from None
    return handle.model_dump(mode="json")


_LIMIT_SIGNS: Final = (
    (TimeoutError, r"feed time limit exceeded: ", "cpu_s"),
    (MemoryError, r"memory limit exceeded: \d+ bytes > (\d+) bytes", "memory_mb"),
    (MemoryError, r"the worker exceeded its memory limit()", "memory_mb"),
    (RuntimeError, r"suspension limit \d+ exceeded", "calls"),
    (RecursionError, r"maximum recursion depth exceeded", "recursion"),
)
"""How the interpreter says that a limit was passed: exception, message, which limit."""


def _limit_passed(inner: BaseException, where: str, limits: RunLimits) -> ProgramLimitError | None:
    """The error for the limit that an exception stands for."""
    for kind, sign, limit in _LIMIT_SIGNS:
        found = re.match(sign, str(inner)) if type(inner) is kind else None
        if found is not None:
            if limit == "memory_mb" and found.group(1) == str(limits.output_bytes):
                # Printed text is collected outside the interpreter, by a collector that has its own bound.
                return exceeded(limits, "output_kb", where, what="it printed too much")
            turned = "it turned to its host too often" if limit == "calls" else ""
            return exceeded(limits, limit, where, what=turned)
    return None


def explain(cause: monty.MontyError, program: Program, limits: RunLimits) -> ProgramError:
    """What the interpreter says, as one of our errors, with the program's name and line."""
    if isinstance(cause, monty.MontyCrashedError):
        return _killed(cause, program, limits)
    frames = cause.traceback() if isinstance(cause, (monty.MontyRuntimeError, monty.MontySyntaxError)) else []
    line = next((frame.line for frame in reversed(frames) if frame.filename == PROGRAM_FEED), None)
    if line is not None and line > program.source.count("\n") + 1:
        line = None  # in what was put after the program, to call its entry
    where = f"{program.name}:{line}" if line else program.name
    inner = cause.exception()
    exc_type, message = type(inner).__name__, _shortened(str(inner))
    if isinstance(cause, monty.MontySyntaxError) or "monty syntax parser" in message:
        return ProgramSyntaxError(f"{where}: {message.replace('The monty syntax parser', 'the interpreter')}")
    if type(inner) is NotImplementedError and "cannot suspend in this synchronous context" in message:
        return ProgramSyntaxError(
            f"{where}: a call inside a key, map, filter or special method, where the interpreter cannot wait",
            todo="Make the calls before, and use their results there.",
        )
    passed = _limit_passed(inner, where, limits)
    return passed or ProgramFailed(f"{where}: {exc_type}: {message}", exc_type=exc_type, line=line)


def _killed(cause: monty.MontyCrashedError, program: Program, limits: RunLimits) -> ProgramError:
    """The program's process is gone: killed because it was past its time, or dead of what the program did."""
    if cause.timed_out:
        return exceeded(limits, "cpu_s", program.name)
    return exceeded(limits, "memory_mb", program.name, what="its process died, most likely of too much memory or depth")


def _shortened(message: str) -> str:
    """As much of a message as is worth keeping, fit to be written down."""
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}... ({len(message)} characters)"
    return message if is_text(message) else message.encode(errors="replace").decode()
