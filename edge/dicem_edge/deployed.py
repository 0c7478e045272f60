"""The programs that operators have sent: taken, kept, started, and reported.

What comes over the network is believed when it is signed by an operator whom the vehicle's config names, when it is for
this vehicle, and when its counter is larger than any before it.  It is kept in SQLite, so that a boat that starts far
from any network runs what it was last told.  The vehicle's policy has the last word on when a program may start.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from dicem_shared import messages
from dicem_shared.camera import Strict
from dicem_shared.clock import Clock
from dicem_shared.deployment import MAX_SIGNED_BYTES, Deployed, Deployment, SignedDeployment, State
from dicem_shared.errors import ConfigError, DicemError, MessageError
from dicem_shared.functions import Registry
from dicem_shared.keys import PublicKey
from dicem_shared.program import Program, prepare

from .database import open_database

log = logging.getLogger(__name__)

Policy = Literal["always", "disarmed", "never"]
Obstacle = tuple[State, str]
"""What is reported instead of `running`, and why."""
_SCHEMA: Final = """
create table if not exists deployments (
    program text primary key, counter integer not null, wanted blob, running blob, previous_id text not null
) strict
"""


def _key(text: str) -> str:
    PublicKey.parse(text)
    return text


class DeployConfig(Strict):
    """Whose programs a vehicle takes, and when they may start."""

    operators: tuple[Annotated[str, AfterValidator(_key)], ...] = ()
    """public keys, as `dicem keygen` prints them; without one, nothing is taken from the network"""
    policy: Policy = "always"
    """always: from the next frame on; disarmed: while the autopilot is known to be disarmed; never: nothing is taken,
    and nothing that was taken before is run"""
    armed_file: Path | None = None
    """a file in which whoever watches the autopilot writes `armed` or `disarmed`; needed for the policy `disarmed`"""
    max_programs: Annotated[int, Field(ge=1, le=64)] = 8
    """deployed programs at once"""
    state: str = "deployments.db"
    """SQLite file that keeps them, taken from the working folder"""


def armed_from(path: Path | None) -> Callable[[], bool | None]:
    """Asks a file whether the autopilot is armed; None where nobody knows, which counts as armed."""

    def ask() -> bool | None:
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                word = file.read(64).decode("ascii", "replace").strip().lower()
        except OSError:
            return None
        return {"armed": True, "disarmed": False}.get(word)

    return ask


@dataclass(frozen=True)
class _Order:
    """A deployment, and the signature that it is believed for."""

    deployment: Deployment
    signed: SignedDeployment


@dataclass(frozen=True)
class _Row:
    """What is kept of a program's name."""

    counter: int
    wanted: _Order | None
    """what is to happen; None: it has happened"""
    running: _Order | None
    previous_id: str = ""


