"""One function's calls, put together into batches on a thread of their own.

    with Batcher(implementation, Bounds(max_batch=8, max_wait_s=0.01), SystemClock()) as batcher:
        done = batcher.submit(work, Flow("boat-1"), priority=5, deadline_s=clock.monotonic() + 30).result()

Whoever asks gets a future of his own: a result, or why there is none.  A bad item fails alone, a cancelled one gives
its place back, one past its deadline is not computed, and what is too much is refused at once (`waiting.py` decides).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, FunctionError, Overloaded
from dicem_shared.implementations import Implementation, Work

from .waiting import Bounds, Flow, Ticket, Waiting

log = logging.getLogger(__name__)

STOPPING_RETRY_S = 1.0


@dataclass(frozen=True)
class Done:
    """How a call ended that was computed."""

    outcome: Any | Exception
    """what the implementation gave for it, not held against any schema yet"""
    queue_s: float
    """from its arrival to the start of its batch"""
    compute_s: float
    """of the whole batch"""
    batch_size: int


@dataclass(frozen=True)
class _Call:
    work: Work
    future: Future[Done]


Gate = Callable[[], AbstractContextManager[Any]]
"""Holds a device for as long as a batch runs."""


class Batcher:
    """See the module's text; safe to be used by any thread.  A context manager."""

    def __init__(
        self, implementation: Implementation, bounds: Bounds, clock: Clock, *, gate: Gate = nullcontext
    ) -> None:
        self.implementation = implementation
        self._clock, self._gate = clock, gate
        self._waiting = Waiting[_Call](implementation.spec.name, bounds)
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name=f"batch-{implementation.spec.name}", daemon=True)

    def __enter__(self) -> Batcher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Finish the batch under way; what waits behind it is refused, and its sender tries elsewhere."""
        with self._changed:
            self._stopping = True
            left = self._waiting.drain()
            self._changed.notify_all()
        self._refuse(left, f"{self._waiting.name} is being stopped", STOPPING_RETRY_S)
        self._thread.join()

    @property
    def depth(self) -> int:
        """Calls that wait."""
        return len(self._waiting)

    def submit(self, work: Work, flow: Flow, *, priority: int = 5, deadline_s: float) -> Future[Done]:
        """Queue a call; `deadline_s` is on the clock's monotonic time.

        The future raises Overloaded if the call had to make room for others, and CallTimeout if its turn did not come
        in time.  Cancelling it while it waits takes it out of the queue.

        :raises Overloaded: there is no room for it, or it could not be in time
        """
        call = _Call(work, Future())
        with self._changed:
            if self._stopping:
                raise Overloaded(f"{self._waiting.name} is being stopped", retry_after_s=STOPPING_RETRY_S)
            ticket, displaced = self._waiting.offer(
                call, flow, priority=priority, deadline_s=deadline_s, now_s=self._clock.monotonic()
            )
            self._changed.notify()
        call.future.add_done_callback(lambda future: self._given_up(ticket) if future.cancelled() else None)
        self._refuse(displaced, f"{self._waiting.name} is busy: calls that matter more came in")
        return call.future

    def _given_up(self, ticket: Ticket[_Call]) -> None:
        with self._changed:
            self._waiting.cancel(ticket)

    def _refuse(self, tickets: Sequence[Ticket[_Call]], what: str, retry_s: float | None = None) -> None:
        for ticket in tickets:
            wait_s = self._waiting.expected_wait_s(ticket.priority) if retry_s is None else retry_s
            _fail(ticket.item.future, Overloaded(what, retry_after_s=max(wait_s, 0.05)))

    # The thread's side

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            batch, late = taken
            for ticket in late:
                _fail(ticket.item.future, CallTimeout(f"{self._waiting.name}: its turn did not come in time"))
            if batch:
                self._run(batch)

    def _next(self) -> tuple[list[Ticket[_Call]], list[Ticket[_Call]]] | None:
        """Wait until a batch is due and take it; None at the end."""
        with self._changed:
            while not self._stopping:
                now_s = self._clock.monotonic()
                due_s = self._waiting.due_s(now_s)
                if due_s <= now_s:
                    return self._waiting.take(now_s)
                self._changed.wait(min(due_s - now_s, threading.TIMEOUT_MAX))
        return None

    def _run(self, batch: list[Ticket[_Call]]) -> None:
        wanted = [ticket for ticket in batch if ticket.item.future.set_running_or_notify_cancel()]
        began_s = self._clock.monotonic()
        outcomes = self._outcomes([ticket.item.work for ticket in wanted]) if wanted else []
        seconds = self._clock.monotonic() - began_s
        with self._changed:
            self._waiting.ended(seconds)
        for ticket, outcome in zip(wanted, outcomes, strict=True):
            done = Done(outcome, max(0.0, began_s - ticket.arrived_s), seconds, len(wanted))
            ticket.item.future.set_result(done)

    def _outcomes(self, works: list[Work]) -> list[Any | Exception]:
        """One outcome an item, whatever the implementation does wrong."""
        try:
            with self._gate():
                outcomes = self.implementation.run(works)
        except Exception as error:
            return [error] * len(works)
        if len(outcomes) != len(works):
            what = f"{self._waiting.name} lost calls of a batch"
            return [FunctionError(what, expected=str(len(works)), got=str(len(outcomes)))] * len(works)
        return outcomes


def _fail(future: Future[Done], error: Exception) -> None:
    with suppress(Exception):  # cancelled meanwhile: then nobody is told
        future.set_exception(error)
