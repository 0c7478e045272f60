"""The gateway's MQTT side: takes calls from a shared subscription and sends the replies.

A call is believed as far as its topic: the broker's ACL lets a vehicle publish under its own prefix only, so the
vehicle that the topic names is the authenticated one, and a request that says otherwise is refused.  What is served is
announced in a retained message, for those who write programs.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from dicem_shared import messages
from dicem_shared.announcement import announcement_topic
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.errors import DicemError, MessageError
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
"""Messages that wait for the gateway; beyond it they are refused, and the vehicle's retry decides."""


class Worker:
    """One connection, and one thread that reads what came.

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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
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
                self._thread.start()
                try:
                    self._connection.open()
                    yield
                finally:
                    self._stopping.set()
                    self._thread.join()
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
            log.warning("too many calls are waiting; one from %s was left to its sender's retry", incoming.topic)

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

    def _handle(self, incoming: Incoming) -> None:
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
        future = self._service.submit(request, vehicle=where.vehicle, fleet=where.fleet)
        future.add_done_callback(lambda done: send(_reply(request, done)))

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
