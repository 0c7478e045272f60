"""`dicem edge`: read a source in real time, run the program on each frame, keep and send the answers.

One thread runs the agent; it takes its work from one queue.  A second thread computes local functions, a third is the
connection's; both only post to that queue.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dicem_shared.catalog import catalog
from dicem_shared.clock import Clock, SystemClock
from dicem_shared.implementations import Implementation, Work
from dicem_shared.program import Program, load_program
from dicem_shared.recording import RecordedFrame, Recording
from dicem_shared.resources import need
from dicem_shared.runner import Interpreter
from dicem_shared.types import Answer

from .agent import Agent, AgentConfig
from .answers import AnswerStore
from .config import EdgeConfig
from .deployed import Deployments
from .functions import EdgeFunctions, build_edge
from .patience import Patience
from .shipping import LoadedFrame, Shipper
from .uplink import Uplink

log = logging.getLogger(__name__)

Action = Callable[[], None]
TICK_S = 0.5
DRAIN_S = 5.0
"""After the last answer, so long is the broker given to take what is on its way."""


@dataclass
class Tally:
    """What happened, for the last line."""

    frames: int = 0
    answers: int = 0
    failed: int = 0
    missed: int = 0
    skipped: int = 0
    unsent: int = 0


class ThreadExecutor:
    """Runs local functions on one thread, one after the other."""

    def __init__(self, post: Callable[[Action], None]) -> None:
        self._post = post
        self._work: queue.Queue[tuple[Implementation, Work, Callable[[Any, float], None]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="functions", daemon=True)
        self._thread.start()

    def submit(self, implementation: Implementation, work: Work, on_done: Callable[[Any, float], None]) -> None:
        """See `dicem_edge.agent.Executor`."""
        self._work.put((implementation, work, on_done))

    def close(self) -> None:
        """Finish the call under way and stop."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            implementation, work, on_done = job
            started = time.monotonic()
            try:
                (result,) = implementation.run([work])
            except Exception as cause:
                log.exception("%s failed", implementation.spec.name)
                result = cause
            seconds = time.monotonic() - started
            self._post(partial(on_done, result, seconds))


