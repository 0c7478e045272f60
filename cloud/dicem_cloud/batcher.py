"""One function's calls, put together into batches on threads of their own.

    with Batcher(implementation, Bounds(max_batch=8, max_wait_s=0.01), SystemClock()) as batcher:
        done = batcher.submit(lambda: work, Flow("boat-1"), priority=5, deadline_s=clock.monotonic() + 30).result()

Whoever asks gets a future of his own: a result, or why there is none.  A bad item fails alone, a cancelled one gives
its place back, one past its deadline is not computed, and what is too much is refused at once (`waiting.py` decides).

What waits is kept as it came; it is decoded by the lane (a thread) that takes it.  Beside the lanes that compute there
are as many that are ahead: each takes the next batch once that is full, and decodes it while the device is busy.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, Overloaded
from dicem_shared.implementations import Implementation, Work, run_batch

from .device import held_seconds
from .waiting import Bounds, Flow, State, Ticket, Waiting

log = logging.getLogger(__name__)

STOPPING_RETRY_S = 1.0
MIN_RETRY_S = 0.05


@dataclass(frozen=True)
class Done:
    """How a call ended whose turn came."""

    outcome: Any | Exception
    """what the implementation gave for it, not held against any schema yet"""
    work: Work | None
    """what it was asked; None: that could not be read"""
    queue_s: float
    """from its arrival to the start of its batch"""
    compute_s: float
    """of the whole batch: for as long as it held a device, or ran where it holds none"""
    batch_size: int


@dataclass(frozen=True)
class Load:
    """What a function has to do."""

    waiting: int
    """calls"""
    running: int
    """batches that were taken and have not ended"""
    oldest_s: float
    """for how long the first of the calls has waited"""
    expected_wait_s: float
    """until a call of the usual priority that came now would have its result"""


Prepare = Callable[[], Work]
"""Reads a call's arguments; raises DicemError where they cannot be read."""


class _Computed(NamedTuple):
    """How a batch ended."""

    outcomes: list[Any | Exception]
    billed_s: float
    """for as long as it held a device, or ran where it holds none"""
    wall_s: float | None
    """None: there was nothing to compute"""


@dataclass(frozen=True)
class _Call:
    prepare: Prepare
    future: Future[Done]


