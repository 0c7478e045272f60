"""Takes frames, runs the program on each, carries out its calls here or in the cloud, and gives answers.

No threads, no sockets, no clock of its own: an `Executor` does the work of local functions, a `CallTransport` carries
the others; both call back.  On a vehicle these are a thread and MQTT; in `dicem simulate` they are models on a virtual
clock.  All callbacks must come on one thread.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, DicemError, ImageError, InvalidCall
from dicem_shared.ids import answer_id
from dicem_shared.implementations import Implementation, Work
from dicem_shared.observations import observe
from dicem_shared.patches import Patch
from dicem_shared.program import Program
from dicem_shared.runner import Context, Failed, Finished, Interpreter, Outcome, ProgramCall, Run, Waiting
from dicem_shared.transport import CallTransport, Traffic
from dicem_shared.types import Answer, Box, Cost, Failure, Reply, Request, Site, Source

from .shipping import LoadedFrame, Shipper

log = logging.getLogger(__name__)

OnAnswer = Callable[[Answer], None]


class Executor(Protocol):
    """Does local work, one thing after the other, and calls back with what came of it and how long it took."""

    def submit(self, implementation: Implementation, work: Work, on_done: Callable[[Any, float], None]) -> None:
        """Run `implementation` on `work`; `on_done(result or exception, seconds)` comes later, never from inside."""


@dataclass(frozen=True)
class AgentConfig:
    """Who we are and how calls are placed."""

    vehicle: str
    survey: str
    vocabulary: tuple[str, ...]
    placement: Mapping[str, Site]
    """where a function runs if the program does not say"""
    reply_topic: str
    deadline_s: float = 30.0
    """from the frame's stamp; a call that is not answered by then fails"""


@dataclass
class _Task:
    """One run on one frame, and what it took so far."""

    frame: LoadedFrame
    run: Run
    on_answer: OnAnswer
    started: Counter[str] = field(default_factory=Counter)
    sites: set[Site] = field(default_factory=set)
    cached: int = 0
    up: int = 0
    down: int = 0
    cloud_s: float = 0.0
    usd: float = 0.0
    shipped: dict[Box, str] = field(default_factory=dict)
    to_start: deque[ProgramCall] = field(default_factory=deque)
    to_deliver: deque[tuple[int, Outcome]] = field(default_factory=deque)
    in_step: bool = False
    done: bool = False


