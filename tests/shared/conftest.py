"""Property tests here give the same examples on every run; programs run on one desk, in both interpreters."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import hermod
import hermod.prelude
from dicem_shared.catalog import catalog
from dicem_shared.errors import InvalidCall, ProgramFailed
from dicem_shared.functions import Registry
from dicem_shared.patches import check_handle
from dicem_shared.program import Program, prepare
from dicem_shared.runner import (
    Context,
    Failed,
    Finished,
    Interpreter,
    Outcome,
    ProgramCall,
    Run,
    RunLimits,
    Step,
    Waiting,
    unknown_function,
)  # fmt: skip
from dicem_shared.types import Failure, FrameInfo, Handle

settings.register_profile(
    "dicem", derandomize=True, deadline=None, database=None, max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("dicem")

FRAME = FrameInfo(camera="bow", sequence=7, t_utc=1_700_000_000.0, blob="ab" * 32, width=120, height=80)
Answer = Callable[[str, dict[str, Any]], Any]
"""What a function gives for parameters: a result, or an exception."""
Wave = list[tuple[str, dict[str, Any]]]
"""Calls, each function and parameters."""
Pick = Callable[[Wave], int]
"""Which of the pending calls ends next."""


@dataclass(frozen=True)
class Told:
    """How a program ended, in terms that do not depend on the interpreter."""

    value: Any
    error: tuple[str, str] | None
    printed: str
    calls: tuple[tuple[str, dict[str, Any]], ...]


def echo(name: str, params: dict[str, Any]) -> Any:
    """A result of the right shape that depends on nothing but the arguments."""
    box = params.get("image", {}).get("box", [0, 0, 0, 0])
    words = " ".join(str(v) for k, v in sorted(params.items()) if k != "image")
    match name:
        case "yolov8" | "glip":
            found = [{"x": 1, "y": 2, "width": 5, "height": 4, "score": 0.5}]
            return {"objects": [{"class": "can", **found[0]}]} if name == "yolov8" else found
        case "depth":
            return {"depth": (box[0] * 7 + box[1] * 3) % 11 + 0.5}
        case "blip":
            return {"answer": f"{words} at {box}"}
        case "xvlm":
            scores = [(len(option) * 13 + box[0]) % 10 / 10 for option in params.get("options") or [""]]
            return {"result": len(words) % 2 == 0, "score": scores[0], "scores": scores}
    return {"output": f"{words} at {box}" if name == "blip2" else words}


def outcome_of(value: Any) -> Outcome:
    if isinstance(value, Exception):
        return Outcome(failure=Failure.model_validate({"kind": type(value).__name__, "message": str(value)}))
    return Outcome(result=value)


class Desk:
    """Runs programs in the sandbox and in CPython, on the same frame with the same functions."""

    frame = FRAME
    handle = FRAME.handle.model_dump(mode="json")

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or catalog()
        self._open: dict[RunLimits, Interpreter] = {}
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def interpreter(self, limits: RunLimits | None = None) -> Interpreter:
        key = limits or RunLimits()
        if key not in self._open:
            self._open[key] = self._stack.enter_context(Interpreter(self.registry, key))
        return self._open[key]

    def start(
        self, source: str | Program, *, limits: RunLimits | None = None, vehicle: str = "boat",
        frame: FrameInfo = FRAME, vocabulary: tuple[str, ...] = (),
    ) -> Run:  # fmt: skip
        program = source if isinstance(source, Program) else prepare(source, name="p")
        return self.interpreter(limits).start(program, Context(vehicle, frame, vocabulary))

    def waves(
        self, source: str, pick: Pick, new_answer: Callable[[], Answer] = lambda: echo
    ) -> tuple[Told, list[Wave]]:
        """How a program ends, and which calls it makes between one result and the next; the same in both.

        `new_answer` gives each interpreter functions of its own, for answers that change with time.
        """
        run, answer = self.start(source), new_answer()
        waves: list[Wave] = []
        step = run.step
        while isinstance(step, Waiting):
            waves.append([(call.function, call.params) for call in step.calls])
            pending = sorted(run.pending)
            asked = [(run.calls[number - 1].function, run.calls[number - 1].params) for number in pending]
            number = pending[pick(asked)]
            step = run.resume([(number, outcome_of(answer(*asked[pending.index(number)])))])
        inside, replayed = self._told(run, step), self.start(source)
        assert self._told(replayed, replayed.replay(run.log)) == inside
        assert (replayed.calls, replayed.surplus) == (run.calls, run.surplus)
        backend = Patient(new_answer(), pick, self.registry)
        outside = self.cpython_on(backend, source, beside=backend.turn)
        assert replace(inside, calls=()) == replace(outside, calls=())
        # Where one result ends the program and wakes a strand too, whether that still asks is nobody's business.
        assert [sorted(wave, key=repr) for wave in waves] == [sorted(wave, key=repr) for wave in backend.waves[:-1]]
        return inside, waves

    @staticmethod
    def drive(run: Run, answer: Answer = echo, pick: Callable[[frozenset[int]], int] = min) -> Step:
        """Answer one call after the other, the one that `pick` chooses of those pending, until the run ends."""
        while isinstance(run.step, Waiting):
            number = pick(run.pending)
            call = run.calls[number - 1]
            run.resume([(number, outcome_of(answer(call.function, call.params)))])
        return run.step

    def run(self, source: str | Program, answer: Answer = echo, **how: Any) -> Step:
        return self.drive(self.start(source, **how), answer)

    def value(self, source: str | Program, answer: Answer = echo, **how: Any) -> Any:
        step = self.run(source, answer, **how)
        assert isinstance(step, Finished), step.error  # type: ignore[union-attr]
        return step.value

    def error(self, source: str | Program, answer: Answer = echo, **how: Any) -> Any:
        step = self.run(source, answer, **how)
        assert isinstance(step, Failed), step
        return step.error

    def sandboxed(self, source: str, answer: Answer = echo, *, vocabulary: tuple[str, ...] = ()) -> Told:
        run = self.start(source, vocabulary=vocabulary)
        return self._told(run, self.drive(run, answer))

    @staticmethod
    def _told(run: Run, step: Step) -> Told:
        error = None
        if isinstance(step, Failed):
            assert isinstance(step.error, ProgramFailed), step.error
            error = (step.error.exc_type, str(step.error).split(f"{step.error.exc_type}: ", 1)[1])
        value = step.value if isinstance(step, Finished) else None
        return Told(value, error, step.printed, tuple((c.function, c.params) for c in run.calls))  # type: ignore[union-attr]

    def cpython(self, source: str, answer: Answer = echo, *, vocabulary: tuple[str, ...] = ()) -> Told:
        """The same text that the sandbox is fed, in CPython with `hermod.prelude` as it is imported."""
        return self.cpython_on(Backend(answer, self.registry), source, vocabulary=vocabulary)

    def cpython_on(
        self,
        backend: Backend,
        source: str,
        *,
        vocabulary: tuple[str, ...] = (),
        beside: Callable[[], None] | None = None,
    ) -> Told:
        """`beside` is called in the event loop when it begins, to end the calls of a backend that does not itself."""
        program = prepare(source, name="p")
        tree = ast.parse(program.runnable)
        last = tree.body[-1]
        assert isinstance(last, ast.Expr)
        tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_value", ast.Store())], last.value), last)
        code = compile(ast.fix_missing_locations(tree), "p", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names = {"_frame": self.handle, "_frames": [self.handle], "hermod": hermod, "__name__": "__main__"}
        printed, value, error = io.StringIO(), None, None
        with pytest.MonkeyPatch.context() as patch, hermod.connect(backend), contextlib.redirect_stdout(printed):
            patch.setattr(hermod.prelude, "_FILES", {"": self.handle})
            patch.setattr(hermod.prelude, "_VOCABULARY", list(vocabulary))
            patch.setattr(hermod.prelude, "_CROP_ORIGIN", program.crop_origin)
            space = vars(hermod.prelude) | names
            try:
                awaitable = eval(code, space)
                if inspect.iscoroutine(awaitable):
                    asyncio.run(_with(awaitable, beside))
                value = shown(space["_value"])
            except Exception as raised:
                error = (type(raised).__name__, str(raised))
        return Told(value, error, printed.getvalue(), tuple(backend.calls))

    def both(self, source: str, answer: Answer = echo, *, vocabulary: tuple[str, ...] = ()) -> Told:
        """How it ended, which must be the same in both."""
        inside = self.sandboxed(source, answer, vocabulary=vocabulary)
        outside = self.cpython(source, answer, vocabulary=vocabulary)
        assert inside == outside
        return inside


class Backend:
    """Carries out calls of CPython's `hermod` at once, and checks them as the runner does."""

    def __init__(self, answer: Answer, registry: Registry | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answer, self._registry = answer, registry or catalog()

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        if name not in self._registry:
            raise ValueError(str(unknown_function(self._registry, name)))
        try:
            spec = self._registry.get(name)
            checked = spec.check_params(params)
            for parameter in spec.image_parameters:
                if checked.get(parameter) is not None:
                    check_handle(Handle.model_validate(checked[parameter]), FRAME)
                    checked[parameter] = checked[parameter] | {"box": list(checked[parameter]["box"])}
        except InvalidCall as cause:
            raise ValueError(str(cause)) from None
        self.calls.append((name, checked))
        future: Future[Any] = Future()
        self.end(future, name, checked)
        return future

    def end(self, future: Future[Any], name: str, params: dict[str, Any]) -> None:
        """Give a call its answer: at once."""
        value = self._answer(name, params)
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)

    def functions(self) -> list[dict[str, Any]]:
        return [spec.resource() for spec in self._registry]