class Batcher:
    """See the module's text; safe to be used by any thread.  A context manager.

    `at_once`: how many batches the implementation is given at the same time; asked again each time.  `ahead`: how many
    more are taken and read meanwhile; left out: as many.
    """

    def __init__(
        self,
        implementation: Implementation,
        bounds: Bounds,
        clock: Clock,
        *,
        at_once: Callable[[], int] = lambda: 1,
        ahead: int | None = None,
    ) -> None:
        self.implementation = implementation
        self._clock, self._at_once, self._ahead = clock, at_once, ahead
        self._waiting = Waiting[_Call](implementation.spec.name, bounds)
        self._lock = threading.Lock()
        self._arrived, self._freed = threading.Condition(self._lock), threading.Condition(self._lock)
        self._lanes: list[threading.Thread] = []
        self._idle = 0
        self._computing = 0
        self._line: deque[object] = deque()
        """lanes that wait for a place"""
        self._begun = 0
        """batches"""
        self._stopping = False

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Finish the batches under way; what waits behind them is refused, and its sender tries elsewhere."""
        with self._lock:
            self._stopping = True
            left = self._waiting.drain()
            self._arrived.notify_all()
            lanes = list(self._lanes)
        self._refuse(left, f"{self._waiting.name} is being stopped", STOPPING_RETRY_S)
        for lane in lanes:
            lane.join()

    def load(self) -> Load:
        """What there is to do now."""
        with self._lock:
            return Load(
                waiting=len(self._waiting),
                running=self._waiting.running,
                oldest_s=self._waiting.oldest_s(self._clock.monotonic()),
                expected_wait_s=self._waiting.expected_wait_s(5),
            )

    def check(self, flow: Flow, *, priority: int = 5, deadline_s: float) -> None:
        """Pass where `submit` would take such a call now: to be asked before anything is done for it.

        :raises Overloaded: see `submit`
        """
        with self._lock:
            self._waiting.at_once = self._places()
            self._waiting.check(flow, priority=priority, deadline_s=deadline_s, now_s=self._clock.monotonic())

    def submit(self, prepare: Prepare, flow: Flow, *, priority: int = 5, deadline_s: float) -> Future[Done]:
        """Queue a call; `deadline_s` is on the clock's monotonic time.

        The future raises Overloaded if the call had to make room for others, and CallTimeout if its turn did not come
        in time.  Cancelling it before its batch begins takes it out.

        :raises Overloaded: there is no room for it, or it could not be in time
        """
        call = _Call(prepare, Future())
        with self._lock:
            if self._stopping:
                raise Overloaded(f"{self._waiting.name} is being stopped", retry_after_s=STOPPING_RETRY_S)
            self._waiting.at_once = self._places()
            ticket, displaced = self._waiting.offer(
                call, flow, priority=priority, deadline_s=deadline_s, now_s=self._clock.monotonic()
            )
            self._wake()
        call.future.add_done_callback(lambda future: self._given_up(ticket) if future.cancelled() else None)
        for one in displaced:
            if one.state is State.EXPIRED:
                _fail(one.item.future, self._too_late())
            else:
                self._refuse([one], f"{self._waiting.name} is busy: calls that matter more came in")
        return call.future

    def call(self, prepare: Prepare, flow: Flow, *, priority: int = 5, deadline_s: float) -> Done:
        """As `submit`, and wait for it.  Where there is nothing to wait for, it is computed in the caller's thread.

        :raises Overloaded: see `submit`
        :raises CallTimeout: its turn did not come in time
        """
        with self._lock:
            free = not (self._stopping or len(self._waiting) or self._waiting.running or self._waiting.wants_company)
            if free:
                self._waiting.running += 1
                self._computing += 1
        if not free:
            return self.submit(prepare, flow, priority=priority, deadline_s=deadline_s).result()
        computed = _Computed([], 0.0, None)
        try:
            work = _read(prepare)
            computed = self._compute([work] if isinstance(work, Work) else [])
        finally:  # the caller's own thread: it may be interrupted
            self._end(computed.wall_s)
        if isinstance(work, Work):
            return Done(computed.outcomes[0], work, 0.0, computed.billed_s, 1)
        return Done(work, None, 0.0, 0.0, 1)

    def _given_up(self, ticket: Ticket[_Call]) -> None:
        with self._lock:
            self._waiting.cancel(ticket)

    def _refuse(self, tickets: Sequence[Ticket[_Call]], what: str, retry_s: float | None = None) -> None:
        for ticket in tickets:
            with self._lock:
                wait_s = self._waiting.expected_wait_s(ticket.priority) if retry_s is None else retry_s
            _fail(ticket.item.future, Overloaded(what, retry_after_s=max(wait_s, MIN_RETRY_S)))

    # The lanes' side

    def _places(self) -> int:
        """Batches that may be computed at the same time."""
        return max(1, self._at_once())

    def _more(self) -> int:
        """Batches that may be read ahead of them."""
        return self._places() if self._ahead is None else self._ahead

    def _wake(self) -> None:
        """Have a lane look at what came; there are no more of them than are needed."""
        if self._idle:
            self._arrived.notify()
        elif len(self._lanes) < self._places() + self._more():
            name = f"{self._waiting.name}-{len(self._lanes)}"
            self._lanes.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._lanes[-1].start()

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            batch, late = taken
            for ticket in late:
                _fail(ticket.item.future, self._too_late())
            if batch:
                self._run(batch)

    def _next(self) -> tuple[list[Ticket[_Call]], list[Ticket[_Call]]] | None:
        """Wait until a batch is due and take it; None at the end."""
        with self._lock:
            while not self._stopping:
                now_s = self._clock.monotonic()
                due_s = self._due_s(now_s)
                if due_s <= now_s:
                    taken = self._waiting.take(now_s)
                    if len(self._waiting):
                        self._wake()
                    return taken
                self._idle += 1
                self._arrived.wait(min(due_s - now_s, threading.TIMEOUT_MAX))
                self._idle -= 1
        return None

    def _due_s(self, now_s: float) -> float:
        """When the next batch should be taken.  Ahead of a free place, only a full one: one that is not may still grow
        while it waits."""
        free = self._places() - self._waiting.running
        if free > 0:
            return self._waiting.due_s(now_s)
        return now_s if free + self._more() > 0 and self._waiting.is_full else float("inf")

    def _run(self, batch: list[Ticket[_Call]]) -> None:
        """From tickets to results."""
        read = {ticket.number: _read(ticket.item.prepare) for ticket in batch}
        batch = self._begin(batch)
        began_s = self._clock.monotonic()
        wanted: list[tuple[Ticket[_Call], Work | Exception]] = []
        for ticket in batch:
            work = read[ticket.number] if ticket.number in read else _read(ticket.item.prepare)
            if ticket.deadline_s <= began_s:
                _fail(ticket.item.future, self._too_late())
            elif ticket.item.future.set_running_or_notify_cancel():
                wanted.append((ticket, work))
        good = [work for _, work in wanted if isinstance(work, Work)]
        computed = self._compute(good)
        self._end(computed.wall_s)
        outcomes = iter(computed.outcomes)
        for ticket, work in wanted:
            queue_s = max(0.0, began_s - ticket.arrived_s)
            if isinstance(work, Work):
                done = Done(next(outcomes), work, queue_s, computed.billed_s, len(good))
            else:
                done = Done(work, None, queue_s, 0.0, 1)
            ticket.item.future.set_result(done)

    def _begin(self, batch: list[Ticket[_Call]]) -> list[Ticket[_Call]]:
        """Wait for a place to compute; gives the batch with what has come meanwhile and matters more.

        Lanes get a place in the order of their coming: else the one that has just computed would always be faster than
        the one that is ahead.
        """
        me = object()
        more = self._more() if self.implementation.reentrant else 0
        with self._lock:
            self._line.append(me)
            self._freed.wait_for(lambda: self._line[0] is me and self._computing < self._places() + more)
            self._line.popleft()
            self._computing += 1
            self._begun += 1
            self._freed.notify_all()
            return self._waiting.exchange(batch)

    def _end(self, seconds: float | None) -> None:
        with self._lock:
            self._computing -= 1
            self._waiting.ended(seconds)
            self._freed.notify_all()
            if self._idle:
                self._arrived.notify()
            elif len(self._waiting):
                self._wake()
            if self._line:  # the device first: what is to be said of this batch would keep the interpreter from it
                begun = self._begun
                self._freed.wait_for(lambda: self._begun > begun or not self._line)

    def _compute(self, works: list[Work]) -> _Computed:
        """A batch through the implementation."""
        if not works:
            return _Computed([], 0.0, None)
        began_s, held_s = self._clock.monotonic(), held_seconds()
        outcomes = run_batch(self.implementation, works)
        wall_s = self._clock.monotonic() - began_s
        return _Computed(outcomes, held_seconds() - held_s or wall_s, wall_s)

    def _too_late(self) -> CallTimeout:
        return CallTimeout(f"{self._waiting.name}: its turn did not come in time")


def _read(prepare: Prepare) -> Work | Exception:
    try:
        return prepare()
    except Exception as error:
        return error


def _fail(future: Future[Done], error: Exception) -> None:
    with suppress(Exception):  # cancelled meanwhile: then nobody is told
        future.set_exception(error)
