"""Calls: of the program's own functions, of plain Python, and of the models, which are what the graph is made of."""

from __future__ import annotations

import functools
import inspect
import io
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from dicem_shared.errors import InvalidCall
from dicem_shared.functions import Registry
from dicem_shared.patches import check_handle
from dicem_shared.runner import Context, Outcome, unknown_function
from dicem_shared.types import Handle
from hermod._cpython import copied, plain

from .trace_graph import Node
from .trace_machine import Scope
from .trace_names import MUTATORS
from .trace_parts import Parts, Stream
from .trace_values import Box, Taint, calls_in
from .world import call_key

EXCEPTIONS: Final = {"RuntimeError": RuntimeError, "TimeoutError": TimeoutError, "ValueError": ValueError}
_DOOR = "_dicem_traced"
FRAME_FILE: Final = "<program>"


class World(Protocol):
    """What the program meets; `dicem_codegen.verify.world.World` is one."""

    @property
    def functions(self) -> Registry:
        """What may be called."""

    @property
    def context(self) -> Context:
        """The frame."""

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
        """How a call ends."""

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        """Seconds that it takes."""


class Job:
    """A call that has started; await it as often as you like."""

    def __init__(self, number: int, outcome: Outcome) -> None:
        self.number, self.outcome = number, outcome


class Gathered:
    """What `asyncio.gather` gave: the awaitables, still to be awaited in order."""

    def __init__(self, awaitables: list[Box]) -> None:
        self.awaitables = awaitables


