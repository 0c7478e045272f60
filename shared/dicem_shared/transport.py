"""How calls reach the other site, and what is promised on the way.

Delivery is *at least once* on the wire and *exactly once* to the program: the call id makes a second arrival harmless,
the receiver answers it from its result cache, the sender drops the second reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .types import Answer, Reply, Request


@dataclass(frozen=True)
class Traffic:
    """What one call put on the wire, in bytes, every attempt counted."""

    up: int = 0
    down: int = 0


OnReply = Callable[[Reply, Traffic], None]


class CallTransport(Protocol):
    """Carries requests to the cloud.

    Guarantees: `on_reply` is called once for every request that was accepted, with a result or a failure; not before
    `send` returns; in no particular order; never after `close`.  What the link loses is sent again until the request's
    deadline, then it fails with a TimeoutError.
    """

    @property
    def reachable(self) -> bool:
        """False while it is known that nobody would answer; what is sent all the same waits, as `send` promises."""

    def send(self, request: Request, on_reply: OnReply) -> None:
        """Take the request.

        :raises MessageTooLarge: it does not go in one message
        :raises Overloaded: too many are under way
        """

    def close(self) -> None:
        """Stop; what is under way is dropped without a reply."""


class AnswerSink(Protocol):
    """Takes answers.

    Guarantees: when `publish` returns the answer is kept, and it arrives at least once while the sink is open; a
    receiver tells two arrivals from one by `answer.id`.
    """

    def publish(self, answer: Answer) -> None:
        """Keep and send it."""
