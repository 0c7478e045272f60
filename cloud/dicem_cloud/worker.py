"""The gateway's MQTT side: takes calls from a shared subscription and sends the replies.

A call is believed as far as its topic: the broker's ACL lets a vehicle publish under its own prefix only, so the
vehicle that the topic names is the authenticated one, and a request that says otherwise is refused.  What is served is
announced in a retained message, for those who write programs.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from dicem_shared import messages
from dicem_shared.announcement import announcement_topic
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.errors import DicemError, MessageError, Overloaded
from dicem_shared.mqtt import Connection, Incoming, Note
from dicem_shared.topics import ROOT, may_reply, parse, requests
from dicem_shared.types import Answer, Failure, Reply, Request

from .described import announcement
from .gateway import MAX_MESSAGE, failed
from .service import Service

log = logging.getLogger(__name__)

POLL_S = 0.2
OUR_OWN = "_http"
"""how the names begin under which the callers of the HTTP API are known"""
MAX_WAITING = 1000
"""Messages that wait for the gateway; beyond it they are refused as they come."""
MAX_ORDERS = 256
"""Calls that were read and are to be handed over; those that matter more than usual may be twice as many."""
USUAL = 5
"""the priority of a call that names none"""
FULL_RETRY_S = 2.0
COMPLAIN_S = 10.0
"""between two lines in the log that say so"""


@dataclass(order=True)
class _Order:
    """A call that was read and is to be handed over: what matters more goes first."""

    priority: int
    number: int
    hand_over: Callable[[], None] = field(compare=False)


class Worker:
    """One connection, one thread that reads what came, and one that hands the calls over to the service.

    The latter may have to ask a database that all gateways share, and takes its time for it; so it takes calls by their
    priority, and what is too much is refused by the one that reads.

    `on_answer` gets the answers that vehicles publish; without it they are left to others (`ingest.py` stores them).
    """

    def __init__(
        self,
        broker: BrokerConfig,
        service: Service,
        *,
        fleets: frozenset[str] | None = None,
        message_bytes: int = messages.MAX_MESSAGE_BYTES,
        on_answer: Callable[[str, Answer], None] | None = None,
    ) -> None:
        self._service, self._fleets, self._limit, self._on_answer = service, fleets, message_bytes, on_answer
        self._inbox: queue.Queue[Incoming] = queue.Queue(MAX_WAITING)
        self._complain_at_s = -math.inf
        self._stopping = threading.Event()
        self._orders: queue.PriorityQueue[_Order] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("gateway", self._serve), ("orders", self._hand_over))
        ]
        name = f"cloud-{socket.gethostname().split('.')[0]}-{os.getpid()}"
        announced, gone = self._announcement(name)
        # A fleet by itself: in a subscription to all of them we would take calls from workers that serve the others.
        served = sorted(fleets) if fleets is not None else ["+"]
        events = () if on_answer is None else (f"$share/cloud/{ROOT}/+/+/event",)
        self._connection = Connection(
            broker,
            name,
            subscriptions=(*(requests(function, fleet) for function in service.functions for fleet in served), *events),
            on_message=self._take,
            online=announced,
            offline=gone,
            stopped=gone,
            keep_session=False,
        )

    def _announcement(self, name: str) -> tuple[Note | None, Note | None]:
        """What is said of the functions while we are there, and the empty message that takes it back."""
        try:
            said = messages.encode(announcement(self._service.functions, self._fleets), limit=self._limit)
        except MessageError as cause:
            log.warning("the functions are not announced: %s", cause)
            return None, None
        where = announcement_topic(name)
        return Note(where, said), Note(where, b"")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Connected and serving as long as the block runs, the service too.

        At the end nothing more is taken, the batches under way are finished, and their replies go out; then the
        connection closes.  What was not taken is left to its senders' retry.

        :raises BrokerError: no broker there, or it refused us
        """
        try:
            with self._service:
                for thread in self._threads:
                    thread.start()
                try:
                    self._connection.open()
                    yield
                finally:
                    self._stopping.set()
                    for thread in self._threads:
                        thread.join()
        finally:
            self._connection.close()

    @property
    def is_up(self) -> bool:
        """Whether the broker is connected."""
        return self._connection.is_up

    def _take(self, incoming: Incoming) -> None:
        try:
            self._inbox.put_nowait(incoming)
        except queue.Full:
            self._turn_away(incoming)

    def _turn_away(self, incoming: Incoming) -> None:
        """Refuse it here, on the connection's own thread: the broker sends the next one when this is done."""
        now_s = self._service.clock.monotonic()
        if now_s >= self._complain_at_s:
            log.warning("calls come in faster than they can be read; some are refused")
            self._complain_at_s = now_s + COMPLAIN_S
        try:
            self._handle(incoming, is_full=True)
        except DicemError as cause:
            log.debug("a message was dropped: %s", cause)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self._handle(self._inbox.get(timeout=POLL_S))
            except queue.Empty:
                continue
            except DicemError as cause:
                log.warning("a message was dropped: %s", cause)
            except Exception:
                log.exception("a message could not be handled")

    def _hand_over(self) -> None:
        while not self._stopping.is_set():
            try:
                self._orders.get(timeout=POLL_S).hand_over()
            except queue.Empty:
                continue
            except Exception:
                log.exception("a call could not be handed over")

    def _handle(self, incoming: Incoming, *, is_full: bool = False) -> None:
        where = parse(incoming.topic)
        if self._fleets is not None and where.fleet not in self._fleets:
            return
        if where.vehicle.startswith(OUR_OWN):
            raise MessageError("no vehicle may be called as the callers of the HTTP API are", got=where.vehicle)
        if where.kind == "event" and self._on_answer is not None:
            answer = messages.decode(Answer, incoming.payload, limit=self._limit)
            if answer.vehicle != where.vehicle:
                raise MessageError("an answer is not its sender's own", got=answer.vehicle)
            self._on_answer(where.vehicle, answer)
            return
        if not may_reply(where, incoming.response_topic):
            raise MessageError("a reply topic lies outside the sender's own prefix", got=incoming.response_topic[:128])
        send = partial(self._send, incoming)
        try:
            request = self._read(incoming, where.name)
        except MessageError as cause:
            failure = Failure(kind="ValueError", message=str(cause)[:MAX_MESSAGE], reason=cause.reason)
            send(Reply(call_id=incoming.correlation.hex(), failure=failure))
            return
        room = MAX_ORDERS if request.priority >= USUAL else 2 * MAX_ORDERS
        try:
            if is_full or self._orders.qsize() >= room:
                raise Overloaded("the cloud is busy: too many calls come in", retry_after_s=FULL_RETRY_S)
            self._service.check(request, vehicle=where.vehicle, fleet=where.fleet)
        except DicemError as cause:
            send(failed(request, cause))
            return

        def hand_over() -> None:
            future = self._service.submit(request, vehicle=where.vehicle, fleet=where.fleet)
            future.add_done_callback(lambda done: send(_reply(request, done)))

        self._orders.put(_Order(request.priority, next(self._numbers), hand_over))

    def _read(self, incoming: Incoming, function: str) -> Request:
        request = messages.decode(Request, incoming.payload, limit=self._limit)
        if request.function != function or request.reply_topic != incoming.response_topic:
            raise MessageError("a request is not what its topic says", expected=function, got=request.function)
        return request

    def _send(self, incoming: Incoming, reply: Reply) -> None:
        try:
            payload = messages.encode(reply, limit=self._limit)
        except MessageError as cause:  # a result that no message can hold
            failure = Failure(kind="RuntimeError", message=str(cause)[:MAX_MESSAGE], reason=cause.reason)
            payload = messages.encode(Reply(call_id=reply.call_id, attempt=reply.attempt, failure=failure))
        self._connection.publish(incoming.response_topic, payload, correlation=incoming.correlation)


def _reply(request: Request, done: Future[Reply]) -> Reply:
    error = done.exception()
    if error is None:
        return done.result()
    return failed(request, error if isinstance(error, DicemError) else DicemError("the cloud failed"))
