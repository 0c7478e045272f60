"""Takes frames, runs the program on each, carries out its calls here or in the cloud, and gives answers.

No threads, no sockets, no clock of its own: an `Executor` does the work of local functions, a `CallTransport` carries
the others; both call back.  On a vehicle these are a thread and MQTT; in `dicem simulate` they are models on a virtual
clock.  All callbacks must come on one thread.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dicem_shared import messages
from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, DicemError, ImageError, InvalidCall
from dicem_shared.ids import answer_id, traceparent
from dicem_shared.implementations import Implementation, Work
from dicem_shared.observations import observe
from dicem_shared.patches import Patch
from dicem_shared.program import Program
from dicem_shared.runner import Context, Failed, Finished, Interpreter, Outcome, ProgramCall, Waiting
from dicem_shared.transport import CallTransport, Traffic
from dicem_shared.types import Answer, Cost, Failure, Reply, Request, Site, Source, WhenAway

from .asked import Asked, OnAnswer, Questions, Task, copy_of
from .shipping import LoadedFrame, Shipper
from .spending import Prices, overspent, refusal

UNLIMITED = 2**62
"""Bytes of a message that is only measured; the transport has its own limit."""
Alarm = Callable[[float, Callable[[], None]], None]
"""Calls the function so many seconds later."""

log = logging.getLogger(__name__)


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
    away: Mapping[str, WhenAway] = field(default_factory=dict)
    """what to do with a function's calls while the cloud cannot be reached, if the program does not say; else wait"""


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
        alarm: Alarm = lambda _seconds, _action: None,
    ) -> None:
        """`alarm`: who calls `stop_overdue` often enough needs none."""
        self.config, self._interpreter, self._functions = config, interpreter, functions
        self._executor, self._transport, self._shipper, self._clock = executor, transport, shipper, clock
        self._local_site, self._alarm = local_site, alarm
        self._queue: deque[tuple[Program, LoadedFrame, OnAnswer]] = deque()
        self._under_way: list[Task] = []
        self._prices = Prices()
        self._taking = False
        self._questions = Questions()
        self._there: list[Asked] = []
        """what the other site was asked and has not answered"""

    def submit(self, program: Program, frame: LoadedFrame, on_answer: OnAnswer) -> None:
        """Run `program` on `frame`; `on_answer` comes once, perhaps before this returns.

        Frames beyond what the interpreter runs at once wait for their turn.  What several programs ask of one frame is
        asked once, as long as one of them is under way or waits.
        """
        self._questions.begin(frame.info)
        self._queue.append((program, frame, on_answer))
        self._take()

    def cloud_away(self) -> None:
        """The cloud cannot be reached: what it was asked is done now as the plan says.  Harmless if said again."""
        for asked in [a for a in self._there if not a.moved and a.wanted]:
            if self._may_stand_in(asked.call):
                asked.moved = True
                self._begin(asked, self._local_site)
            elif self._away(asked.call) == "fail":
                self._end(asked, self._out_of_reach(asked.call))

    def stop_overdue(self) -> None:
        """End the runs that have taken longer than `limits.wall_s`.  Call it now and then; more often does no harm."""
        now = self._clock.monotonic()
        for task in [task for task in self._under_way if now >= task.due]:
            self._stop(task, "wall_s")

    def _take(self) -> None:
        """Begin what waits, as far as there is room."""
        if self._taking:
            return  # a run has ended at once, in the loop below
        self._taking = True
        try:
            while self._queue and len(self._under_way) < self._interpreter.max_runs:
                program, frame, on_answer = self._queue.popleft()
                context = Context(self.config.vehicle, frame.info, self.config.vocabulary)
                wall_s = self._interpreter.limits.wall_s
                due = self._clock.monotonic() + wall_s
                run = self._interpreter.start(program, context)
                first = run.step.calls if isinstance(run.step, Waiting) else ()
                task = Task(frame, run, on_answer, due, to_start=deque(first))
                self._under_way.append(task)
                self._alarm(wall_s, self.stop_overdue)
                self._proceed(task)
        finally:
            self._taking = False

    # One step of a run after the other: start what it asked for, hand it what has ended

    def _proceed(self, task: Task) -> None:
        task.in_step = True
        while not task.done and (task.to_start or task.to_deliver):
            if self._clock.monotonic() >= task.due:
                task.run.stop("wall_s")
            elif task.to_start:
                self._start(task, task.to_start.popleft())
            else:
                step = task.run.resume([task.to_deliver.popleft()], within_s=self._seconds_left(task))
                task.to_start.extend(step.calls if isinstance(step, Waiting) else ())
        task.in_step = False
        step = task.run.step
        if not isinstance(step, Waiting) and not task.answered:
            task.answered = True
            self._under_way.remove(task)
            if self._questions.end(task.frame.info):
                self._shipper.forget(task.frame.info)
            task.on_answer(self._answer(task, step))
            self._take()

    def _seconds_left(self, task: Task) -> float:
        """How long it may compute now; where computing takes no time there is no end to it."""
        return task.due - self._clock.monotonic() if self._clock.real else math.inf

    def _stop(self, task: Task, limit: str, got: str = "") -> None:
        """The run has gone over a limit: it ends, and what it still waits for is nobody's."""
        task.run.stop(limit, got=got)
        if not task.in_step:
            self._proceed(task)

    def _settle(self, task: Task, call: ProgramCall, outcome: Outcome) -> None:
        if outcome.site is not None:
            task.sites.add(outcome.site)
        task.to_deliver.append((call.number, outcome))
        if not task.in_step:
            self._proceed(task)

    def _start(self, task: Task, call: ProgramCall) -> None:
        site, moved = self._site(call)
        pure = self._interpreter.registry.get(call.function).pure
        asked, known = self._questions.ask(task, call, site, pure=pure)
        if not known:
            asked.moved = moved
            task.started[call.function] += 1
            self._begin(asked, site)
        elif asked.outcome is not None:
            task.shared[call.number] = call.function
            self._settle(task, call, copy_of(asked.outcome))

    def _begin(self, asked: Asked, site: Site) -> None:
        try:
            if site == self._local_site:
                self._start_here(asked)
            else:
                self._start_there(asked)
        except DicemError as cause:  # a frame that cannot be decoded, a crop that cannot be encoded, a full outbox
            self._end(asked, Outcome(failure=failure_of(asked.call.function, cause)))

    def _end(self, asked: Asked, outcome: Outcome) -> None:
        """The call has ended: tell all who wait for it."""
        if asked.outcome is not None:
            return  # the other site was quicker
        if asked in self._there:
            self._there.remove(asked)
        if outcome.failure is not None:
            self._questions.forget(asked)
        stood_in = asked.moved and outcome.site == self._local_site
        for task, call, given in asked.deliver(outcome):
            if stood_in:
                task.stood_in.add(call.function)
            if not task.done:  # it may have ended when the one before it was told
                self._settle(task, call, given)

    # Where

    def _site(self, call: ProgramCall) -> tuple[Site, bool]:
        """Where a call goes, as its program says, else the config, else here if it is served here; and whether it goes
        here because the other site is out of reach.

        An equivalent function that is not served where it should go is asked at the other site.
        """
        local, served = self._local_site, call.function in self._functions
        site = call.site or self.config.placement.get(call.function) or (local if served else "cloud")
        if site == local:
            elsewhere = not served and self._transport is not None and self._is_equivalent(call)
            return ("cloud" if elsewhere else site), False
        if local == "cloud":
            return (local if served and self._is_equivalent(call) else site), False
        away = self._transport is None or not self._transport.reachable
        return (local, True) if away and self._may_stand_in(call) else (site, False)

    def _away(self, call: ProgramCall) -> WhenAway:
        """What the plan says of a call whose site cannot be reached."""
        return call.away or self.config.away.get(call.function, "wait")

    def _may_stand_in(self, call: ProgramCall) -> bool:
        return self._away(call) == "edge" and call.function in self._functions and self._is_equivalent(call)

    def _is_equivalent(self, call: ProgramCall) -> bool:
        return self._interpreter.registry.get(call.function).equivalent

    @staticmethod
    def _out_of_reach(call: ProgramCall) -> Outcome:
        message = f"{call.function}: the cloud cannot be reached before the deadline"
        return Outcome(failure=Failure(kind="TimeoutError", message=message))

    # Here

    def _start_here(self, asked: Asked) -> None:
        call, frame = asked.call, asked.payer.frame
        implementation = self._functions.get(call.function)
        if implementation is None:
            message = f"{call.function} is not served at the {self._local_site}"
            self._end(asked, Outcome(failure=Failure(kind="RuntimeError", message=message)))
            return
        whole = frame.info.handle.box
        work = Work(
            params=local_params(implementation, call.params, frame),
            whole_frame=lambda: open_patch(whole, frame),
        )

        def done(result: Any, seconds: float) -> None:
            if self._local_site == "cloud":
                asked.payer.cloud_s += seconds
            self._end(asked, outcome_of(implementation, work, result, self._local_site))

        self._executor.submit(implementation, work, done)

    # There

    def _start_there(self, asked: Asked) -> None:
        call = asked.call
        if self._transport is None:
            message = f"no way to the cloud, where {call.function} runs"
            self._end(asked, Outcome(failure=Failure(kind="RuntimeError", message=message)))
            return
        if not self._transport.reachable and self._away(call) == "fail":
            self._end(asked, self._out_of_reach(call))
            return
        while asked.wanted:
            request = self._request(asked)
            task = asked.payer
            if self._send(asked, request):
                self._there.append(asked)
                for blob in request.blobs:
                    task.shipped[blob.source.box] = blob.blob
                return
        self._questions.forget(asked)  # nobody could pay for it

    def _request(self, asked: Asked) -> Request:
        """The call as it leaves for the other site.

        :raises ImageError: its pixels cannot be cut, encoded or redacted
        """
        call, task = asked.call, asked.payer
        spec = self._interpreter.registry.get(call.function)
        return Request(
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
            traceparent=traceparent(self._answer_id(task)),
        )

    def _send(self, asked: Asked, request: Request) -> bool:
        """Send it, or end the run that would pay for it and cannot.

        :raises DicemError: the transport does not take it
        """
        payer, limits = asked.payer, self._interpreter.limits
        size = len(messages.encode(request, limit=UNLIMITED))
        price = self._prices.of(request.function)
        refused = refusal(payer.spending, limits, size, price)
        if refused is not None:
            self._stop(payer, *refused)
            return False

        def replied(reply: Reply, traffic: Traffic) -> None:
            payer.spending.expected_usd -= price
            self._prices.learn(request.function, reply.price_usd)
            self._account(asked.payer, reply, traffic)
            outcome = self._checked(asked.call, reply)
            missing = reply.failure is not None and reply.failure.blob_missing is not None
            if missing and request.attempt == 1:
                try:
                    if self._send_again(asked, request):
                        return
                except DicemError as cause:
                    outcome = Outcome(failure=failure_of(asked.call.function, cause))
            self._end(asked, outcome)

        assert self._transport is not None
        self._transport.send(request, replied)
        payer.spending.up += size
        payer.spending.expected_usd += price
        self._shipper.mark_sent(request.blobs)
        return True

    def _send_again(self, asked: Asked, request: Request) -> bool:
        """Once more with all pixels, as the cloud lacks some; False if nobody wants it or can pay for it."""
        while asked.wanted:
            blobs = self._shipper.repack(asked.payer.frame, request.blobs)
            if self._send(asked, request.model_copy(update={"attempt": 2, "blobs": blobs})):
                return True
        return False

    def _account(self, task: Task, reply: Reply, traffic: Traffic) -> None:
        """Write down what a call took; a run that has cost too much ends."""
        task.up += traffic.up
        task.down += traffic.down
        task.cloud_s += reply.compute_s
        task.spending.usd += reply.price_usd
        task.cached += reply.cached
        too_much = overspent(task.spending, self._interpreter.limits)
        if too_much and not task.done:
            self._stop(task, "usd", too_much)

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

    def _answer_id(self, task: Task) -> str:
        info = task.frame.info
        return answer_id(
            survey=self.config.survey, vehicle=self.config.vehicle, camera=info.camera, frame=info.blob,
            sequence=info.sequence, program=task.run.program.id,
        )  # fmt: skip

    def _answer(self, task: Task, step: Finished | Failed) -> Answer:
        info, run = task.frame.info, task.run
        made, id_ = run.calls, self._answer_id(task)
        return Answer(
            id=id_,
            survey_id=self.config.survey,
            vehicle=self.config.vehicle,
            camera=info.camera,
            frame=info.sequence,
            program_id=run.program.id,
            status="final" if isinstance(step, Finished) else "failed",
            source=source_of(task.sites, task.cached, task.started.total(), self._local_site),
            reason=stood_in(task) if isinstance(step, Finished) else str(step.error),
            t_utc=info.t_utc,
            t_unc_s=info.t_unc_s,
            clock_source=info.clock_source,
            value=step.value if isinstance(step, Finished) else None,
            printed=step.printed,
            observations=observe(id_, info, made, run.outcomes, task.shipped, reported=frozenset(task.shared)),
            latency_s=max(0.0, self._clock.utc() - info.t_utc),
            cost=Cost(
                bytes_up=task.up,
                bytes_down=task.down,
                cloud_s=task.cloud_s,
                usd=task.spending.usd,
                calls=dict(task.started),
                shared=dict(Counter(task.shared.values())),
            ),
        )


def stood_in(task: Task) -> str:
    """What an answer says where functions on board took the place of the cloud's."""
    names = sorted(task.stood_in)
    return f"the cloud was out of reach: {', '.join(names)} on board instead" if names else ""


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
