"""Every function behind its batcher: what MQTT and HTTP hand their calls to.

    with Service(gateway) as service:
        reply = service.submit(request, vehicle="boat-1").result()      # or a DicemError that says why not

A call that arrives twice is computed once, here by sharing what is under way, and between gateways by a claim in the
store that they share.  A call that nobody waits for any more is taken out.  What waits is bounded, in number for each
function and in bytes over all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType

from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, DicemError, Overloaded
from dicem_shared.implementations import Implementation
from dicem_shared.types import Reply, Request

from .batcher import STOPPING_RETRY_S, Batcher, Done, Load
from .gateway import Admitted, Gateway, explained
from .results import Claim, repeated
from .waiting import Bounds, Flow

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.05
"""how often the shared store is asked for what another gateway computes"""
RENEW_S = 5.0
"""after which a claim on a call that is still under way is made again; below the shortest lease that makes sense"""
FULL_RETRY_S = 1.0
OVERHEAD_BYTES = 1000


@dataclass(frozen=True)
class Finished:
    """A call that has ended, for those who count and trace.  One of `reply` and `error` is there."""

    request: Request
    vehicle: str
    reply: Reply | None
    error: DicemError | None
    latency_s: float = 0.0
    """from its arrival here to its end"""
    queue_s: float = 0.0
    compute_s: float = 0.0
    """of its whole batch"""
    batch_size: int = 0
    """0: nothing was computed for it"""


Observer = Callable[[Finished], None]


@dataclass(eq=False)
class _UnderWay:
    """One call that is being answered, and everybody who waits for it."""

    admitted: Admitted
    arrived_s: float
    waiters: list[tuple[Future[Reply], int]] = field(default_factory=list)
    """each with the attempt that he made"""
    computing: Future[Done] | None = None
    elsewhere: bool = False
    """another gateway computes it"""
    claimed: bool = False
    """by us, in the store"""
    ended: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.admitted.scope, self.admitted.request.call_id

    @cached_property
    def size_bytes(self) -> int:
        """What it keeps while it waits, about."""
        request = self.admitted.request
        texts = (request.program, request.reply_topic, request.traceparent, request.frame.clock_source)
        plain = [value for value in self.admitted.params.values() if isinstance(value, str)]
        blobs = sum(OVERHEAD_BYTES + len(blob.data or b"") for blob in request.blobs)
        return OVERHEAD_BYTES + blobs + sum(map(len, (*texts, *plain)))

    def finished(
        self, now_s: float, *, reply: Reply | None = None, error: DicemError | None = None, done: Done | None = None
    ) -> Finished:
        """For the observers."""
        measured = (done.queue_s, done.compute_s, done.batch_size) if done is not None else (0.0, 0.0, 0)
        return Finished(self.admitted.request, self.admitted.vehicle, reply, error, now_s - self.arrived_s, *measured)


class Service:
    """See the module's text; safe to be used by any thread.  A context manager.

    `observers` are told of every call that has ended, on the thread that ended it.
    """

    def __init__(self, gateway: Gateway, *, observers: Sequence[Observer] = ()) -> None:
        self._gateway, self._observers = gateway, tuple(observers)
        self._batchers = {name: self._batcher(one) for name, one in gateway.functions.items()}
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], _UnderWay] = {}
        self._bytes = 0
        self._watching = threading.Condition(self._lock)
        self._stopping = False
        self._watcher = threading.Thread(target=self._watch, name="elsewhere", daemon=True)
        self._stack = ExitStack()

    def _batcher(self, implementation: Implementation) -> Batcher:
        batch, limits = implementation.spec.batch, self._gateway.limits
        bounds = Bounds(batch.max_size, batch.max_wait_s, limits.waiting_calls)
        return Batcher(implementation, bounds, self._gateway.clock, at_once=lambda: implementation.at_once)

    def __enter__(self) -> Service:
        for batcher in self._batchers.values():
            self._stack.enter_context(batcher)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Finish what is being computed, refuse what waits."""
        with self._lock:
            self._stopping = True
            self._watching.notify()
        self._watcher.join()
        with self._lock:
            left = self._watched()
        for call in left:
            self._fail(call, _stopped())
        self._stack.close()

    @property
    def functions(self) -> Mapping[str, Implementation]:
        """What is served, by name."""
        return self._gateway.functions

    @property
    def clock(self) -> Clock:
        """The clock that deadlines are held against."""
        return self._gateway.clock

    def function(self, name: str) -> Implementation:
        """The function of that name.

        :raises UnknownFunction: none is served; says which names come near
        """
        return self._gateway.function(name)

    def loads(self) -> dict[str, Load]:
        """What each function has to do now."""
        return {name: batcher.load() for name, batcher in self._batchers.items()}

    def check(self, request: Request, *, vehicle: str, fleet: str = "") -> None:
        """Pass where `submit` would take such a request now; no database is asked for it.

        :raises DicemError: it would not, and the observers were told
        """
        try:
            call = _UnderWay(self._gateway.admit(request, vehicle, fleet), self.clock.monotonic())
            with self._lock:
                is_twin = call.key in self._under_way
            if not is_twin and self._gateway.results.known(*call.key) is None:
                self._find_place(call)
        except DicemError as error:
            self._observe(Finished(request, vehicle, None, error))
            raise

    def submit(self, request: Request, *, vehicle: str, fleet: str = "") -> Future[Reply]:
        """Answer a request of an authenticated vehicle of a fleet.

        Never raises.  The future raises the DicemError that says why there is no result.  It may be cancelled: once
        nobody waits for a call, it is not computed any more.
        """
        waiter: Future[Reply] = Future()
        self._enter(request, (vehicle, fleet), waiter, self._queue)
        return waiter

    def call(self, request: Request, *, vehicle: str) -> Reply:
        """As `submit`, and wait for it; where the function is idle, it is computed in the caller's thread.

        :raises DicemError: why there is no result
        """
        waiter: Future[Reply] = Future()
        self._enter(request, (vehicle, ""), waiter, self._compute_here)
        return waiter.result()

    def _enter(
        self, request: Request, sender: tuple[str, str], waiter: Future[Reply], run: Callable[[_UnderWay], None]
    ) -> None:
        try:
            call = _UnderWay(self._gateway.admit(request, *sender), self.clock.monotonic())
            joined = self._joined(call, waiter)
        except DicemError as error:
            self._observe(Finished(request, sender[0], None, error))
            _end(waiter, error)
            return
        waiter.add_done_callback(lambda one: self._given_up(joined or call) if one.cancelled() else None)
        if joined is None:
            self._start(call, run, check=True)

    def _start(self, call: _UnderWay, run: Callable[[_UnderWay], None], *, check: bool = False) -> None:
        try:
            if check and not self._is_admitted(call):
                return
            if self._is_ours(call):
                run(call)
        except Exception as error:
            self._fail(call, error)

    # Who else wants it

    def _joined(self, call: _UnderWay, waiter: Future[Reply]) -> _UnderWay | None:
        """The twin that is under way, for which the waiter waits now; None: the call is new.

        :raises Overloaded: too many bytes wait, or we are stopping
        """
        with self._lock:
            if self._stopping:
                raise _stopped()
            twin = self._under_way.get(call.key)
            joined = call if twin is None else twin
            if twin is None:
                if self._under_way and self._bytes + call.size_bytes > self._gateway.limits.waiting_mb * 1_000_000:
                    raise Overloaded("the cloud is busy: too many images wait", retry_after_s=FULL_RETRY_S)
                self._bytes += call.size_bytes
                self._under_way[call.key] = call
            joined.waiters.append((waiter, call.admitted.request.attempt))
        return twin

    def _given_up(self, call: _UnderWay) -> None:
        """One who waited does not any more."""
        with self._lock:
            if not all(waiter.cancelled() for waiter, _ in call.waiters):
                return
            self._forget(call)
        if call.computing is not None and call.computing.cancel():
            self._release(call)

    def _is_admitted(self, call: _UnderWay) -> bool:
        """Whether there is a place for it; no, if it is answered.  Asked before anything is looked up or written: what
        is refused must cost less than what is done.

        :raises CallTimeout: it is too late for it
        :raises Overloaded: its function has no place for it
        """
        known = self._gateway.results.known(*call.key)
        if known is not None:
            self._answer(call, repeated(known, attempt=call.admitted.request.attempt))
            return False
        self._find_place(call)
        return True

    def _find_place(self, call: _UnderWay) -> None:
        """:raises CallTimeout, Overloaded: see `_is_admitted`"""
        request = call.admitted.request
        if request.deadline_utc <= self.clock.utc():
            raise CallTimeout("the deadline passed before the call came", todo="Do the clocks agree?")
        deadline_s = self._deadline_s(request)
        self._batchers[request.function].check(_flow(call.admitted), priority=request.priority, deadline_s=deadline_s)

    def _is_ours(self, call: _UnderWay) -> bool:
        """Whether it is for us to compute; if not, it is answered, or watched until another gateway has answered it."""
        known = self._gateway.results.claim(*call.key)
        with self._lock:
            call.claimed = known is Claim.OURS
            call.elsewhere = known is Claim.ELSEWHERE
            if call.elsewhere and self._stopping:  # nobody watches any more
                raise _stopped()
            if call.elsewhere:
                self._watching.notify()
        if isinstance(known, Reply):
            self._answer(call, repeated(known, attempt=call.admitted.request.attempt))
        return known is Claim.OURS

    # Computing it

    def _queue(self, call: _UnderWay) -> None:
        request = call.admitted.request
        computing = self._batchers[request.function].submit(
            lambda: self._gateway.prepare(call.admitted),
            _flow(call.admitted),
            priority=request.priority,
            deadline_s=self._deadline_s(request),
        )
        with self._lock:
            call.computing = computing
        computing.add_done_callback(lambda future: self._computed(call, future))
        self._given_up(call)  # if all of them went before there was anything to cancel

    def _compute_here(self, call: _UnderWay) -> None:
        request = call.admitted.request
        done = self._batchers[request.function].call(
            lambda: self._gateway.prepare(call.admitted),
            _flow(call.admitted),
            priority=request.priority,
            deadline_s=self._deadline_s(request),
        )
        self._finish(call, done)

    def _deadline_s(self, request: Request) -> float:
        """A request's deadline on the monotonic clock."""
        return self.clock.monotonic() + request.deadline_utc - self.clock.utc()

    # How it ends

    def _computed(self, call: _UnderWay, future: Future[Done]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, Exception):
            self._fail(call, error)
            return
        try:
            self._finish(call, future.result())
        except Exception as unexpected:
            self._fail(call, unexpected)

    def _finish(self, call: _UnderWay, done: Done) -> None:
        share_s = done.compute_s / max(done.batch_size, 1)
        reply = self._gateway.finish(call.admitted, done.work, done.outcome, compute_s=share_s, queue_s=done.queue_s)
        self._answer(call, reply, done)

    def _answer(self, call: _UnderWay, reply: Reply, done: Done | None = None) -> None:
        waiters = self._take_out(call)
        if waiters is None:
            return
        self._observe(call.finished(self.clock.monotonic(), reply=reply, done=done))
        for number, (waiter, attempt) in enumerate(waiters):
            _end(waiter, repeated(reply, attempt=attempt) if number else reply)

    def _fail(self, call: _UnderWay, error: Exception) -> None:
        ours = explained(call.admitted.request.function, error)
        waiters = self._take_out(call)
        if waiters is None:
            return
        if call.claimed:
            self._release(call)
        self._observe(call.finished(self.clock.monotonic(), error=ours))
        for waiter, _ in waiters:
            _end(waiter, ours)

    def _take_out(self, call: _UnderWay) -> list[tuple[Future[Reply], int]] | None:
        """End the call: nobody can join it any more.  Gives those who waited; None: it has ended before."""
        with self._lock:
            if call.ended:
                return None
            call.ended = True
            self._forget(call)
            waiters, call.waiters = call.waiters, []
        return waiters

    def _forget(self, call: _UnderWay) -> None:
        if self._under_way.get(call.key) is call:
            del self._under_way[call.key]
            self._bytes -= call.size_bytes

    def _release(self, call: _UnderWay) -> None:
        try:
            self._gateway.results.release(*call.key)
        except Exception:
            log.exception("a claim could not be released; it runs out by itself")

    def _observe(self, finished: Finished) -> None:
        for observer in self._observers:
            try:
                observer(finished)
            except Exception:
                log.exception("an observer failed")

    # Between gateways

    def _watch(self) -> None:
        """Ask the shared store until the other has answered or given up, and keep our own claims from running out."""
        renewed_s = self.clock.monotonic()
        while True:
            with self._lock:
                if not self._stopping:
                    self._watching.wait(LOOK_AGAIN_S if self._watched() else RENEW_S)
                if self._stopping:
                    return
                watched = self._watched()
                ours = [call for call in self._under_way.values() if not call.elsewhere]
            for call in watched:
                if call.admitted.request.deadline_utc <= self.clock.utc():
                    self._fail(call, CallTimeout("another gateway took the call and did not answer it in time"))
                else:
                    self._start(call, self._queue)
            now_s = self.clock.monotonic()
            if now_s >= renewed_s + RENEW_S:
                renewed_s = now_s
                self._renew([call for call in ours if call.arrived_s <= now_s - RENEW_S])

    def _renew(self, calls: Sequence[_UnderWay]) -> None:
        for call in calls:
            try:
                known = self._gateway.results.claim(*call.key)
            except Exception:
                log.exception("a claim could not be renewed")
                return
            with self._lock:
                ended = self._under_way.get(call.key) is not call
            if ended and known is Claim.OURS:
                self._release(call)
            elif not ended and isinstance(known, Reply):  # another took it over all the same, and was faster
                self._answer(call, repeated(known, attempt=call.admitted.request.attempt))

    def _watched(self) -> list[_UnderWay]:
        return [call for call in self._under_way.values() if call.elsewhere]


def _stopped() -> Overloaded:
    return Overloaded("this gateway is being stopped", retry_after_s=STOPPING_RETRY_S)


def _flow(call: Admitted) -> Flow:
    return Flow(call.scope, call.request.program)


def _end(waiter: Future[Reply], outcome: Reply | Exception) -> None:
    with suppress(Exception):  # cancelled meanwhile: then nobody is told
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)
