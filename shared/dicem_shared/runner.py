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

import logging
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
from .crossing import (
    MAX_CROSSING_TOTAL,
    arguments_of,
    ended_with,
    explain,
    output_of,
    plain_value,
    weigh,
    with_handles,
)
from .errors import ConfigError, InvalidCall, Overloaded, ProgramError, ProgramLimitError
from .functions import FunctionSpec, Registry
from .futures import Futures
from .heap import give_back
from .ids import call_id
from .killer import Killer
from .limits import RunLimits, exceeded
from .patches import check_handle
from .program import Program
from .sharing import NotAhead, SharedCalls
from .types import Failure, FrameInfo, Handle, ModelId, Site, WhenAway

__all__ = [
    "BOOTSTRAP", "PRELUDE", "CallOptions", "Context", "Failed", "Finished", "Interpreter", "Outcome", "ProgramCall",
    "Run", "RunLimits", "Step", "Waiting", "unknown_function",
]  # fmt: skip

log = logging.getLogger(__name__)

HOST_MODULE: Final = "_hermod_host"
HOST_FUNCTIONS: Final = (
    "call", "call_sync", "functions", "share_calls", "new_promise", "await_promise", "resolve", "reject",
    "wait_at_door", "open_door", "end",
)  # fmt: skip
END: Final = f"{HOST_MODULE}.end"
GRACE_S: Final = 0.4
"""What looks at no clock, such as one huge multiplication, has so long past `cpu_s`; then its process is killed."""
TURN_GRACE_S: Final = 0.8
"""The same for what is not counted as computing: reading the source, starting a process."""


