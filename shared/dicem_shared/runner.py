"""Runs one program on one frame, as a state machine without I/O.

    run = interpreter.start(program, frame)
    step = run.step
    while isinstance(step, Waiting):
        ...carry out step.calls, wait until something of run.pending has ended...
        step = run.resume([(number, outcome), ...])
    step                                                  # Finished or Failed

The program runs in a Monty worker process until it needs a result; the run never sleeps, never reads a clock and starts
nothing by itself, so the same inputs and the same outcomes in the same order give the same run, bit for bit.  Every
outcome that was delivered is in `run.log`, and `run.replay(log)` brings a fresh run to the same point.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import resources
from typing import Annotated, Any, Final

import pydantic_monty as monty
from pydantic import Field, ValidationError

from .camera import Strict
from .errors import ConfigError, InvalidCall, ProgramError, ProgramFailed, ProgramLimitError, ProgramSyntaxError
from .functions import Registry
from .ids import call_id
from .patches import check_handle
from .program import Program
from .types import Failure, FrameInfo, Handle, ModelId, Site

HOST_MODULE: Final = "_hermod_host"
HOST_FUNCTIONS: Final = ("call", "call_sync", "functions", "new_promise", "await_promise", "resolve", "reject")
PROGRAM_FEED: Final = "<python-input-2>"
"""Monty's name for the third feed of a session: bootstrap, prelude, program."""


class RunLimits(Strict):
    """Totals for one program on one frame; going over one ends the run, and the program cannot catch it."""

    cpu_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """seconds of computing in the interpreter, waiting not counted"""
    memory_mb: Annotated[float, Field(ge=4, le=1024)] = 64.0
    calls: Annotated[int, Field(ge=1, le=10_000)] = 200
    output_kb: Annotated[float, Field(gt=0, le=10_000)] = 64.0
    """printed text and returned value, each"""
    recursion: Annotated[int, Field(ge=10, le=1000)] = 200


@dataclass(frozen=True)
class ProgramCall:
    """A call that the program made."""

    number: int
    """counts the calls of this run from 1, in program order"""
    id: str
    function: str
    params: dict[str, Any]
    """validated; an image parameter is `{"blob", "box"}`"""
    site: Site | None = None
    """where the compiler says it runs; None leaves it to whoever carries it out"""
    at: str = ""
    deadline_s: float | None = None
    priority: int = 5


@dataclass(frozen=True)
class Outcome:
    """How a call ended, as much as the program and the observations need of it."""

    result: Any = None
    failure: Failure | None = None
    model: ModelId | None = None
    site: Site | None = None


@dataclass(frozen=True)
class Waiting:
    """The program cannot go on: carry out `calls` (all new since the last step), then resume."""

    calls: tuple[ProgramCall, ...]


@dataclass(frozen=True)
class Finished:
    """The program returned `value` (plain) after printing `printed`."""

    value: Any
    printed: str


@dataclass(frozen=True)
class Failed:
    """The program ended with an exception or over a limit."""

    error: ProgramError
    printed: str


Step = Waiting | Finished | Failed
Batch = tuple[tuple[int, Outcome], ...]


@dataclass(frozen=True)
class Context:
    """Where a run takes place: it enters every call id and the observations."""

    vehicle: str
    frame: FrameInfo
    vocabulary: tuple[str, ...] = ()
    """class and group names that `find` asks the detector for; other names go to `glip`"""