class Calls(Parts):
    """A `Machine` without the builtins, which are in `trace_builtins`."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.nodes: list[Node] = []
        self.printed = io.StringIO()
        self._taken: Taint = 0
        """the calls whose results the program has had"""
        self._effect: Taint = 0
        """the last impure call or print"""
        self._occurrences: Counter[str] = Counter()
        self._impure: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        """of equal pure calls, the one whose result all share"""
        self.bring: Callable[..., Any] = __import__
        """what imports a module for the program"""

    # The program's own functions

    def define(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """A function as plain Python may call it too: then it takes and gives plain values."""
        traced = inner
        if inspect.isgeneratorfunction(inner):

            def traced(*arguments: Any, **keywords: Any) -> Box:
                return Box(Stream(self, inner(*arguments, **keywords)))

        @functools.wraps(inner)
        def door(*arguments: Any, **keywords: Any) -> Any:
            result = traced(*map(self.automatic, arguments), **{k: self.automatic(v) for k, v in keywords.items()})
            if isinstance(result, Box):
                self.leaked |= result.taint
                return result.value
            return result

        del door.__wrapped__
        setattr(door, _DOOR, traced)
        return door

    def packed(self, boxes: tuple[Box, ...]) -> Box:
        """`*arguments`."""
        return self.new_tuple([self.part(box) for box in boxes])

    def packed_keywords(self, boxes: dict[str, Box]) -> Box:
        """`**keywords`."""
        return self.new_dict([(Box(name), box) for name, box in boxes.items()])

    def spread(self, box: Box) -> list[Box]:
        """`*x` in a call."""
        return [Box(item.box.value, item.box.taint | item.presence) for item in self.items(box)]

    def spread_keywords(self, box: Box) -> dict[str, Box]:
        """`**x` in a call."""
        return {key: self.item(box, Box(key, box.taint)) for key in box.value}

    def call(self, function: Box, arguments: list[Box], keywords: dict[str, Box]) -> Box:
        """`f(...)`, whatever `f` is."""
        value = function.value
        owner = getattr(value, "__self__", None)
        own = getattr(getattr(value, "__func__", value), _DOOR, None)
        if own is not None:
            first = [Box(owner, function.taint)] if inspect.ismethod(value) else []
            return self._under(function.taint, lambda: self.automatic(own(*first, *arguments, **keywords)))
        if (
            isinstance(value, type)
            and hasattr(vars(value).get("__init__"), _DOOR)
            and not issubclass(value, BaseException)
        ):
            return self._under(function.taint, lambda: Box(value(*arguments, **keywords), function.taint))
        special = self.special(value, owner)
        if special is not None:
            taken: Box | None = special(function, arguments, keywords)
            if taken is not None:
                return taken
        return self.plain_call(function, owner, arguments, keywords)

    def special(self, value: Any, owner: Any) -> Callable[[Box, list[Box], dict[str, Box]], Box | None] | None:
        """Who knows more of a builtin than that its result comes from its arguments."""
        raise NotImplementedError

    def _under(self, taint: Taint, action: Callable[[], Box]) -> Box:
        with Scope(self, "call", taint):
            return action()

    def plain_call(self, function: Box, owner: Any, arguments: list[Box], keywords: dict[str, Box]) -> Box:
        """Plain Python's own: the result comes from all arguments and all that is in them."""
        value = function.value
        taint = function.taint
        for box in [*arguments, *keywords.values()]:
            taint |= self.deep(box)
        own = owner is not None and not inspect.ismodule(owner)
        inside = self.shadows.deep(owner) if own else 0
        plain_keywords = {name: box.value for name, box in keywords.items()}
        calls_back = any(
            callable(box.value) or isinstance(box.value, Stream) for box in [*arguments, *keywords.values()]
        )

        def run() -> Box:
            plain_arguments = [box.value for box in arguments]
            return self.plainly(functools.partial(value, *plain_arguments, **plain_keywords), taint=taint | inside)

        result = self._under(taint, run) if calls_back else run()
        if own and isinstance(owner, (list, dict, set)) and getattr(value, "__name__", "") in MUTATORS:
            self.shadows.make(owner).shape |= taint | result.taint | self.control()
        return result

    # Imports

    def imported(self, module: str | None, name: str | None) -> Box:
        """`import module`, `from module import name`."""
        loaded = self.bring(module, fromlist=() if name is None else (name,))
        if name is not None and not hasattr(loaded, name):
            raise ImportError(
                f"cannot import name {name!r} from {module!r} ({getattr(loaded, '__file__', 'unknown location')})"
            )
        return Box(loaded if name is None else getattr(loaded, name))

    # Waiting

    def awaitable(self, box: Box) -> Any:
        """What `await` is given in place of the program's own."""
        if isinstance(box.value, Job):
            return self._job_ended(box)
        if isinstance(box.value, Gathered):
            return self._gathered(box)
        return self._awaited(box) if inspect.iscoroutine(box.value) else box.value

    async def _awaited(self, box: Box) -> Box:
        with Scope(self, "call", box.taint):
            return self.automatic(await box.value)

    async def _job_ended(self, box: Box) -> Box:
        return self.result_of(box.value, box.taint)

    async def _gathered(self, box: Box) -> Box:
        results = [self.part(self.automatic(await self.awaitable(each))) for each in box.value.awaitables]
        return self.listing(results, box.taint)

    def awaited(self, value: Any) -> Box:
        """What `await` gave."""
        return self.automatic(value)

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end: nothing in a trace takes time.

        :raises TraceRefused: it waits for something that is no call
        """
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise self.refuse("it waits for something that is no call")

    # Calls of models

    def start(self, name: Box, params: dict[str, Box]) -> Job:
        """A call is made.

        :raises ValueError: its parameters do not fit, as programs see it
        """
        taint = name.taint
        for box in params.values():
            taint |= box.taint | self.shadows.argument(box.value)
        try:
            given = plain({key: box.value for key, box in params.items()})
            checked = self._checked(name.value, given)
        except InvalidCall as cause:
            raise self.noted(ValueError(str(cause)), taint | self.control()) from None
        except ValueError as cause:
            raise self.noted(cause, taint | self.control())  # noqa: B904 - it is the same
        return self._made(name.value, checked, taint)

    def _checked(self, name: Any, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters as the runner hands them on."""
        functions = self.world.functions
        if not isinstance(name, str) or name not in functions:
            raise unknown_function(functions, name)
        spec = functions.get(name)
        checked = spec.check_params(params)
        for parameter in spec.image_parameters:
            if checked.get(parameter) is not None:
                handle = Handle.model_validate(checked[parameter])
                check_handle(handle, self.world.context.frame)
                checked[parameter] = {"blob": handle.blob, "box": list(handle.box)}
        return checked

    def _made(self, name: str, params: dict[str, Any], data: Taint) -> Job:
        pure = self.world.functions.get(name).pure
        key = call_key(name, params)
        impure_before = 0 if pure else self._impure[name]
        if not pure:
            self._impure[name] += 1
        outcome = self.world.outcome(name, params, impure_before)
        number = self.made
        effects = 0 if pure else self._taken | self._effect
        shared = self._first.get(key) if pure else None
        self.nodes.append(Node(
            number=number, kind="call", function=name, params=params, occurrence=self._occurrences[key], pure=pure,
            line=_program_line(), failed=outcome.failure is not None, data=tuple(calls_in(data)),
            control=tuple(calls_in(self.control())), effects=tuple(calls_in(effects)), same_as=shared,
            seconds=self.world.latency(name, params, impure_before), where=self.where(),
        ))  # fmt: skip
        self.made += 1
        self._occurrences[key] += 1
        if pure and outcome.failure is None:
            self._first.setdefault(key, number)
        if not pure:
            self._effect = 1 << number
        return Job(number, outcome)

    def result_of(self, job: Job, taint: Taint) -> Box:
        """What a call gave.

        :raises RuntimeError, TimeoutError, ValueError: it failed
        """
        self._taken |= 1 << job.number
        taint |= 1 << job.number
        failure = job.outcome.failure
        if failure is not None:
            raise self.noted(EXCEPTIONS[failure.kind](failure.message), taint | self.control())
        return Box(copied(job.outcome.result), taint)

    def print(self, text: str, taint: Taint) -> None:
        """Something is printed: it waits for its data, for what may fail before, and for the effect before."""
        self.printed.write(text)
        effects = self._taken | self._effect
        self.nodes.append(Node(
            number=self.made, kind="print", function="print", params={"text": text}, line=_program_line(),
            data=tuple(calls_in(taint)), control=tuple(calls_in(self.control())), effects=tuple(calls_in(effects)),
            where=self.where(),
        ))  # fmt: skip
        self._effect = 1 << self.made
        self.made += 1


def _program_line() -> int:
    """The line of the program that is under way, innermost."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == FRAME_FILE:
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return 0
