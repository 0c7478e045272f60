"""What `dicem deploy` and `dicem undeploy` do, without the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dicem_shared.deployment import Deployed, Deployment
from dicem_shared.errors import ConfigError
from dicem_shared.keys import OperatorKey

from ..library.stored import StoredProgram
from .operator import Operator

GOOD = frozenset({"running", "waiting", "removed"})


@dataclass(frozen=True)
class Result:
    """What came of one vehicle's deployment."""

    deployment: Deployment
    status: str
    """of the vehicle"""
    report: Deployed | None

    @property
    def good(self) -> bool:
        """Whether it is as it was asked, or will be without anybody's doing."""
        if self.report is None:
            return self.status != "online"
        return self.report.state in GOOD and not self.is_overtaken

    @property
    def is_overtaken(self) -> bool:
        """Whether the vehicle speaks of a deployment of something else, which somebody has sent after ours."""
        report, ours = self.report, self.deployment
        return report is not None and report.counter > ours.counter and report.program_id != ours.program_id

    @property
    def said(self) -> str:
        """In words."""
        if self.report is not None and self.is_overtaken:
            return "something else was deployed under this name at the same time; `dicem deployments` shows what"
        if self.report is not None:
            return f"{self.report.state}{f': {self.report.reason}' if self.report.reason else ''}"
        if self.status == "online":
            return (
                "no answer in time: it takes no deployments from this key, or is busy; `dicem deployments` shows more"
            )
        if self.status == "unknown":
            return "the broker has never heard of this vehicle; it is told when it comes"
        return f"the vehicle is {self.status}; it is told when it is back"

    def document(self) -> dict[str, Any]:
        """For machines."""
        report = self.report.model_dump(mode="json") if self.report is not None else None
        return {
            "vehicle": self.deployment.vehicle, "program": self.deployment.program, "counter": self.deployment.counter,
            "action": self.deployment.action, "program_id": self.deployment.program_id, "status": self.status,
            "report": report, "good": self.good,
        }  # fmt: skip


def carry_out(
    operator: Operator, key: OperatorKey, vehicles: Sequence[str], name: str,
    program: Callable[[str], StoredProgram | None], wait_s: float,
) -> list[Result]:  # fmt: skip
    """Ask vehicles to run what `program` gives for each (None: to run it no more), and wait for their word.

    :raises BrokerError: the broker does not take a deployment
    """
    sent = []
    for vehicle in vehicles:
        deployment = _deployment(operator, vehicle, name, program(vehicle))
        operator.send(deployment, key)
        sent.append(deployment)
    operator.wait_for(sent, wait_s)
    known = operator.vehicles()
    return [
        Result(each, known[each.vehicle].status if each.vehicle in known else "unknown", operator.report_of(each))
        for each in sent
    ]


def previous_id(operator: Operator, vehicle: str, name: str) -> str:
    """The id of the program that ran on a vehicle before the present one.

    :raises ConfigError: it has not said so
    """
    seen = operator.vehicles().get(vehicle)
    report = seen.deployed.get(name) if seen is not None else None
    if report is None or not report.previous_id:
        todo = "`dicem deployments` shows what ran where."
        raise ConfigError(f"{vehicle} has run no other program as {name} before", todo=todo)
    return report.previous_id


def _deployment(operator: Operator, vehicle: str, name: str, program: StoredProgram | None) -> Deployment:
    more: dict[str, Any] = {"action": "remove"}
    if program is not None:
        more = {
            "action": "run", "program_id": program.id, "question": program.question, "source": program.distributed,
            "functions": program.versions,
        }  # fmt: skip
    counter = operator.next_counter(vehicle, name)
    try:
        return Deployment(
            fleet=operator.fleet, vehicle=vehicle, program=name, counter=counter, issued_utc=time.time(), **more
        )
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        what = f"{name} cannot be deployed to {vehicle}: {'.'.join(map(str, first['loc']))}"
        raise ConfigError(what, got=first["msg"]) from None
