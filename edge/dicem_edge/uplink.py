"""Calls to the cloud and answers to the shore, over MQTT.

A request stays here until its reply is in: it is sent again after a reconnect and when no reply comes, always under the
same call id, which makes a second arrival harmless.  A cloud that is busy says when to come back, and is asked again
then.  What is not answered by its deadline fails with a TimeoutError.  Everything here happens on the agent's
thread; `post` is how the connection's thread gets there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from dicem_shared import messages
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import Clock
from dicem_shared.deployment import Deployed
from dicem_shared.errors import MessageError, Overloaded
from dicem_shared.mqtt import NO_SUBSCRIBERS, REFUSED, Connection, Incoming, Note
from dicem_shared.topics import ROOT, parse, topic
from dicem_shared.transport import OnReply, Traffic
from dicem_shared.types import Answer, Failure, Reply, Request

log = logging.getLogger(__name__)

RESEND_S = 10.0
"""A request without a reply goes out again after this long."""
RETRY_S = 1.0
"""After the broker said that no cloud worker listens."""
MIN_RETRY_S = 0.1
"""A busy cloud is left alone for so long at least."""
SPREAD = 0.5
"""Up to so much longer, by the call's id."""


@dataclass
class _Pending:
    request: Request
    on_reply: OnReply
    resend_at: float
    up: int = 0
    down: int = 0
    generation: int = 0
    """the connection under which it went out last"""


