"""An operator at the broker: what every vehicle of a fleet should run, and what it says it runs.

Both are retained messages, so that a boat that is away is told when it is back, and an operator sees the last word of
one that is away.  A read of them is complete once a message that we send to ourselves afterwards has come back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dicem_shared import messages
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.deployment import MAX_DEPLOYMENT_BYTES, MAX_SIGNED_BYTES, Deployed, Deployment, SignedDeployment
from dicem_shared.errors import BrokerError, MessageError
from dicem_shared.keys import OperatorKey
from dicem_shared.mqtt import REFUSED, Connection, Incoming
from dicem_shared.topics import ROOT, parse, topic

ANSWER_S = 10.0
"""So long the broker is given for each message."""
ASKING = "dicem-ask"
"""What `dicem ask` calls itself at a broker: it takes no programs, so it is no vehicle here."""
_FAR_AHEAD_S = 10 * 365 * 86_400.0
"""A counter is a time.  One that is so far ahead would use up those that are left: who says so is passed over."""


@dataclass
class Seen:
    """What the broker keeps of a vehicle."""

    status: str = "unknown"
    """`online`, `offline`, `stopped`, or unknown: nothing was ever heard of it"""
    wanted: dict[str, Deployment] = field(default_factory=dict)
    """by program, as it was last asked; unsigned by us, so for people only"""
    deployed: dict[str, Deployed] = field(default_factory=dict)
    """by program, as it was last reported"""

    @property
    def programs(self) -> set[str]:
        """The names under which something runs or is to run, as far as anybody has said."""
        asked = {name for name, each in self.wanted.items() if each.action == "run"}
        return asked | {name for name, each in self.deployed.items() if each.state != "removed"}


class Operator:
    """A connection to the broker of a fleet.  Use as a context manager."""

    def __init__(self, broker: BrokerConfig, fleet: str) -> None:
        self.fleet = fleet
        self._vehicles: dict[str, Seen] = {}
        self._changed = threading.Condition()
        self._marks: set[bytes] = set()
        self._me = f"operator-{os.getpid()}"
        self._mark_topic = topic(fleet, self._me, "res", "self")
        everything = [f"{ROOT}/{fleet}/+/status", f"{ROOT}/{fleet}/+/deploy/+", f"{ROOT}/{fleet}/+/deployed/+"]
        self._connection = Connection(
            broker, f"{fleet}-{self._me}", subscriptions=(*everything, self._mark_topic), on_message=self._arrived,
            keep_session=False,
        )  # fmt: skip

    def __enter__(self) -> Operator:
        """:raises BrokerError: no broker there, or it refused us"""
        self._connection.open()
        self._read_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def vehicles(self) -> dict[str, Seen]:
        """What is known of each vehicle of the fleet by now, by name."""
        with self._changed:
            return {name: self._vehicles[name] for name in sorted(self._vehicles)}

    def next_counter(self, vehicle: str, program: str) -> int:
        """A counter larger than any that was used for a program of a vehicle: the time, or one more than the last."""
        seen = self._vehicles.get(vehicle, Seen())
        used = [seen.wanted[program].counter] if program in seen.wanted else []
        used += [seen.deployed[program].counter] if program in seen.deployed else []
        return max([time.time_ns() // 1_000_000, *(counter + 1 for counter in used)])

    def send(self, deployment: Deployment, key: OperatorKey) -> None:
        """Hand a deployment to the broker, which keeps it until the vehicle has it, and after.

        :raises BrokerError: the broker does not take it
        """
        data = messages.encode(deployment.signed(key), limit=MAX_SIGNED_BYTES)
        where = topic(deployment.fleet, deployment.vehicle, "deploy", deployment.program)
        codes: list[int] = []

        def acknowledged(code: int) -> None:
            with self._changed:
                codes.append(code)
                self._changed.notify_all()

        if not self._connection.publish(where, data, retain=True, on_ack=acknowledged):
            raise BrokerError("the broker is gone", todo="Try again: nothing was sent.")
        if not self._wait(lambda: bool(codes), ANSWER_S):
            raise BrokerError("the broker did not acknowledge the deployment", todo="Try again: it may not have it.")
        if codes[0] >= REFUSED:
            todo = "Check the rights of the operator's identity at the broker."
            raise BrokerError(f"the broker refused the deployment (reason 0x{codes[0]:02x})", todo=todo)

    def wait_for(self, deployments: Iterable[Deployment], timeout_s: float) -> None:
        """Return as soon as every vehicle that is online has said what came of its deployment, or after the timeout."""
        wanted = list(deployments)
        self._wait(
            lambda: all(self.report_of(d) is not None or not self.is_online(d.vehicle) for d in wanted), timeout_s
        )

    def report_of(self, deployment: Deployment) -> Deployed | None:
        """What the vehicle says of this very deployment; None: nothing so far."""
        seen = self._vehicles.get(deployment.vehicle)
        report = seen.deployed.get(deployment.program) if seen else None
        return report if report is not None and report.counter >= deployment.counter else None

    def is_online(self, vehicle: str) -> bool:
        """Whether the vehicle's daemon is connected, as far as the broker knows."""
        return vehicle in self._vehicles and self._vehicles[vehicle].status == "online"

    # The connection's side

    def _read_all(self) -> None:
        mark = os.urandom(16)
        self._connection.publish(self._mark_topic, mark)
        if not self._wait(lambda: mark in self._marks, ANSWER_S):
            raise BrokerError(
                "the broker does not send what it keeps", todo="Check the rights of the operator's identity."
            )

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _arrived(self, incoming: Incoming) -> None:
        with self._changed:
            if incoming.topic == self._mark_topic:
                self._marks.add(incoming.payload)
            else:
                self._note(incoming)
            self._changed.notify_all()

    def _note(self, incoming: Incoming) -> None:
        """What others wrote is taken as far as it can be read."""
        try:
            where = parse(incoming.topic)
            if where.vehicle == ASKING:
                return
            seen = self._vehicles.setdefault(where.vehicle, Seen())
            if where.kind == "status":
                word = incoming.payload[:16].decode("ascii", "replace")
                seen.status = word if word in ("online", "offline", "stopped") else "unknown"
            elif where.kind == "deployed":
                report = messages.decode(Deployed, incoming.payload)
                if _is_plausible(report.counter):
                    seen.deployed[where.name] = report.model_copy(update={"program": where.name})
            elif where.kind == "deploy":
                signed = messages.decode(SignedDeployment, incoming.payload, limit=MAX_SIGNED_BYTES)
                wanted = messages.decode(Deployment, signed.document, limit=MAX_DEPLOYMENT_BYTES)
                if _is_plausible(wanted.counter):
                    seen.wanted[where.name] = wanted
        except MessageError:
            return


def _is_plausible(counter: int) -> bool:
    return counter < (time.time() + _FAR_AHEAD_S) * 1000
