"""MQTT topics: `dicem/v1/<fleet>/<vehicle>/...`, and which of them a sender may name.

status              retained; `online`, `offline` (last will) or `stopped`; QoS 1
event               an answer; QoS 1
telemetry           link, load, battery; QoS 0
cmd, config         to the vehicle; config is retained; QoS 1
deploy/<program>    to the vehicle: a program that it should run; retained; QoS 1
deployed/<program>  what came of that; retained; QoS 1
functions           what a cloud serves (`announcement.py`); retained; QoS 1
req/<function>      a call; QoS 1
res/<client>        its reply; QoS 1
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import MessageError

ROOT = "dicem/v1"
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")

Kind = Literal["status", "event", "telemetry", "cmd", "config", "functions"]
_PLAIN = frozenset(get_args(Kind))
_NAMED = frozenset({"deploy", "deployed", "req", "res"})
QOS: dict[str, int] = {"telemetry": 0}
"""QoS by the topic's kind; what is not named here is sent at QoS 1."""
RETAINED = frozenset({"status", "config", "deploy", "deployed", "functions"})
_SHAPE = f"{ROOT}/<fleet>/<vehicle>/<kind>, where deploy, deployed, req and res have a /<name> and no other kind has"


@dataclass(frozen=True)
class Topic:
    """A parsed topic: `kind` is the word after the vehicle, `name` what follows it, or empty."""

    fleet: str
    vehicle: str
    kind: str
    name: str = ""

    def __str__(self) -> str:
        tail = f"{self.kind}/{self.name}" if self.name else self.kind
        return f"{ROOT}/{self.fleet}/{self.vehicle}/{tail}"


def check_id(value: str, what: str) -> str:
    """`value` if it may stand in a topic.

    :raises MessageError: it may not
    """
    if not _ID.match(value):
        raise MessageError(
            f"{what} cannot stand in a topic", expected="1 to 32 of A-Z a-z 0-9 _ -", got=repr(value[:64])
        )
    return value


def topic(fleet: str, vehicle: str, kind: str, name: str = "") -> str:
    """The topic as text, every part checked.

    :raises MessageError: a part that cannot stand in a topic, no such kind, or a name too many or too few
    """
    check_id(fleet, "fleet"), check_id(vehicle, "vehicle")
    if name:
        check_id(name, "name")
    if kind not in (_NAMED if name else _PLAIN):
        raise MessageError("no such topic", expected=_SHAPE, got=repr(f"{kind}/{name}")[:80])
    return str(Topic(fleet, vehicle, kind, name))


def parse(text: str) -> Topic:
    """The parts of a topic of ours.

    :raises MessageError: not one of ours
    """
    parts = text.split("/")
    if (
        len(parts) not in (5, 6)
        or "/".join(parts[:2]) != ROOT
        or not all(_ID.match(part) for part in parts[2:])
        or parts[4] not in (_PLAIN if len(parts) == 5 else _NAMED)
    ):
        raise MessageError("not a dicem topic", expected=_SHAPE, got=repr(text[:128]))
    return Topic(*parts[2:])


def requests(function: str, fleet: str = "+") -> str:
    """What a cloud worker subscribes to, for one fleet or all: one of all workers of `function` gets each call."""
    check_id(function, "function")
    return f"$share/{function}/{ROOT}/{fleet}/+/req/{function}"


def may_reply(request: Topic, reply_topic: str) -> bool:
    """True where the reply topic lies under the sender's own prefix."""
    try:
        reply = parse(reply_topic)
    except MessageError:
        return False
    return (reply.fleet, reply.vehicle, reply.kind) == (request.fleet, request.vehicle, "res") and bool(reply.name)