class Daemon:
    """See the module's text."""

    def __init__(self, config: EdgeConfig, *, on_answer: Callable[[Answer], None] = lambda _: None) -> None:
        self.config, self._on_answer = config, on_answer
        self._inbox: queue.Queue[Action] = queue.Queue()
        self._clock: Clock = SystemClock()
        self._stop = threading.Event()
        self.tally = Tally()
        self._under_way = 0
        """answers that frames still owe us"""
        limits = config.limits.program
        self._patience = Patience(self._clock, too_long_s=min(limits.cpu_s, limits.wall_s) / 2)
        paths = [need(name, "program", "configs/programs", suffix=".py") for name in (config.program, *config.programs)]
        self.programs: list[Program] = list({p.id: p for p in map(load_program, paths)}.values())

    def stop(self) -> None:
        """End after the frames under way; may be called from a signal handler."""
        self._stop.set()

    def run(self, recording: Recording, *, rate: float = 1.0) -> Tally:
        """Play a recording in real time (`rate` times as fast) and answer it.

        Frames are stamped anew, so that deadlines and latencies mean what they say.

        :raises DicemError: no broker, no program, no model
        """
        config = self.config
        functions = build_edge(config, can_range=recording.can_range)
        store = AnswerStore(Path(config.answers))
        deployments = Deployments(
            config.deploy, fleet=config.fleet, vehicle=config.vehicle, functions=catalog(), clock=self._clock
        )

        def deployed(name: str, payload: bytes) -> None:
            if report := deployments.take(name, payload):
                log.info("deployed program %s: %s %s", name, report.state, report.reason)
                uplink.report(report)

        def tell_all() -> None:
            for report in deployments.reports():
                uplink.report(report)

        uplink = Uplink(
            config.broker,
            fleet=config.fleet,
            vehicle=config.vehicle,
            clock=self._clock,
            post=self._inbox.put,
            window=config.limits.calls_under_way,
            message_bytes=config.limits.message_bytes,
            on_deploy=deployed if deployments.is_open else None,
            on_connected=tell_all,
        )
        executor = ThreadExecutor(self._inbox.put)
        try:
            uplink.open()
            with Interpreter(catalog(), config.limits.program) as interpreter:
                agent = self._agent(interpreter, functions, executor, uplink)
                self._play(recording, rate, agent, uplink, store, deployments)
        finally:
            self.tally.unsent = uplink.unsent + uplink.refused
            self.tally.skipped = len(recording.skipped)
            uplink.close()
            executor.close()
            store.close()
            deployments.close()
        return self.tally

    def _agent(
        self, interpreter: Interpreter, functions: EdgeFunctions, executor: ThreadExecutor, uplink: Uplink
    ) -> Agent:
        config = self.config
        identity = AgentConfig(
            vehicle=config.vehicle,
            survey=config.survey,
            vocabulary=functions.vocabulary,
            placement=config.placement,
            away=config.away,
            reply_topic=uplink.reply_topic,
            deadline_s=config.limits.deadline_s,
        )
        shipper = Shipper(config.shipping)
        return Agent(identity, interpreter, functions.functions, executor, uplink, shipper, self._clock)

    def _play(
        self, recording: Recording, rate: float, agent: Agent, uplink: Uplink, store: AnswerStore,
        deployments: Deployments,
    ) -> None:  # fmt: skip
        frames = self._paced(recording, rate)
        following = next(frames, None)
        next_tick = self._clock.monotonic() + TICK_S
        last_answer = self._clock.monotonic()
        while following is not None or self._under_way or (uplink.unsent and uplink.is_up):
            now = self._clock.monotonic()
            if following is not None or self._under_way:
                last_answer = now
            elif now > last_answer + DRAIN_S:
                return  # what the broker has not taken by now is told of in the last line
            if now >= next_tick:
                uplink.tick()
                agent.stop_overdue()
                for report in deployments.review():
                    uplink.report(report)
                next_tick = now + TICK_S
            if not uplink.reachable:
                agent.cloud_away()
            if following is not None and self._stop.is_set():
                following = None
            if following is not None and now >= following[0]:
                is_stale = now - following[0] > self.config.limits.deadline_s  # it waited longer than a call may
                wanted = [] if is_stale else deployments.programs(self.programs)
                self._offer(agent, following[1], uplink, store, wanted)
                following = next(frames, None)
                self._take_what_is_there()
                continue
            wake = min(next_tick, following[0] if following else next_tick)
            self._take_one(max(0.0, wake - now))

    def _take_one(self, timeout_s: float) -> None:
        try:
            action = self._inbox.get(timeout=timeout_s) if timeout_s else self._inbox.get_nowait()
        except queue.Empty:
            return
        self._patience.begin()
        action()

    def _take_what_is_there(self) -> None:
        """Results and orders do not wait until there is no frame: there may always be one."""
        for _ in range(self._inbox.qsize()):
            self._take_one(0.0)

    def _paced(self, recording: Recording, rate: float) -> Iterator[tuple[float, RecordedFrame]]:
        """Each frame with the monotonic moment at which it is due."""
        start: float | None = None
        begin = self._clock.monotonic()
        for frame in recording.frames():
            start = frame.info.t_utc if start is None else start
            yield begin + (frame.info.t_utc - start) / rate, frame

    def _offer(
        self, agent: Agent, frame: RecordedFrame, uplink: Uplink, store: AnswerStore, programs: list[Program]
    ) -> None:
        self.tally.frames += 1
        if self._under_way >= self.config.limits.frames_waiting * len(programs):
            self.tally.missed += 1
            return
        programs = self._patience.choose(programs)
        self._under_way += len(programs)

        def answered(program: Program, answer: Answer) -> None:
            self._patience.ended(program, failed=answer.status == "failed")
            self._under_way -= 1
            self.tally.answers += 1
            self.tally.failed += answer.status == "failed"
            store.put(answer)
            uplink.publish(answer)
            self._on_answer(answer)

        info = frame.info.model_copy(update={"t_utc": self._clock.utc(), "clock_source": "system", "t_unc_s": 0.0})
        loaded = LoadedFrame(info, frame.data)
        for program in programs:
            self._patience.begin()
            agent.submit(program, loaded, partial(answered, program))