class CallOptions(Strict):
    """What a program may say of a call beside its parameters."""

    site: Site | None = None
    at: Annotated[str, Field(max_length=1000)] = ""
    deadline_s: Annotated[float, Field(gt=0)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    away: WhenAway | None = None


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
    away: WhenAway | None = None
    """what the plan says for when its site cannot be reached; None leaves it to the config"""


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
    """A pool of sandboxed workers.  Use as a context manager.

    `workers` are kept warm; each run holds one, about 8 MB, from its start to its end, and at most `max_runs` can be
    under way.
    """

    def __init__(
        self, registry: Registry, limits: RunLimits | None = None, *, workers: int = 1, max_runs: int = 32
    ) -> None:
        self.registry = registry
        self.limits = limits or RunLimits()
        self.max_runs = max(workers, max_runs)
        self._pool = monty.Monty(
            min_processes=workers,
            max_processes=self.max_runs,
            checkout_timeout=1,
            request_timeout=min(self.limits.cpu_s, self.limits.wall_s) + TURN_GRACE_S,
            feed_duration_limit_grace=GRACE_S,
        )
        self._host = {HOST_MODULE: monty.ExternalModule(dict.fromkeys(HOST_FUNCTIONS, _unreachable))}

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

        :raises Overloaded: `max_runs` are under way
        """
        limits = self.limits
        session = self._pool.checkout(
            script_name=f"{program.name}.py",
            limits={
                "max_feed_duration_secs": min(limits.cpu_s, limits.wall_s),
                "max_memory": limits.memory_bytes,
                "max_recursion_depth": limits.recursion,
                "max_suspensions": limits.suspensions,
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
        self._shared = SharedCalls()
        self._futures = Futures()
        self._lists = self._tries_ahead = 0
        self._crossed = {False: 0, True: 0}
        """bytes that the program's lines handed over, and its ahead blocks"""
        self._occurrences: Counter[str] = Counter()
        self._blocked: monty.FunctionSnapshot | monty.FutureSnapshot | None = None
        self._blocked_on: int | None = None
        self._printed = monty.CollectString(limits.output_bytes)
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
    def surplus(self) -> frozenset[int]:
        """The numbers of the calls that were started ahead and that no line of the program has come to so far."""
        return frozenset(self._shared.untaken)

    @property
    def log(self) -> list[Batch]:
        """The outcomes that `resume` was given, batch by batch: enough to replay the run."""
        return list(self._progress.log)

    def resume(self, outcomes: Sequence[tuple[int, Outcome]], *, within_s: float = math.inf) -> Step:
        """Hand over results and let the program go on as far as it can.

        `within_s`: so many seconds of the machine's own time are left of `wall_s`; a program that still computes then
        is killed.  Only who runs in real time says so.
        """
        self._progress.log.append(tuple(outcomes))
        for number, outcome in outcomes:
            if number not in self._progress.outcomes:
                self._progress.outcomes[number] = outcome
                self._futures.call_ended(number, _settled(outcome))
        if isinstance(self.step, Waiting):
            self._in_time(within_s)
        return self.step

    def stop(self, limit: str, *, got: str = "") -> Step:
        """End the run because it went over a limit that only its driver can watch: `wall_s`, `bytes_up_kb`, `usd`.

        The program does not get to know.  What is `pending` then is to be withdrawn.  A stop is not part of the log.
        """
        if isinstance(self.step, Waiting):
            self.step = Failed(exceeded(self._limits, limit, self.program.name, got=got), self._printed.output)
            self.close()
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
        try:
            self._session.__enter__()
        except TimeoutError:
            raise Overloaded("too many programs at once", retry_after_s=1.0, todo="Let some runs end first.") from None
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

    def _in_time(self, within_s: float) -> None:
        """Deliver, and kill the worker if it computes for longer than `within_s`."""
        if within_s >= self._limits.cpu_s:  # it is stopped sooner for that
            self.step = self._guarded(self._deliver)
            return
        with Killer(self._session.worker_pid, within_s) as killer:
            self.step = self._guarded(self._deliver)
        if killer.has_struck and isinstance(self.step, Failed):
            self.step = Failed(exceeded(self._limits, "wall_s", self.program.name), self.step.printed)

    def _guarded(self, action: Callable[[], Step]) -> Step:
        try:
            step: Step = action()
        except monty.MontyError as cause:
            step = Failed(explain(cause, self.program, self._limits), self._printed.output)
        except ProgramError as cause:
            step = Failed(_bare(cause), self._printed.output)
        except Exception as cause:  # the last line of defence: no program ends anything but its own run
            log.exception("%s: the host stumbled over what the program did", self.program.name)
            what = f"{self.program.name}: it handed over something that its host cannot read"
            step = Failed(ProgramError(what, got=type(cause).__name__), self._printed.output)
        if not isinstance(step, Waiting):
            self.close()
        if isinstance(step, Failed):
            give_back()
        return step

    def _advance(self, snapshot: monty.SyncSnapshot) -> Step:
        """Answer what can be answered here, until the program ends or needs a result."""
        while True:
            match snapshot:
                case monty.MontyComplete():
                    return self._finished(output_of(snapshot))
                case monty.NameLookupSnapshot():
                    snapshot = snapshot.resume()
                case monty.FunctionSnapshot(is_os_function=True):
                    snapshot = snapshot.resume_auto()
                case monty.FunctionSnapshot(function_name=function) if function == END:
                    return self._finished(ended_with(snapshot))  # strands may be left
                case monty.FunctionSnapshot():
                    answer = self._host_call(snapshot)
                    if answer is None:
                        return self._block(snapshot)
                    snapshot = snapshot.resume(answer)
                case monty.FutureSnapshot():
                    results = self._futures.deliver(snapshot.pending_call_ids)
                    if not results and not self.pending:
                        results = self._futures.break_deadlock()
                    if not results:
                        return self._block(snapshot)
                    snapshot = snapshot.resume(results)

    def _finished(self, returned: Any) -> Step:
        """:raises ProgramError: what it returned cannot be stored"""
        return Finished(plain_value(returned, self._limits, self.context.frame), self._printed.output)

    def _block(self, snapshot: monty.FunctionSnapshot | monty.FutureSnapshot) -> Step:
        self._blocked = snapshot
        new, self._progress.new = tuple(self._progress.new), []
        return Waiting(new)

    def _deliver(self) -> Step:
        """Go on from where the program waits, if what it waits for is here."""
        snapshot = self._blocked
        if isinstance(snapshot, monty.FunctionSnapshot):
            outcome = self._progress.outcomes.get(self._blocked_on or 0)
            return Waiting(()) if outcome is None else self._advance(snapshot.resume(_settled(outcome)))
        assert isinstance(snapshot, monty.FutureSnapshot)
        return self._advance(snapshot)

    # The host's side: what `_hermod_host` answers; None means that the program must wait.  A hostile program can call
    # it past `hermod`, so nothing about the arguments is taken for granted.

    def _host_call(self, snapshot: monty.FunctionSnapshot) -> monty.ExternalResult | None:
        module, _, name = str(snapshot.function_name).rpartition(".")
        if module != HOST_MODULE:
            return {"exc_type": "NameError", "message": f"name '{snapshot.function_name}' is not defined"}
        arguments = arguments_of(snapshot)
        ahead = name == "call" and len(arguments) == 8 and arguments[-1] is True
        self._crossed[ahead] += weigh(arguments)
        if self._crossed[ahead] > MAX_CROSSING_TOTAL:
            if ahead:
                return {"exc_type": "RuntimeError", "message": "hermod.ahead: too much was handed over"}
            raise ProgramLimitError(
                "the program hands too much to its host, call by call", limit="output_kb",
                expected=f"{MAX_CROSSING_TOTAL} bytes", todo="Hand over less, or in fewer calls.",
            )  # fmt: skip
        match name, arguments:
            case "call" | "call_sync", (function, params, *options):
                try:
                    number = self._make_call(function, params, options, ahead=ahead)
                except InvalidCall as cause:
                    return _raised("RuntimeError" if isinstance(cause, NotAhead) else "ValueError", cause)
                outcome = self._progress.outcomes.get(number)
                end = None if outcome is None else _settled(outcome)
                if name == "call":
                    return self._futures.add(snapshot.call_id, number, end)
                self._blocked_on = number
                return end
            case "functions", ():
                self._lists += 1
                if self._lists > self._limits.calls:  # each takes the host as long as ten calls
                    raise exceeded(self._limits, "calls", self.program.name, what="it listed the functions too often")
                return {"return_value": [spec.resource() for spec in self._registry]}
            case "share_calls", ():
                self._shared.on = True
                return {"return_value": self._limits.tries_ahead}
        wrong = TypeError(f"hermod.{name}: wrong arguments")
        return self._futures.answer(name, arguments, snapshot.call_id) or _raised("TypeError", wrong)

    def _make_call(self, name: Any, params: Any, options: Sequence[Any], *, ahead: bool) -> int:
        """Check a call and note it, or find the earlier one that it is; its number.

        :raises InvalidCall: unknown function, parameters or options that do not fit, a patch of another frame
        :raises ProgramLimitError: one call too many
        :raises NotAhead: it was asked ahead, and is not pure or one too many
        """
        if ahead:
            self._tries_ahead += 1
            if self._tries_ahead > self._limits.tries_ahead:  # it asks past `hermod`, which stops sooner
                raise exceeded(self._limits, "calls", self.program.name, what="it tried too many calls ahead")
            self._shared.check_ahead(self._registry, name)
        if not isinstance(name, str) or name not in self._registry:
            raise unknown_function(self._registry, name)
        said = _call_options(options)
        spec = self._registry.get(name)
        checked = self._checked(spec, params)
        key = self._shared.key(name, checked) if self._shared.on and spec.pure else None
        joined = None if key is None else self._shared.find(key, self._failed)
        if joined is None or (joined in self._shared.untaken and not ahead):
            self._check_limit(ahead)
        if joined is not None:
            if not ahead:
                self._shared.untaken.discard(joined)
            return joined
        number = len(self._progress.calls) + 1
        call = ProgramCall(
            number=number,
            id=self._call_id(name, checked, said.at),
            function=name,
            params=checked,
            site=said.site if said.site in spec.sites else None,  # `find` learns late which function it is
            at=said.at,
            deadline_s=said.deadline_s,
            priority=said.priority,
            away=said.away,
        )
        self._progress.calls[number] = call
        self._progress.new.append(call)
        if key is not None:
            self._shared.add(key, number, ahead=ahead)
        return number

    def _checked(self, spec: FunctionSpec, params: Any) -> dict[str, Any]:
        """:raises InvalidCall: parameters that do not fit, a patch of another frame"""
        checked = spec.check_params(with_handles(params))
        for parameter in spec.image_parameters:
            if checked.get(parameter) is not None:
                check_handle(Handle.model_validate(checked[parameter]), self.context.frame)
                box = [int(v) for v in checked[parameter]["box"]]
                checked[parameter] = {"blob": checked[parameter]["blob"], "box": box}
        return checked

    def _failed(self, number: int) -> bool:
        outcome = self._progress.outcomes.get(number)
        return outcome is not None and outcome.failure is not None

    def _check_limit(self, ahead: bool) -> None:
        """:raises ProgramLimitError: the program's lines made one call too many
        :raises NotAhead: all calls that may be made have been made
        """
        made, limit = len(self._progress.calls), self._limits.calls
        if ahead and made >= limit:
            raise NotAhead("hermod.ahead: too many calls on one frame", expected=f"at most {limit}")
        if not ahead and made - len(self._shared.untaken) >= limit:
            raise exceeded(self._limits, "calls", self.program.name)

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
    if not isinstance(name, str):
        return InvalidCall("hermod.call: a function's name is text", got=type(name).__name__)
    try:
        registry.get(name)
    except Exception as cause:
        return InvalidCall(str(cause))
    return InvalidCall("hermod.call: no such function")


def _bare(error: ProgramError) -> ProgramError:
    """Without what led to it, which would keep alive what was too large."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _raised(kind: monty.ExcType, cause: Exception) -> monty.ExternalExceptionData:
    return {"exc_type": kind, "message": str(cause)}


def _settled(outcome: Outcome) -> monty.ExternalSettledResult:
    if outcome.failure is not None:
        return {"exc_type": outcome.failure.kind, "message": outcome.failure.message}
    return {"return_value": outcome.result}


def _call_options(said: Sequence[Any]) -> CallOptions:
    """:raises InvalidCall: they do not fit"""
    try:
        named = dict(zip(("site", "at", "deadline_s", "priority", "away"), said, strict=False))
        return CallOptions.model_validate({k: v for k, v in named.items() if v is not None}, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidCall(f"hermod.call: {first['loc'][0]}: {first['msg']}") from None
