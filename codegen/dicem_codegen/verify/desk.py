"""Runs programs in this very CPython, against a made-up world: the original as it was written, or a compiled one.

Two ways to carry out calls.  *Serial*: a call has ended as soon as it is made, which is what a serial program means.
*Concurrent*: each takes its time on a virtual clock, so that calls overlap as they would outside.

This module confines nothing but names (`modules.py`).  `child.py` puts a process around it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dis
import inspect
import io
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import CodeType, FrameType
from typing import Any, Final, NoReturn

import hermod
from dicem_shared.errors import InvalidCall, ProgramError, ProgramSyntaxError
from dicem_shared.functions import Registry
from dicem_shared.patches import check_handle
from dicem_shared.program import Program, prepare
from dicem_shared.runner import Outcome, RunLimits, unknown_function
from dicem_shared.types import Handle

from .loop import Clock, Stuck, VirtualPolicy
from .modules import Stop, program_builtins
from .observed import NOT_STORED, MadeCall, Observed, Origin, Raised
from .quiet import parsed, quiet
from .soften import SOFT_NAME, Soft
from .stored import Path, stored
from .world import World, call_key

PROGRAM_FILE: Final = "<program>"
PRELUDE_FILE: Final = "<prelude>"
VALUE: Final = "_dicem_value"
Rewrite = Callable[[ast.Module], ast.Module]
_RAISE: Final = dis.opmap["RAISE_VARARGS"]
_FUTURES: Final = {"RuntimeError": RuntimeError, "TimeoutError": TimeoutError, "ValueError": ValueError}
_PRELUDE: Final = compile(
    resources.files("hermod").joinpath("prelude.py").read_text(encoding="utf-8"), PRELUDE_FILE, "exec"
)


@dataclass(frozen=True)
class Loaded:
    """A program that is ready to run on the desk."""

    program: Program
    code: CodeType
    identity: str
    """what its chance follows from: the original's id, in both"""
    concurrent: bool


