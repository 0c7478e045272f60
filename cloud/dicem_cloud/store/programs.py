"""Every program that anybody has heard of: where it is to run, where it runs, and how many answers it gave."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from .answers import Tally, tallies
from .database import Database
from .deployments import Placed, placed
from .tables import answers, deployments


@dataclass
class ProgramSeen:
    """One program; `id` is the hash of its source, and so its version."""

    id: str
    names: set[str] = field(default_factory=set)
    """under which it was deployed"""
    question: str = ""
    wanted: list[Placed] = field(default_factory=list)
    """where an operator wants it to run"""
    running: list[Placed] = field(default_factory=list)
    """where it runs, as the vehicles say"""
    vehicles: dict[tuple[str, str], Tally] = field(default_factory=dict)
    """by fleet and vehicle: the answers that it gave there and that are kept"""

    @property
    def answers(self) -> Tally:
        """All of them."""
        total = Tally()
        for one in self.vehicles.values():
            for status, count in one.statuses.items():
                total.add(status, count, one.first_utc, one.last_utc)
        return total


class Programs:
    """See the module's text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, *, fleet: str | None = None) -> list[ProgramSeen]:
        """All programs, by id.

        :raises StoreUnavailable: not now
        """
        return self._database.read(lambda connection: _seen(connection, fleet, None))

    def get(self, program_id: str) -> ProgramSeen | None:
        """One program; None: never heard of.

        :raises StoreUnavailable: not now
        """
        if not program_id.isprintable():
            return None
        found = self._database.read(lambda connection: _seen(connection, None, program_id))
        return found[0] if found else None


def _seen(connection: sa.Connection, fleet: str | None, program_id: str | None) -> list[ProgramSeen]:
    found: dict[str, ProgramSeen] = {}

    def about(name: str) -> ProgramSeen:
        return found.setdefault(name, ProgramSeen(name))

    which = [] if fleet is None else [deployments.c.fleet == fleet]
    for one in placed(connection, which):
        if one.wanted_action == "run" and one.wanted_id:
            program = about(one.wanted_id)
            program.wanted.append(one)
            program.names.add(one.program)
            program.question = one.question or program.question
        if one.running_id:
            about(one.running_id).running.append(one)
            about(one.running_id).names.add(one.program)
    counted = [] if fleet is None else [answers.c.fleet == fleet]
    counted += [] if program_id is None else [answers.c.program_id == program_id]
    for where, vehicle, program_of, status, count, *times in tallies(connection, *counted):
        about(program_of).vehicles.setdefault((where, vehicle), Tally()).add(status, count, *times)
    return [found[name] for name in sorted(found) if program_id in (None, name)]