class Interpreter:
    """A pool of sandboxed workers.  Use as a context manager."""

    def __init__(self, registry: Registry, limits: RunLimits | None = None, *, workers: int = 1) -> None:
        self.registry = registry
        self.limits = limits or RunLimits()
        grace = self.limits.cpu_s + 5
        self._pool = monty.Monty(
            min_processes=workers, max_processes=max(workers, 8), request_timeout=grace, checkout_timeout=30
        )
        self._host = {HOST_MODULE: monty.ExternalModule({name: _unreachable for name in HOST_FUNCTIONS})}

    def __enter__(self) -> Interpreter:
        try:
            self._pool.__enter__()
        except Exception as cause:
            raise ConfigError("the program interpreter does not start", got=str(cause)) from None
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.__exit__(None, None, None)

    def start(self, program: Program, context: Context) -> Run:
        """A run that has gone as far as it can without results; its first step is `run.step`.

        The program's clock stands still at the frame's stamp, and its random numbers follow from program and frame.
        """
        limits = self.limits
        session = self._pool.checkout(
            script_name=f"{program.name}.py",
            limits={
                "max_feed_duration_secs": limits.cpu_s,
                "max_memory": int(limits.memory_mb * 2**20),
                "max_recursion_depth": limits.recursion,
                "max_suspensions": limits.calls * 4 + 100,
            },
            os_policy={
                "datetime": datetime.fromtimestamp(context.frame.t_utc, tz=timezone.utc),
                "sleep": "zero",
                "random_start": {"seed": f"{program.id}/{context.frame.blob}"},
            },
            assert_message_annotations=False,
            external_modules=self._host,
        )
        return Run(session, program, context, self.registry, limits)


def _unreachable(*_args: Any) -> None:
    raise AssertionError("host functions are answered by the run")


def _prelude_source() -> str:
    text = resources.files("hermod").joinpath("prelude.py").read_text(encoding="utf-8")
    return text.replace("\nimport hermod\n", "\n\n", 1)


BOOTSTRAP: Final = resources.files("hermod").joinpath("bootstrap.py").read_text(encoding="utf-8")
PRELUDE: Final = _prelude_source()


@dataclass
class _Progress:
    """What has happened so far in a run."""

    calls: dict[int, ProgramCall] = field(default_factory=dict)
    new: list[ProgramCall] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    log: list[Batch] = field(default_factory=list)