def load(source: str, *, identity: str = "", concurrent: bool = False, rewrite: Rewrite | None = None) -> Loaded:
    """Make source ready.  `identity`: the id of the program that it was compiled from.  `rewrite` may change its tree.

    :raises ProgramError: it is no program
    """
    program = prepare(source)
    tree = parsed(source)
    if rewrite is not None:
        tree = rewrite(tree)
    entry = parsed(program.runnable.rstrip().rpartition("\n")[2]).body[-1]  # the call of the entry function, or None
    assert isinstance(entry, ast.Expr)
    tree.body.append(ast.copy_location(ast.Assign([ast.Name(VALUE, ast.Store())], entry.value), entry))
    ast.fix_missing_locations(tree)
    try:
        with quiet():
            code = compile(tree, PROGRAM_FILE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as cause:
        line = getattr(cause, "lineno", None) or 1
        raise ProgramSyntaxError(f"program:{line}:1: {getattr(cause, 'msg', cause)}") from None
    return Loaded(program, code, identity or program.id, concurrent)


def run(
    loaded: Loaded, world: World, limits: RunLimits, *, soft: Soft | None = None, names: Mapping[str, Any] | None = None
) -> Observed:
    """Run a program once.  `soft`: what to soften, where `softened` rewrote it.  `names`: globals beside its own."""
    clock, printed = Clock(), io.StringIO()
    backend = _Backend(world, limits, clock, concurrent=loaded.concurrent, soft=soft)
    space = _names(loaded, world, limits, printed) | dict(names or {})
    patches = (space["ImagePatch"], space["PILImage"])
    if soft is not None:
        soft.of_a_call = backend.is_failure
        space[SOFT_NAME] = soft
    value: Any = None
    unordered: tuple[Path, ...] = ()
    error: Raised | None = None
    try:
        with _virtual_time(clock), _cpu_limit(limits.cpu_s), hermod.connect(backend):
            awaitable = eval(loaded.code, space)
            if inspect.iscoroutine(awaitable):
                asyncio.run(awaitable)
        value, unordered = stored(space[VALUE], limits, world.context.frame, patches)
    except BaseException as raised:  # whatever the program made of itself
        error = _explained(raised, backend)
    if backend.stopped is not None:  # though the program caught it
        value, unordered, error = None, (), _explained(backend.stopped, backend)
    return Observed(value, unordered, printed.getvalue(), error, backend.made(), clock.now_s)


def _names(loaded: Loaded, world: World, limits: RunLimits, printed: io.StringIO) -> dict[str, Any]:
    """The globals of a run: a prelude of its own, and the frame."""
    handle = world.context.frame.handle.model_dump(mode="json")
    prelude: dict[str, Any] = {"__name__": "hermod.prelude"}
    exec(_PRELUDE, prelude)
    prelude["_FILES"] = {"": handle}
    prelude["_VOCABULARY"] = list(world.context.vocabulary)
    prelude["_CROP_ORIGIN"] = loaded.program.crop_origin
    frame = world.context.frame
    found = program_builtins(prelude, printed, limits.output_bytes, frame.t_utc, f"{loaded.identity}/{frame.blob}")
    own = {"_frame": handle, "_frames": [handle], "__name__": "__main__", "__builtins__": found}
    return prelude | own | {"hermod": found["__import__"]("hermod")}


@contextlib.contextmanager
def _virtual_time(clock: Clock) -> Iterator[None]:
    asyncio.set_event_loop_policy(VirtualPolicy(clock))
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(None)


@contextlib.contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Stop what computes for longer; again and again, because a bare `except` can catch it."""

    def over(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise Stop("cpu_s", "it computed for too long")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _explained(raised: BaseException, backend: _Backend) -> Raised:
    match raised:
        case Stop():
            return Raised(raised.limit, str(raised), "limit")
        case Stuck():
            return Raised("stuck", "what it awaits will never come", "limit")
        case MemoryError():
            return Raised("memory_mb", "it used too much memory", "limit")
        case ProgramError():
            return Raised(NOT_STORED, "")
    try:
        message = str(raised)
    except Exception:  # a class of the program's own
        message = ""
    return Raised(type(raised).__name__, message, "call" if backend.is_failure(raised) else _origin(raised))


def _origin(raised: BaseException) -> Origin:
    """Whether a `raise` or `assert` raised it, of the program, the prelude, `hermod` or this desk; or the language."""
    place = raised.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return "interpreter"
    code = place.tb_frame.f_code
    ours = code.co_filename in (PROGRAM_FILE, PRELUDE_FILE, __file__) or code.co_filename.startswith(hermod.__path__[0])
    return "raise" if ours and code.co_code[place.tb_lasti] == _RAISE else "interpreter"


class _Pending(Future[Any]):
    """The end of a call.  Asking for it before it has come lets it come, as waiting would."""

    def __init__(self, backend: _Backend, number: int) -> None:
        super().__init__()
        self._backend, self.number = backend, number

    def result(self, timeout: float | None = None) -> Any:
        self._backend.take(self)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._backend.take(self)
        return super().exception(0)


@dataclass
class _Call:
    """A call under way, or ended."""

    name: str
    params: dict[str, Any]
    occurrence: int
    outcome: Outcome
    start_s: float
    after: tuple[int, ...]
    end_s: float | None = None


class _Backend:
    """Carries out the calls of one run, after the same checks as the runner."""

    def __init__(self, world: World, limits: RunLimits, clock: Clock, *, concurrent: bool, soft: Soft | None) -> None:
        self.stopped: Stop | None = None
        self._world, self._limits, self._clock, self._concurrent, self._soft = world, limits, clock, concurrent, soft
        self._calls: list[_Call] = []
        self._taken: list[int] = []
        self._failures: set[tuple[str, str]] = set()
        self._occurrences = world.occurrences()

    def functions(self) -> list[dict[str, Any]]:
        return _resources(self._world.functions)

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        if len(self._calls) >= self._limits.calls:
            self.stopped = Stop("calls", "it made too many calls")
            raise self.stopped
        checked = self._checked(name, params)
        occurrence = self._occurrences.next(name)
        outcome = self._world.outcome(name, checked, occurrence)
        if self._soft is not None and self._is_unknown(self._soft, name, checked, outcome):
            outcome = self._world.instead(name, checked, occurrence, self._soft.variant)
        if outcome.failure is not None:
            self._failures.add((outcome.failure.kind, outcome.failure.message))
        after = () if self._world.functions.get(name).pure else tuple(self._taken)
        self._calls.append(_Call(name, checked, occurrence, outcome, self._clock.now_s, after))
        pending = _Pending(self, len(self._calls))
        latency = self._world.latency(name, checked, occurrence)
        loop = _running_loop() if self._concurrent else None
        if loop is None:
            self._clock.now_s += latency
            self._settle(pending)
        else:
            loop.call_later(latency, self._settle, pending)
        return pending

    def _is_unknown(self, soft: Soft, name: str, params: dict[str, Any], outcome: Outcome) -> bool:
        if soft.known is not None and call_key(name, params) not in soft.known:
            return True
        return outcome.failure is not None and soft.failures.softened()

    def take(self, pending: _Pending) -> None:
        """The program asks for the end of a call."""
        call = self._calls[pending.number - 1]
        if not pending.done():
            latency = self._world.latency(call.name, call.params, call.occurrence)
            self._clock.now_s = max(self._clock.now_s, call.start_s + latency)
            self._settle(pending)
        if pending.number not in self._taken:
            self._taken.append(pending.number)

    def is_failure(self, raised: BaseException) -> bool:
        """Whether it says that a call failed."""
        return (type(raised).__name__, str(raised)) in self._failures

    def made(self) -> tuple[MadeCall, ...]:
        """The calls so far."""
        return tuple(
            MadeCall(
                number, call.name, call.params, self._world.functions.get(call.name).pure, call.occurrence,
                call.outcome.result, (failure.kind, failure.message) if (failure := call.outcome.failure) else None,
                call.start_s, call.end_s, call.after,
            )
            for number, call in enumerate(self._calls, 1)
        )  # fmt: skip

    def _settle(self, pending: _Pending) -> None:
        if pending.done():
            return
        call = self._calls[pending.number - 1]
        call.end_s = self._clock.now_s
        if call.outcome.failure is None:
            pending.set_result(call.outcome.result)
        else:
            pending.set_exception(_FUTURES[call.outcome.failure.kind](call.outcome.failure.message))

    def _checked(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters as the runner hands them on.

        :raises ValueError: what the runner says of such a call
        """
        functions: Registry = self._world.functions
        if not isinstance(name, str) or name not in functions:
            raise ValueError(str(unknown_function(functions, name)))
        spec = functions.get(name)
        try:
            checked = spec.check_params(params)
            for parameter in spec.image_parameters:
                if checked.get(parameter) is not None:
                    handle = Handle.model_validate(checked[parameter])
                    check_handle(handle, self._world.context.frame)
                    checked[parameter] = {"blob": handle.blob, "box": list(handle.box)}
        except InvalidCall as cause:
            raise ValueError(str(cause)) from None
        return checked


@lru_cache(maxsize=4)
def _resources(functions: Registry) -> list[dict[str, Any]]:
    return [spec.resource() for spec in functions]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
