"""Which programs vehicles should run, and what they say they run: the retained `deploy` and `deployed` messages.

What an operator asked for is signed for the vehicle, which alone decides whether it believes it; here it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from dicem_shared.deployment import Deployed, Deployment
from dicem_shared.errors import MessageError

from .database import Database
from .tables import deployments

MAX_NAMES: Final = 256
"""programs of one vehicle of which anything is kept"""
MAX_ID: Final = 200
_WANTED: Final = ("wanted_action", "wanted_id", "wanted_counter", "wanted_utc", "question")
_REPORTED: Final = ("state", "counter", "program_id", "running_id", "previous_id", "reason", "reported_utc")


@dataclass(frozen=True)
class Placed:
    """A program's name on a vehicle: what is asked for, and what is.  None: nothing was said."""

    fleet: str
    vehicle: str
    program: str
    """its name there"""
    wanted_action: str | None
    """run or remove"""
    wanted_id: str | None
    """the id (a hash) of the program that is asked for"""
    wanted_counter: int | None
    wanted_utc: float | None
    """when it was asked for"""
    question: str | None
    state: str | None
    """running, waiting, refused, removed or stale"""
    counter: int | None
    """of the deployment that `state` is about"""
    program_id: str | None
    """of the deployment that `state` is about"""
    running_id: str | None
    """of the program that runs under the name; empty: none, or the one of the vehicle's config"""
    previous_id: str | None
    reason: str | None
    reported_utc: float | None
    """when the vehicle said so"""

    @property
    def is_behind(self) -> bool:
        """Whether the vehicle has not answered the last deployment yet."""
        return self.wanted_counter is not None and (self.counter is None or self.counter < self.wanted_counter)


class Deployments:
    """See the module's text.  Every message may come several times, and to several gateways."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wanted(self, fleet: str, vehicle: str, program: str, deployment: Deployment | None) -> None:
        """An operator asks for something; None: takes back that he has.

        :raises MessageError: it is meant for another vehicle or program; or there are too many names
        :raises StoreUnavailable: not now
        """
        values: dict[str, Any] = dict.fromkeys(_WANTED)
        if deployment is not None:
            meant = (deployment.fleet, deployment.vehicle, deployment.program)
            if meant != (fleet, vehicle, program):
                raise MessageError(
                    "a deployment is not for where it was sent", expected=f"{fleet}/{vehicle}/{program}",
                    got="/".join(meant),
                )  # fmt: skip
            values = {
                "wanted_action": deployment.action, "wanted_id": _id(deployment.program_id),
                "wanted_counter": deployment.counter, "wanted_utc": deployment.issued_utc,
                "question": _text(deployment.question),
            }  # fmt: skip
        self._note({"fleet": fleet, "vehicle": vehicle, "program": program}, values)

    def reported(self, fleet: str, vehicle: str, program: str, report: Deployed | None) -> None:
        """A vehicle says what came of it; None: takes back what it said.

        :raises MessageError: it speaks of another program; or there are too many names
        :raises StoreUnavailable: not now
        """
        values: dict[str, Any] = dict.fromkeys(_REPORTED)
        if report is not None:
            if report.program != program:
                raise MessageError("a report is not about its topic's program", expected=program, got=report.program)
            values = {
                "state": report.state, "counter": report.counter, "program_id": _id(report.program_id),
                "running_id": _id(report.running_id), "previous_id": _id(report.previous_id),
                "reason": _text(report.reason), "reported_utc": report.t_utc,
            }  # fmt: skip
        self._note({"fleet": fleet, "vehicle": vehicle, "program": program}, values)

    def all(self, *, fleet: str | None = None, vehicle: str | None = None) -> list[Placed]:
        """What is known, in the order of fleet, vehicle and program.

        :raises StoreUnavailable: not now
        """
        table = deployments.c
        asked = ((table.fleet, fleet), (table.vehicle, vehicle))
        which = [column == value for column, value in asked if value is not None]
        return self._database.read(lambda connection: placed(connection, which))

    def _note(self, key: dict[str, str], values: dict[str, Any]) -> None:
        self._database.write(lambda connection: self._written(connection, key, values))

    def _written(self, connection: sa.Connection, key: dict[str, str], values: dict[str, Any]) -> None:
        is_key = sa.and_(*(deployments.c[name] == value for name, value in key.items()))
        if all(value is None for value in values.values()):
            connection.execute(deployments.update().where(is_key).values(values))
            silent = (deployments.c.wanted_action.is_(None), deployments.c.state.is_(None))
            connection.execute(deployments.delete().where(is_key, *silent))
            return
        if connection.execute(deployments.update().where(is_key).values(values)).rowcount:
            return
        same = sa.and_(deployments.c.fleet == key["fleet"], deployments.c.vehicle == key["vehicle"])
        if (connection.scalar(sa.select(sa.func.count()).select_from(deployments).where(same)) or 0) >= MAX_NAMES:
            raise MessageError("a vehicle has programs of too many names", expected=f"at most {MAX_NAMES}")
        insert = self._database.insert(deployments).values(key | values)
        connection.execute(insert.on_conflict_do_update(index_elements=list(deployments.primary_key), set_=values))


def placed(connection: sa.Connection, which: Sequence[sa.ColumnElement[bool]]) -> list[Placed]:
    """The rows for which all of `which` holds."""
    query = sa.select(deployments).where(*which).order_by(*deployments.primary_key)
    return [Placed(**row._mapping) for row in connection.execute(query)]


def _id(text: str) -> str:
    """:raises MessageError: no id of a program"""
    if len(text) > MAX_ID or not text.isprintable():
        raise MessageError("not the id of a program", expected=f"at most {MAX_ID} characters", got=repr(text[:40]))
    return text


def _text(text: str) -> str:
    """What people read; PostgreSQL has no character 0."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