class Uplink:
    """`CallTransport` and `AnswerSink` over one connection."""

    def __init__(
        self,
        broker: BrokerConfig,
        *,
        fleet: str,
        vehicle: str,
        clock: Clock,
        post: Callable[[Callable[[], None]], None],
        window: int = 64,
        message_bytes: int = messages.MAX_MESSAGE_BYTES,
        on_deploy: Callable[[str, bytes], None] | None = None,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_deploy` gets what comes on `deploy/<program>`; without it nobody listens there."""
        self._fleet, self._vehicle, self._clock, self._post = fleet, vehicle, clock, post
        self._window, self._limit = window, message_bytes
        self.reply_topic = topic(fleet, vehicle, "res", "agent")
        self._pending: dict[str, _Pending] = {}
        self._warned = False
        self._nobody_until = -math.inf
        """so long it is taken for granted that no cloud listens, after the broker said so"""
        self.refused = 0
        """answers that the broker would not take"""
        self._unsent: dict[str, tuple[Answer, int]] = {}
        """with the connection under which each went out last"""
        self._on_deploy, self._on_connected = on_deploy, on_connected
        status = topic(fleet, vehicle, "status")
        deploys = () if on_deploy is None else (f"{ROOT}/{fleet}/{vehicle}/deploy/+",)
        self._connection = Connection(
            broker,
            f"{fleet}-{vehicle}",
            subscriptions=(self.reply_topic, *deploys),
            on_message=lambda incoming: post(lambda: self._arrived(incoming)),
            on_up=lambda: post(self._up_again),
            online=Note(status, b"online"),
            offline=Note(status, b"offline"),
            stopped=Note(status, b"stopped"),
        )

    @property
    def is_up(self) -> bool:
        """Whether the broker is connected."""
        return self._connection.is_up

    @property
    def reachable(self) -> bool:
        """See `dicem_shared.transport.CallTransport.reachable`."""
        return self.is_up and self._clock.monotonic() >= self._nobody_until

    @property
    def unsent(self) -> int:
        """Answers that the broker has not taken yet."""
        return len(self._unsent)

    def open(self) -> None:
        """Connect.

        :raises BrokerError: no broker there, or it refused us
        """
        self._connection.open()

    def send(self, request: Request, on_reply: OnReply) -> None:
        """See `dicem_shared.transport.CallTransport.send`."""
        if len(self._pending) >= self._window:
            raise Overloaded("too many calls are under way", expected=f"at most {self._window}", retry_after_s=RETRY_S)
        messages.encode(request, limit=self._limit)
        entry = _Pending(request, on_reply, resend_at=0.0)
        self._pending[request.call_id] = entry
        self._transmit(entry)

    def publish(self, answer: Answer) -> None:
        """See `dicem_shared.transport.AnswerSink.publish`."""
        self._transmit_answer(answer)

    def report(self, deployed: Deployed) -> None:
        """Say what came of a deployment; while there is no connection nothing is said, and all of it after the next."""
        where = topic(self._fleet, self._vehicle, "deployed", deployed.program)
        self._connection.publish(where, messages.encode(deployed), retain=True)

    def tick(self) -> None:
        """To be called about once a second: expires and repeats what has waited too long."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        for entry in list(self._pending.values()):
            if utc >= entry.request.deadline_utc:
                message = f"{entry.request.function}: no answer before the deadline"
                failure = Failure(kind="TimeoutError", message=message)
                self._end(entry, Reply(call_id=entry.request.call_id, failure=failure))
            elif now >= entry.resend_at:
                entry.request = entry.request.model_copy(update={"attempt": entry.request.attempt + 1})
                self._transmit(entry)

    def close(self) -> None:
        """Stop; calls under way are dropped without a reply."""
        self._pending.clear()
        self._connection.close()

    def _transmit(self, entry: _Pending) -> None:
        request = entry.request
        data = messages.encode(request, limit=self._limit)

        def acknowledged(code: int) -> None:
            if code == NO_SUBSCRIBERS or code >= REFUSED:
                self._post(lambda: self._not_taken(request.call_id, code))

        sent = self._connection.publish(
            topic(self._fleet, self._vehicle, "req", request.function),
            data,
            response_topic=self.reply_topic,
            correlation=bytes.fromhex(request.call_id),
            expiry_s=math.ceil(max(1.0, request.deadline_utc - self._clock.utc())),
            on_ack=acknowledged,
        )
        entry.up += len(data) if sent else 0
        entry.generation = self._connection.generation if sent else 0
        entry.resend_at = self._clock.monotonic() + (RESEND_S if sent else RETRY_S)

    def _not_taken(self, call_id: str, code: int) -> None:
        entry = self._pending.get(call_id)
        if entry is None:
            return
        if code >= REFUSED:
            failure = Failure(kind="RuntimeError", message=f"the broker refused the call (reason 0x{code:02x})")
            self._end(entry, Reply(call_id=call_id, failure=failure))
        else:
            if not self._warned:
                log.warning("no cloud listens for %s; trying again until the deadline", entry.request.function)
                self._warned = True
            entry.resend_at = self._clock.monotonic() + RETRY_S
            self._nobody_until = self._clock.monotonic() + RESEND_S

    def _arrived(self, incoming: Incoming) -> None:
        try:
            if self._on_deploy is not None and incoming.topic != self.reply_topic:
                self._on_deploy(parse(incoming.topic).name, incoming.payload)
                return
            reply = messages.decode(Reply, incoming.payload, limit=self._limit)
        except MessageError as cause:
            log.warning("a message was dropped: %s", cause)
            return
        self._nobody_until = -math.inf
        entry = self._pending.get(reply.call_id)
        if entry is None:
            return  # the second reply to a call that has ended
        entry.down += len(incoming.payload)
        if not self._comes_back(entry, reply):
            self._end(entry, reply)

    def _comes_back(self, entry: _Pending, reply: Reply) -> bool:
        """Whether the cloud is busy, and there is time to ask again when it says."""
        retry_s = None if reply.failure is None else reply.failure.retry_after_s
        if retry_s is None:
            return False
        spread = 1.0 + SPREAD * int(entry.request.call_id[:4], 16) / 0xFFFF  # else all that were refused come at once
        wait_s = spread * max(retry_s, MIN_RETRY_S)
        if self._clock.utc() + wait_s >= entry.request.deadline_utc:
            return False
        entry.resend_at = self._clock.monotonic() + wait_s
        return True

    def _end(self, entry: _Pending, reply: Reply) -> None:
        del self._pending[entry.request.call_id]
        entry.on_reply(reply, Traffic(entry.up, entry.down))

    def _up_again(self) -> None:
        self._on_connected()
        now = self._connection.generation
        for entry in self._pending.values():
            if entry.generation != now:
                self._transmit(entry)
        for answer, generation in list(self._unsent.values()):
            if generation != now:
                self._transmit_answer(answer)

    def _transmit_answer(self, answer: Answer) -> None:
        def acknowledged(code: int) -> None:
            self._post(lambda: self._taken(answer.id, code))

        event = topic(self._fleet, self._vehicle, "event")
        self._unsent[answer.id] = (answer, self._connection.generation)
        if not self._connection.publish(event, self._event(answer), on_ack=acknowledged):
            self._unsent[answer.id] = (answer, 0)

    def _event(self, answer: Answer) -> bytes:
        """The answer as a message; what is too long for one stays on the vehicle, and the message says so."""
        try:
            return messages.encode(answer, limit=self._limit)
        except MessageError:
            kept = {"value": None, "printed": "", "observations": (), "reason": "too long to send; kept on the vehicle"}
            return messages.encode(answer.model_copy(update=kept), limit=self._limit)

    def _taken(self, answer_id: str, code: int) -> None:
        """The broker has said what it does with an answer; one that it refuses it would refuse again."""
        self._unsent.pop(answer_id, None)
        if code >= REFUSED:
            if not self.refused:
                log.warning("the broker refuses our answers (reason 0x%02x); they are kept on the vehicle", code)
            self.refused += 1