class Run:
    """One program on one frame; see the module's text for how to drive it."""

    def __init__(
        self, session: monty.MontySession, program: Program, context: Context, registry: Registry, limits: RunLimits
    ) -> None:
        self.program, self.context = program, context
        self._session, self._registry, self._limits = session, registry, limits
        self._progress = _Progress()
        self._by_monty_id: dict[int, int] = {}
        self._promises: dict[int, int] = {}
        self._settled_promises: dict[int, monty.ExternalSettledResult] = {}
        self._promise_count = 0
        self._undelivered: dict[int, Outcome] = {}
        self._occurrences: Counter[str] = Counter()
        self._blocked: monty.FunctionSnapshot | monty.FutureSnapshot | None = None
        self._blocked_on: int | None = None
        self._printed = monty.CollectString(int(limits.output_kb * 1024))
        self.step: Step = self._begin()

    @property
    def calls(self) -> list[ProgramCall]:
        """Every call made so far, in program order."""
        return list(self._progress.calls.values())

    @property
    def outcomes(self) -> dict[int, Outcome]:
        """How calls ended, by number, as far as they have."""
        return dict(self._progress.outcomes)

    @property
    def pending(self) -> frozenset[int]:
        """The numbers of the calls that have no outcome yet.  Once the run has ended: those to withdraw."""
        return frozenset(self._progress.calls.keys() - self._progress.outcomes.keys())

    @property
    def log(self) -> list[Batch]:
        """The outcomes that `resume` was given, batch by batch: enough to replay the run."""
        return list(self._progress.log)

    def resume(self, outcomes: Sequence[tuple[int, Outcome]]) -> Step:
        """Hand over results and let the program go on as far as it can."""
        self._progress.log.append(tuple(outcomes))
        for number, outcome in outcomes:
            if number not in self._progress.outcomes:
                self._progress.outcomes[number] = outcome
                self._undelivered[number] = outcome
        if isinstance(self.step, Waiting):
            self.step = self._guarded(self._deliver)
        return self.step

    def replay(self, log: Iterable[Batch]) -> Step:
        """Bring a fresh run to where the run that wrote `log` was."""
        for batch in log:
            self.resume(batch)
        return self.step

    def close(self) -> None:
        """Give the worker back.  A run that ended has done so already."""
        if self._session is not None:
            session, self._session = self._session, None  # type: ignore[assignment]
            session.__exit__(None, None, None)

    # The program's side

    def _begin(self) -> Step:
        self._session.__enter__()
        return self._guarded(self._feed)

    def _feed(self) -> Step:
        frame = self.context.frame
        handle = frame.handle.model_dump(mode="json")
        self._session.feed_run(BOOTSTRAP)
        self._session.feed_run(PRELUDE)
        inputs = {
            "_frame": handle,
            "_frames": [handle],
            "_FILES": {"": handle},
            "_VOCABULARY": list(self.context.vocabulary),
            "_CROP_ORIGIN": self.program.crop_origin,
        }
        start = self._session.feed_start(self.program.runnable, inputs=inputs, print_callback=self._printed)
        return self._advance(start)

    def _guarded(self, action: Callable[[], Step]) -> Step:
        try:
            step: Step = action()
        except monty.MontyError as cause:
            step = Failed(explain(cause, self.program, self._limits), self._printed.output)
        except ProgramError as cause:
            step = Failed(cause, self._printed.output)
        if not isinstance(step, Waiting):
            self.close()
        return step

    def _advance(self, snapshot: monty.SyncSnapshot) -> Step:
        """Answer what can be answered here, until the program ends or needs a result."""
        while True:
            match snapshot:
                case monty.MontyComplete():
                    return Finished(plain_value(snapshot.output, self._limits), self._printed.output)
                case monty.NameLookupSnapshot():
                    snapshot = snapshot.resume()
                case monty.FunctionSnapshot(is_os_function=True):
                    snapshot = snapshot.resume_auto()
                case monty.FunctionSnapshot():
                    answer = self._host_call(snapshot)
                    if answer is None:
                        return self._block(snapshot)
                    snapshot = snapshot.resume(answer)
                case monty.FutureSnapshot():
                    results = self._results_for(snapshot)
                    if not results:
                        return self._block(snapshot)
                    snapshot = snapshot.resume(results)

    def _block(self, snapshot: monty.FunctionSnapshot | monty.FutureSnapshot) -> Step:
        self._blocked = snapshot
        if not self.pending:
            raise ProgramFailed("deadlock: only promises are pending", exc_type="RuntimeError")
        new, self._progress.new = tuple(self._progress.new), []
        return Waiting(new)

    def _deliver(self) -> Step:
        """Go on from where the program waits, if what it waits for is here."""
        snapshot = self._blocked
        if isinstance(snapshot, monty.FunctionSnapshot):
            if self._blocked_on not in self._undelivered:
                return Waiting(())
            answer = _settled(self._undelivered.pop(self._blocked_on))
            return self._advance(snapshot.resume(answer))
        assert isinstance(snapshot, monty.FutureSnapshot)
        results = self._results_for(snapshot)
        return self._advance(snapshot.resume(results)) if results else Waiting(())

    def _results_for(self, snapshot: monty.FutureSnapshot) -> dict[int, monty.ExternalSettledResult]:
        """What can be delivered of what the program awaits, in the order in which it arrived."""
        waiting = {self._by_monty_id[i]: i for i in snapshot.pending_call_ids if i in self._by_monty_id}
        results: dict[int, monty.ExternalSettledResult] = {}
        for number in [n for n in self._undelivered if n in waiting]:
            results[waiting[number]] = _settled(self._undelivered.pop(number))
        for monty_id in snapshot.pending_call_ids:
            if monty_id in self._settled_promises:
                results[monty_id] = self._settled_promises.pop(monty_id)
        return results

    # The host's side: what `_hermod_host` answers; None means that the program must wait

    def _host_call(self, snapshot: monty.FunctionSnapshot) -> monty.ExternalResult | None:
        name = str(snapshot.function_name).removeprefix(f"{HOST_MODULE}.")
        try:
            match name:
                case "call" | "call_sync":
                    number = self._make_call(*snapshot.args)
                    if name == "call_sync":
                        self._blocked_on = number
                        return None
                    self._by_monty_id[snapshot.call_id] = number
                    return {"future": ...}
                case "functions":
                    return {"return_value": [spec.resource() for spec in self._registry]}
                case "new_promise":
                    self._promise_count += 1
                    return {"return_value": self._promise_count}
                case "await_promise":
                    self._promises[snapshot.args[0]] = snapshot.call_id
                    return {"future": ...}
                case "resolve":
                    self._settle_promise(snapshot.args[0], {"return_value": snapshot.args[1]})
                    return {"return_value": None}
                case "reject":
                    number, exc_type, message = snapshot.args
                    self._settle_promise(number, {"exc_type": exc_type, "message": message})
                    return {"return_value": None}
        except InvalidCall as cause:
            return {"exc_type": "ValueError", "message": str(cause)}
        except (TypeError, ValueError) as cause:  # wrong number or kind of arguments to the host module
            return {"exc_type": "TypeError", "message": f"hermod.{name}: {cause}"}
        return {"exc_type": "NameError", "message": f"hermod has no {name}"}

    def _settle_promise(self, number: int, result: monty.ExternalSettledResult) -> None:
        monty_id = self._promises.pop(number, None)
        if monty_id is None:
            raise ValueError(f"promise {number} is not open")
        self._settled_promises[monty_id] = result

    def _make_call(
        self, name: Any, params: Any, site: Any, at: Any, deadline_s: Any = None, priority: Any = None
    ) -> int:
        """Check a call and note it; its number.

        :raises InvalidCall: unknown function, parameters that do not fit, a patch of another frame
        :raises ProgramLimitError: one call too many
        """
        if len(self._progress.calls) >= self._limits.calls:
            raise ProgramLimitError(
                f"{self.program.name}: too many calls on one frame", limit="calls",
                expected=f"at most {self._limits.calls}", todo="Raise limits.calls in the config, or ask less.",
            )  # fmt: skip
        if not isinstance(name, str) or name not in self._registry:
            raise unknown_function(self._registry, name)
        if site not in (None, "edge", "cloud"):
            raise InvalidCall("hermod.call: site", expected="edge or cloud", got=repr(site))
        spec = self._registry.get(name)
        checked = spec.check_params(_with_handles(params))
        for parameter in spec.image_parameters:
            if checked.get(parameter) is not None:
                check_handle(Handle.model_validate(checked[parameter]), self.context.frame)
                box = [int(v) for v in checked[parameter]["box"]]
                checked[parameter] = {"blob": checked[parameter]["blob"], "box": box}
        number = len(self._progress.calls) + 1
        call = ProgramCall(
            number=number,
            id=self._call_id(name, checked, at or ""),
            function=name,
            params=checked,
            site=site,
            at=at or "",
            deadline_s=deadline_s,
            priority=5 if priority is None else int(priority),
        )
        self._progress.calls[number] = call
        self._progress.new.append(call)
        return number

    def _call_id(self, function: str, params: dict[str, Any], at: str) -> str:
        frame = self.context.frame

        def numbered(occurrence: int) -> str:
            return call_id(
                vehicle=self.context.vehicle, camera=frame.camera, frame=frame.blob, program=self.program.id,
                function=function, params=params, at=at, occurrence=occurrence,
            )  # fmt: skip

        first = numbered(0)
        occurrence = self._occurrences[first]
        self._occurrences[first] += 1
        return numbered(occurrence)