class Patient(Backend):
    """Ends one call after the other, the one that `pick` chooses, each when the program can do nothing without it."""

    TURNS = 25
    """of the event loop without a new call, until the program counts as waiting; a strand takes a few to begin"""

    def __init__(self, answer: Answer, pick: Pick, registry: Registry | None = None) -> None:
        super().__init__(answer, registry)
        self.waves: list[Wave] = [[]]
        self._pending: list[tuple[tuple[str, dict[str, Any]], Future[Any]]] = []
        self._pick, self._idle = pick, 0

    def end(self, future: Future[Any], name: str, params: dict[str, Any]) -> None:
        self._pending.append(((name, params), future))
        self.waves[-1].append((name, params))
        self._idle = 0

    def turn(self) -> None:
        """Look after each turn of the event loop."""
        self._idle += 1
        if self._idle > self.TURNS and self._pending:
            index = self._pick([asked for asked, _ in self._pending])
            (name, params), future = self._pending.pop(index)
            self.waves.append([])
            self._idle = 0
            super().end(future, name, params)
        asyncio.get_running_loop().call_soon(self.turn)


async def _with(awaitable: Any, beside: Callable[[], None] | None) -> Any:
    if beside is not None:
        beside()
    return await awaitable


def shown(value: Any) -> Any:
    """A value of CPython as the runner gives it."""
    if isinstance(value, (hermod.prelude.ImagePatch, hermod.prelude.PILImage)):
        return {"patch": value.handle}
    if isinstance(value, (list, tuple, set)):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {str(key): shown(item) for key, item in value.items()}
    return value


@pytest.fixture(scope="session")
def desk() -> Iterator[Desk]:
    opened = Desk()
    yield opened
    opened.close()


__all__ = ["Backend", "Desk", "ProgramCall", "Told"]