class Deployments:
    """See the module's text.  All methods are to be called on the agent's thread."""

    def __init__(
        self, config: DeployConfig, *, fleet: str, vehicle: str, functions: Registry, clock: Clock,
        armed: Callable[[], bool | None] | None = None,
    ) -> None:  # fmt: skip
        """:raises ConfigError: the file of states cannot be used"""
        self._config, self._fleet, self._vehicle = config, fleet, vehicle
        self._functions, self._clock = functions, clock
        self._armed = armed_from(config.armed_file) if armed is None else armed
        self._keys = {key.id: key for key in map(PublicKey.parse, config.operators)}
        self._store = _Store(Path(config.state)) if self.is_open else None
        self._rows = {} if self._store is None else self._store.rows(self._believed)
        self._ready: dict[str, Program] = {}
        self._judged: dict[str, tuple[int, Obstacle | None]] = {}
        """by name: the deployment's counter, and what stands in its way whatever the policy says"""
        for name, row in self._rows.items():
            if row.running is not None:
                self._start(name, row.running.deployment)

    @property
    def is_open(self) -> bool:
        """Whether programs from the network may run here at all."""
        return bool(self._keys) and self._config.policy != "never"

    def programs(self, own: Sequence[Program]) -> list[Program]:
        """What runs on the next frame: the vehicle's own programs, deployed ones in their namesakes' place."""
        names = {program.name for program in self._ready.values()}
        mine = [program for program in own if program.name not in names]
        return list({program.id: program for program in (*mine, *self._ready.values())}.values())

    def take(self, name: str, payload: bytes) -> Deployed | None:
        """Take a message from `deploy/<name>`; what to report.

        None: it is nothing that an operator whom we trust has said, so it changes nothing, not even the report.
        """
        if not self.is_open:
            return None
        try:
            return self._take(name, payload)
        except MessageError as cause:
            log.warning("a deployment of %s was dropped: %s", name, cause)
        except ConfigError as cause:  # no room: the broker keeps it, and sends it again after the next reconnect
            log.warning("a deployment of %s was not taken: %s", name, cause)
        return None

    def _take(self, name: str, payload: bytes) -> Deployed | None:
        order = self._believed(name, payload)
        wanted = order.deployment
        row = self._rows.get(name, _Row(0, None, None))
        if wanted.counter < row.counter:
            raise MessageError("one that was sent later has come before it", got=str(wanted.counter))
        if wanted.counter == row.counter:
            return self._report(name)  # the broker's copy of what we have
        return self._taken(name, row, order)

    def review(self) -> list[Deployed]:
        """Start what was waiting, where the policy allows it by now; what to report of that."""
        changed = []
        for name, row in list(self._rows.items()):
            if row.wanted is not None and self._obstacle(name, row.wanted.deployment) is None and self._may_change():
                changed.append(self._change(name, row))
        return changed

    def reports(self) -> list[Deployed]:
        """What is to be said of every program, after a reconnect."""
        return [self._report(name) for name in sorted(self._rows)]

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()

    # Taking

    def _believed(self, name: str, data: bytes) -> _Order:
        """What an operator whom we trust asks of this very vehicle under this name.

        :raises MessageError: it is nothing of that kind
        """
        signed = messages.decode(SignedDeployment, data, limit=MAX_SIGNED_BYTES)
        wanted = signed.verified(self._keys)
        self._check_addressee(name, wanted)
        return _Order(wanted, signed)

    def _check_addressee(self, name: str, wanted: Deployment) -> None:
        if (wanted.fleet, wanted.vehicle, wanted.program) != (self._fleet, self._vehicle, name):
            meant = f"{wanted.fleet}/{wanted.vehicle}/{wanted.program}"
            raise MessageError(
                "a deployment is for somebody else", expected=f"{self._fleet}/{self._vehicle}/{name}", got=meant
            )

    def _taken(self, name: str, row: _Row, order: _Order) -> Deployed:
        row = replace(row, counter=order.deployment.counter, wanted=order)
        self._keep(name, row)
        if self._obstacle(name, order.deployment) is None and self._may_change():
            return self._change(name, row)
        return self._report(name)

    def _change(self, name: str, row: _Row) -> Deployed:
        """Let what is wanted take the place of what runs."""
        assert row.wanted is not None
        before = row.running.deployment.program_id if row.running is not None else ""
        running = row.wanted if row.wanted.deployment.action == "run" else None
        same = running is not None and before == running.deployment.program_id
        self._keep(name, _Row(row.counter, None, running, row.previous_id if same else before or row.previous_id))
        self._ready.pop(name, None)
        if running is not None:
            self._start(name, running.deployment)
        return self._report(name)

    def _keep(self, name: str, row: _Row) -> None:
        assert self._store is not None
        self._store.put(name, row)
        self._rows[name] = row

    def _start(self, name: str, deployment: Deployment) -> None:
        """Let it run from now on, unless dicem itself has changed so much since it was taken that it cannot."""
        obstacle = self._judge(name, deployment)
        if obstacle is not None:
            log.warning("the deployed program %s is not run: %s", name, obstacle[1])
            return
        self._ready[name] = replace(prepare(deployment.source, name=name, where=name), name=name)

    # Judging

    def _may_change(self) -> bool:
        return self._config.policy == "always" or (self._config.policy == "disarmed" and self._armed() is False)

    def _obstacle(self, name: str, wanted: Deployment) -> Obstacle | None:
        """Why a program cannot be run here, whatever the policy says; None: it can."""
        if wanted.action == "remove":
            return None
        counter, obstacle = self._judged.get(name, (0, None))
        if counter != wanted.counter:
            obstacle = self._judge(name, wanted)
            self._judged[name] = (wanted.counter, obstacle)
        others = sum(row.running is not None for other, row in self._rows.items() if other != name)
        if obstacle is None and others >= self._config.max_programs:
            return "refused", f"{others} deployed programs run here, and no more may (deploy.max_programs)"
        return obstacle

    def _judge(self, name: str, wanted: Deployment) -> Obstacle | None:
        for function, how in self._functions.changed_since(wanted.functions).items():
            said = "is not known here" if how == "missing" else "has changed since the program was checked"
            return "stale", f"the function {function} {said}"
        try:
            prepare(wanted.source, name=name, where=name)
        except DicemError as cause:
            return "refused", str(cause)
        return None

    # Reporting

    def _report(self, name: str) -> Deployed:
        row = self._rows[name]
        state, reason = self._state(name, row)
        asked = row.wanted or row.running
        return Deployed(
            program=name, state=state, counter=row.counter, reason=reason[:1000],
            program_id=asked.deployment.program_id if asked else "",
            running_id=row.running.deployment.program_id if row.running else "",
            previous_id=row.previous_id, t_utc=self._clock.utc(),
        )  # fmt: skip

    def _state(self, name: str, row: _Row) -> Obstacle:
        if row.wanted is not None:
            waiting: Obstacle = "waiting", "the autopilot is armed, or nobody knows, and deploy.policy is `disarmed`"
            return self._obstacle(name, row.wanted.deployment) or waiting
        if row.running is None:
            return "removed", ""
        if name not in self._ready:
            return self._judge(name, row.running.deployment) or ("refused", "it does not run here")
        return "running", ""