class Agent:
    """See the module's text."""

    def __init__(
        self,
        config: AgentConfig,
        interpreter: Interpreter,
        functions: Mapping[str, Implementation],
        executor: Executor,
        transport: CallTransport | None,
        shipper: Shipper,
        clock: Clock,
        *,
        local_site: Site = "edge",
    ) -> None:
        self.config, self._interpreter, self._functions = config, interpreter, functions
        self._executor, self._transport, self._shipper, self._clock = executor, transport, shipper, clock
        self._local_site = local_site
        self._queue: deque[tuple[Program, LoadedFrame, OnAnswer]] = deque()
        self._under_way = 0
        self._taking = False

    def submit(self, program: Program, frame: LoadedFrame, on_answer: OnAnswer) -> None:
        """Run `program` on `frame`; `on_answer` comes once, perhaps before this returns.

        Frames beyond what the interpreter runs at once wait for their turn.
        """
        self._queue.append((program, frame, on_answer))
        self._take()

    def _take(self) -> None:
        """Begin what waits, as far as there is room."""
        if self._taking:
            return  # a run has ended at once, in the loop below
        self._taking = True
        try:
            while self._queue and self._under_way < self._interpreter.max_runs:
                program, frame, on_answer = self._queue.popleft()
                context = Context(self.config.vehicle, frame.info, self.config.vocabulary)
                run = self._interpreter.start(program, context)
                self._under_way += 1
                first = run.step.calls if isinstance(run.step, Waiting) else ()
                self._proceed(_Task(frame, run, on_answer, to_start=deque(first)))
        finally:
            self._taking = False

    # One step of a run after the other: start what it asked for, hand it what has ended

    def _proceed(self, task: _Task) -> None:
        task.in_step = True
        step = task.run.step
        while isinstance(step, Waiting) and (task.to_start or task.to_deliver):
            if task.to_start:
                self._start(task, task.to_start.popleft())
            else:
                step = task.run.resume([task.to_deliver.popleft()])
                task.to_start.extend(step.calls if isinstance(step, Waiting) else ())
        task.in_step = False
        if not isinstance(step, Waiting):
            task.done = True
            self._under_way -= 1
            self._shipper.forget(task.frame.info)
            task.on_answer(self._answer(task, step))
            self._take()

    def _settle(self, task: _Task, call: ProgramCall, outcome: Outcome) -> None:
        if task.done:
            return  # withdrawn: the program ended without it
        if outcome.site is not None:
            task.sites.add(outcome.site)
        task.to_deliver.append((call.number, outcome))
        if not task.in_step:
            self._proceed(task)

    def _start(self, task: _Task, call: ProgramCall) -> None:
        task.started[call.function] += 1
        site = call.site or self.config.placement.get(call.function) or self._default_site(call.function)
        try:
            if site == self._local_site:
                self._start_here(task, call)
            else:
                self._start_there(task, call)
        except DicemError as cause:  # a frame that cannot be decoded, a crop that cannot be encoded, a full outbox
            self._settle(task, call, Outcome(failure=failure_of(call.function, cause)))

    def _default_site(self, function: str) -> Site:
        return self._local_site if function in self._functions else "cloud"

    # Here

    def _start_here(self, task: _Task, call: ProgramCall) -> None:
        implementation = self._functions.get(call.function)
        if implementation is None:
            message = f"{call.function} is not served at the {self._local_site}"
            self._settle(task, call, Outcome(failure=Failure(kind="RuntimeError", message=message)))
            return
        whole = task.frame.info.handle.box
        work = Work(
            params=local_params(implementation, call.params, task.frame),
            whole_frame=lambda: open_patch(whole, task.frame),
        )

        def done(result: Any, seconds: float) -> None:
            if self._local_site == "cloud":
                task.cloud_s += seconds
            self._settle(task, call, outcome_of(implementation, work, result, self._local_site))

        self._executor.submit(implementation, work, done)

    # There

    def _start_there(self, task: _Task, call: ProgramCall) -> None:
        if self._transport is None:
            message = f"no way to the cloud, where {call.function} runs"
            self._settle(task, call, Outcome(failure=Failure(kind="RuntimeError", message=message)))
            return
        spec = self._interpreter.registry.get(call.function)
        request = Request(
            call_id=call.id,
            vehicle=self.config.vehicle,
            program=task.run.program.id,
            frame=task.frame.info,
            function=call.function,
            params=call.params,
            blobs=self._shipper.pack(task.frame, call.params, spec.image_parameters),
            deadline_utc=task.frame.info.t_utc + (call.deadline_s or self.config.deadline_s),
            priority=call.priority,
            reply_topic=self.config.reply_topic,
        )
        self._send(task, call, request)
        for blob in request.blobs:
            task.shipped[blob.source.box] = blob.blob

    def _send(self, task: _Task, call: ProgramCall, request: Request) -> None:
        def replied(reply: Reply, traffic: Traffic) -> None:
            task.up += traffic.up
            task.down += traffic.down
            task.cloud_s += reply.compute_s
            task.usd += reply.price_usd
            task.cached += reply.cached
            outcome = self._checked(call, reply)
            if reply.failure is not None and reply.failure.blob_missing and request.attempt == 1 and not task.done:
                try:
                    blobs = self._shipper.repack(task.frame, request.blobs)
                    self._send(task, call, request.model_copy(update={"attempt": 2, "blobs": blobs}))
                    return
                except DicemError as cause:
                    outcome = Outcome(failure=failure_of(call.function, cause))
            self._settle(task, call, outcome)

        assert self._transport is not None
        self._transport.send(request, replied)
        self._shipper.mark_sent(request.blobs)

    def _checked(self, call: ProgramCall, reply: Reply) -> Outcome:
        """What the cloud says, held against the schema: a program gets what it was promised, or a failure."""
        if reply.failure is not None:
            return Outcome(failure=reply.failure, site=reply.site)
        try:
            result = self._interpreter.registry.get(call.function).check_result(reply.result)
        except DicemError as cause:
            return Outcome(failure=Failure(kind="RuntimeError", message=str(cause)), site=reply.site)
        return Outcome(result=result, model=reply.model, site=reply.site)

    # The answer

    def _answer(self, task: _Task, step: Finished | Failed) -> Answer:
        info, run = task.frame.info, task.run
        made = run.calls
        id_ = answer_id(
            survey=self.config.survey, vehicle=self.config.vehicle, camera=info.camera, frame=info.blob,
            sequence=info.sequence,
            program=run.program.id,
        )  # fmt: skip
        return Answer(
            id=id_,
            survey_id=self.config.survey,
            vehicle=self.config.vehicle,
            camera=info.camera,
            frame=info.sequence,
            program_id=run.program.id,
            status="final" if isinstance(step, Finished) else "failed",
            source=source_of(task.sites, task.cached, task.started.total(), self._local_site),
            reason="" if isinstance(step, Finished) else str(step.error),
            t_utc=info.t_utc,
            t_unc_s=info.t_unc_s,
            clock_source=info.clock_source,
            value=step.value if isinstance(step, Finished) else None,
            printed=step.printed,
            observations=observe(id_, info, made, run.outcomes, task.shipped),
            latency_s=max(0.0, self._clock.utc() - info.t_utc),
            cost=Cost(
                bytes_up=task.up, bytes_down=task.down, cloud_s=task.cloud_s, usd=task.usd, calls=dict(task.started)
            ),
        )


