"""Property tests here give the same examples on every run; programs run on one desk, in both interpreters."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import hermod
import hermod.prelude
from dicem_shared.catalog import catalog
from dicem_shared.errors import InvalidCall, ProgramFailed
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

    def __init__(self) -> None:
        self._open: dict[RunLimits, Interpreter] = {}
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def interpreter(self, limits: RunLimits | None = None) -> Interpreter:
        key = limits or RunLimits()
        if key not in self._open:
            self._open[key] = self._stack.enter_context(Interpreter(catalog(), key))
        return self._open[key]

    def start(
        self, source: str | Program, *, limits: RunLimits | None = None, vehicle: str = "boat",
        frame: FrameInfo = FRAME, vocabulary: tuple[str, ...] = (),
    ) -> Run:  # fmt: skip
        program = source if isinstance(source, Program) else prepare(source, name="p")
        return self.interpreter(limits).start(program, Context(vehicle, frame, vocabulary))

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
        step = self.drive(run, answer)
        error = None
        if isinstance(step, Failed):
            assert isinstance(step.error, ProgramFailed), step.error
            error = (step.error.exc_type, str(step.error).split(f"{step.error.exc_type}: ", 1)[1])
        value = step.value if isinstance(step, Finished) else None
        return Told(value, error, step.printed, tuple((c.function, c.params) for c in run.calls))  # type: ignore[union-attr]

    def cpython(self, source: str, answer: Answer = echo, *, vocabulary: tuple[str, ...] = ()) -> Told:
        """The same text that the sandbox is fed, in CPython with `hermod.prelude` as it is imported."""
        program = prepare(source, name="p")
        backend = Backend(answer)
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
                    asyncio.run(awaitable)
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

    def __init__(self, answer: Answer) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answer, self._registry = answer, catalog()

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
        value = self._answer(name, checked)
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
        return future

    def functions(self) -> list[dict[str, Any]]:
        return [spec.resource() for spec in self._registry]


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