class _Store:
    """SQLite in WAL mode, every commit synced."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA, what="deployments", setting="deploy.state")

    def rows(self, believed: Callable[[str, bytes], _Order]) -> dict[str, _Row]:
        """All that is kept; what is not believed (any more) is left out, its counter aside."""
        columns = "program, counter, wanted, running, previous_id"
        try:
            found = self._db.execute(f"select {columns} from deployments").fetchall()
        except sqlite3.Error as cause:
            todo = "Move the file away to start without deployments; the broker still has those that were sent."
            raise ConfigError("the file of deployments is damaged", got=str(cause), todo=todo) from None
        return {
            name: _Row(counter, _read(name, wanted, believed), _read(name, running, believed), previous)
            for name, counter, wanted, running, previous in found
        }

    def put(self, name: str, row: _Row) -> None:
        """Keep it.

        :raises ConfigError: there is no room
        """
        wanted, running = _written(row.wanted), _written(row.running)
        try:
            with self._db:
                values = (name, row.counter, wanted, running, row.previous_id)
                self._db.execute("insert or replace into deployments values (?, ?, ?, ?, ?)", values)
        except sqlite3.Error as cause:
            todo = "Make room, or move `deploy.state` in the config."
            raise ConfigError(f"the deployment of {name} cannot be kept", got=str(cause), todo=todo) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _written(order: _Order | None) -> bytes | None:
    return None if order is None else messages.encode(order.signed, limit=MAX_SIGNED_BYTES)


def _read(name: str, data: bytes | None, believed: Callable[[str, bytes], _Order]) -> _Order | None:
    if data is None:
        return None
    try:
        return believed(name, data)
    except MessageError as cause:
        log.warning("the deployed program %s is not run any more: %s", name, cause)
        return None