def source_of(sites: set[Site], cached: int, calls: int, local: Site) -> Source:
    """Where an answer came from."""
    if cached and cached == calls:
        return "cached"
    if len(sites) > 1:
        return "mixed"
    return next(iter(sites), local)


def local_params(implementation: Implementation, params: dict[str, Any], frame: LoadedFrame) -> dict[str, Any]:
    """The parameters of a call with its handles opened."""
    opened = dict(params)
    for name in implementation.spec.image_parameters:
        if opened.get(name) is not None:
            opened[name] = open_patch(opened[name]["box"], frame)
    return opened


def open_patch(box: Sequence[int], frame: LoadedFrame) -> Patch:
    """The pixels of a box of a frame that lies here."""
    x, y, width, height = box
    return Patch(frame.pixels[y : y + height, x : x + width], (x, y, width, height), frame.info)


def outcome_of(implementation: Implementation, work: Work, result: Any, site: Site) -> Outcome:
    """What a local function gave, in the terms of a run."""
    if isinstance(result, Exception):
        return Outcome(failure=failure_of(implementation.spec.name, result), site=site)
    try:
        checked = implementation.spec.check_result(result)
    except DicemError as cause:  # the function's fault, not the caller's
        return Outcome(failure=Failure(kind="RuntimeError", message=str(cause)), site=site)
    return Outcome(result=checked, model=implementation.model_for(work), site=site)


def failure_of(function: str, error: Exception) -> Failure:
    """Why a call has no result, as the gateway would put it: a program cannot tell from it where the call ran."""
    if not isinstance(error, DicemError):
        log.error("%s failed", function, exc_info=error)
        return Failure(kind="RuntimeError", message=f"{function} failed ({type(error).__name__})")
    kind: Literal["RuntimeError", "TimeoutError", "ValueError"] = "RuntimeError"
    if isinstance(error, (InvalidCall, ImageError)):
        kind = "ValueError"
    elif isinstance(error, CallTimeout):
        kind = "TimeoutError"
    return Failure(kind=kind, message=str(error))