def unknown_function(registry: Registry, name: Any) -> InvalidCall:
    """The error for a function that is not there, as a program sees it."""
    try:
        registry.get(str(name))
    except Exception as cause:
        return InvalidCall(str(cause))
    return InvalidCall(f"{name!r} is no function name")


def _settled(outcome: Outcome) -> monty.ExternalSettledResult:
    if outcome.failure is not None:
        return {"exc_type": outcome.failure.kind, "message": outcome.failure.message}
    return {"return_value": outcome.result}


def _with_handles(value: Any) -> Any:
    """Prelude objects that stand for a patch, as their handles."""
    if isinstance(value, dict):
        return {key: _with_handles(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_handles(item) for item in value]
    if isinstance(value, monty.MontyClassProxy):
        handle = value.attributes.get("handle")
        if isinstance(handle, dict):
            return handle
        raise InvalidCall(f"a {value.name} cannot be passed to a function", expected="text, numbers, lists, a patch")
    return value


def plain_value(value: Any, limits: RunLimits) -> Any:
    """What a program returned, as plain values; a patch becomes `{"patch": {"blob", "box"}}`.

    :raises ProgramError: it holds something else, or is larger than the limit
    """
    budget = [int(limits.output_kb * 1024)]

    def convert(item: Any, depth: int) -> Any:
        budget[0] -= len(item) if isinstance(item, (str, bytes)) else 8
        if budget[0] < 0:
            raise ProgramLimitError(
                "the program returned too much", limit="output", expected=f"at most {limits.output_kb:g} kB"
            )
        if item is None or isinstance(item, (bool, int, str)):
            return item
        if isinstance(item, float) and math.isfinite(item):
            return item
        if depth and isinstance(item, (list, tuple, set, frozenset)):
            return [convert(each, depth - 1) for each in item]
        if depth and isinstance(item, dict) and all(isinstance(key, (str, int)) for key in item):
            return {str(key): convert(each, depth - 1) for key, each in item.items()}
        if isinstance(item, monty.MontyClassProxy) and "handle" in item.attributes:
            return {"patch": _checked_handle(item.attributes["handle"])}
        raise ProgramError(
            "the program returned something that cannot be stored",
            expected="text, finite numbers, True, False, None, lists, dicts, patches",
            got=item.name if isinstance(item, monty.MontyClassProxy) else type(item).__name__,
        )

    return convert(value, 32)


def _checked_handle(handle: Any) -> dict[str, Any]:
    try:
        return Handle.model_validate(handle).model_dump(mode="json")
    except ValidationError:
        raise ProgramError("the program returned a patch that is none", got=repr(handle)[:80]) from None


_LIMIT_MESSAGES = {
    "time limit exceeded": ("cpu_s", "it computed for too long; is there an endless loop?"),
    "memory limit exceeded": ("memory_mb", "it used too much memory, or printed too much"),
    "suspension limit": ("calls", "it turned to its host too often"),
}


def explain(cause: monty.MontyError, program: Program, limits: RunLimits) -> ProgramError:
    """What the interpreter says, as one of our errors, with the program's name and line."""
    if isinstance(cause, monty.MontyCrashedError):
        return ProgramLimitError(f"{program.name}: the interpreter was stopped", limit="cpu_s", got=str(cause))
    frames = cause.traceback() if isinstance(cause, (monty.MontyRuntimeError, monty.MontySyntaxError)) else []
    line = next((frame.line for frame in reversed(frames) if frame.filename == PROGRAM_FEED), None)
    where = f"{program.name}:{line}" if line else program.name
    inner = cause.exception()
    exc_type, message = type(inner).__name__, str(inner)
    if isinstance(cause, monty.MontySyntaxError) or "monty syntax parser" in message:
        return ProgramSyntaxError(f"{where}: {message.replace('The monty syntax parser', 'the interpreter')}")
    for sign, (limit, meaning) in _LIMIT_MESSAGES.items():
        if sign in message:
            todo = f"Raise limits.{limit} in the config if it is right to."
            return ProgramLimitError(f"{where}: {meaning}", limit=limit, got=message, todo=todo)
    return ProgramFailed(f"{where}: {exc_type}: {message}", exc_type=exc_type, line=line)
