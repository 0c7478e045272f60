"""Replies where all gateways see them, and who computes those that are not there yet.

A claim is a row without a reply: it names the gateway that computes and until when.  It is taken by one statement that
inserts the row or, where the claim of another has run out, takes it over; of two gateways one succeeds.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa

from dicem_shared import messages
from dicem_shared.clock import Clock
from dicem_shared.errors import MessageError
from dicem_shared.types import Reply

from ..results import Claim, ResultStore
from .database import Database, StoreUnavailable
from .tables import results

log = logging.getLogger(__name__)

MAX_REPLY_BYTES: Final = 16_000_000
PRUNE_EVERY: Final = 64
"""replies that are put between two looks at what is too much"""
PRUNE_ROWS: Final = 256
"""rows that go in one transaction, so that nobody waits long for it"""


class SqlResults(ResultStore):
    """See `ResultStore` and the module's text.  Every method may raise StoreUnavailable; `SafeResults` does not.

    A store that claims again what it has claimed has it still, and its lease begins anew: keeping twins of one gateway
    apart is the gateway's own business.  Leases compare the gateways' clocks, which must agree to within a few seconds;
    one that ends later than twice a lease from now was given by a clock that has been set since, and does not count.
    """

    def __init__(
        self, database: Database, clock: Clock, *,
        keep: int = 100_000, max_age_s: float = 86_400.0, lease_s: float = 30.0,
    ) -> None:  # fmt: skip
        """`keep` replies at most, about, none older than `max_age_s` seconds; a claim holds for `lease_s` seconds."""
        self._database, self._clock = database, clock
        self._keep, self._max_age_s, self._lease_s = keep, max_age_s, lease_s
        self._owner = uuid.uuid4().hex
        self._put = 0
        self._statements = _Statements(database)

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        """See `ResultStore.claim`.

        :raises StoreUnavailable: not now
        :raises MessageError: the database does not take such a name
        """
        key = {"vehicle": vehicle, "call_id": call_id}
        now = self._clock.utc()
        row: Any = self._database.read(lambda connection: connection.execute(self._statements.find, key).one_or_none())
        if row is None or row.reply is None:
            if row is not None and row.owner != self._owner and now < row.lease_utc <= now + 2 * self._lease_s:
                return Claim.ELSEWHERE
            values = key | self._lease(now)
            row = self._database.write(lambda connection: self._taken(connection, values))
        if row is None:
            return Claim.OURS
        if row.reply is None:
            return Claim.ELSEWHERE
        reply = _decoded(row.reply)
        if reply is None:
            self._database.write(lambda connection: connection.execute(self._statements.drop, key | {"bad": row.reply}))
            return self.claim(vehicle, call_id)
        return reply

    def put(self, vehicle: str, reply: Reply) -> Reply:
        """See `ResultStore.put`.

        :raises StoreUnavailable: not now; it is not stored
        :raises MessageError: what cannot be stored at all: over 16 MB, or numbers of more than 64 bits
        """
        data = messages.encode(reply, limit=MAX_REPLY_BYTES)
        now = self._clock.utc()
        values = {
            "vehicle": vehicle, "call_id": reply.call_id, "owner": self._owner, "lease_utc": now, "made_utc": now,
            "reply": data,
        }  # fmt: skip
        stored = self._database.write(lambda connection: self._stored(connection, values))
        self._put += 1
        if self._put % PRUNE_EVERY == 0:
            with suppress(StoreUnavailable):
                self.prune()
        return reply if stored is None else _decoded(stored) or reply

    def release(self, vehicle: str, call_id: str) -> None:
        """See `ResultStore.release`.

        :raises StoreUnavailable: not now; the claim runs out by itself
        """
        values = {"vehicle": vehicle, "call_id": call_id, "mine": self._owner}
        self._database.write(lambda connection: connection.execute(self._statements.release, values))

    def prune(self) -> int:
        """Delete some of what is too old or too much, a few hundred rows at most; how many went.

        :raises StoreUnavailable: not now
        """
        return self._database.write(self._pruned)

    def count(self) -> int:
        """How many replies are there.

        :raises StoreUnavailable: not now
        """
        count = sa.select(sa.func.count()).select_from(results).where(results.c.reply.is_not(None))
        return self._database.read(lambda connection: connection.scalar(count)) or 0

    def _lease(self, now: float) -> dict[str, Any]:
        return {
            "owner": self._owner, "lease_utc": now + self._lease_s, "made_utc": now, "reply": None,
            "mine": self._owner, "now": now, "far": now + 2 * self._lease_s,
        }  # fmt: skip

    def _taken(self, connection: sa.Connection, values: dict[str, Any]) -> Any:
        """None: it is ours; else the row that is there."""
        for _ in range(3):
            if connection.execute(self._statements.claim, values).first() is not None:
                return None
            row = connection.execute(self._statements.find, values).one_or_none()
            if row is not None:
                return row
        raise StoreUnavailable("a claim comes and goes")  # PostgreSQL only: released between the two, three times

    def _stored(self, connection: sa.Connection, values: dict[str, Any]) -> bytes | None:
        """None: what was given is stored; else the bytes that were there before."""
        if connection.execute(self._statements.put, values).first() is not None:
            return None
        row = connection.execute(self._statements.find, values).one_or_none()
        return None if row is None else row.reply

    def _pruned(self, connection: sa.Connection) -> int:
        now = self._clock.utc()
        over = (connection.scalar(sa.select(sa.func.count()).select_from(results)) or 0) - self._keep
        idle = sa.or_(results.c.reply.is_not(None), results.c.lease_utc <= now)
        key = (results.c.vehicle, results.c.call_id)
        oldest = sa.select(*key).where(idle).order_by(results.c.made_utc).with_for_update(skip_locked=True)
        gone = 0
        if over > 0:
            first = oldest.limit(min(over, PRUNE_ROWS))
            gone += connection.execute(results.delete().where(sa.tuple_(*key).in_(first))).rowcount
        aged = oldest.where(results.c.made_utc < now - self._max_age_s).limit(PRUNE_ROWS)
        return gone + connection.execute(results.delete().where(sa.tuple_(*key).in_(aged))).rowcount


class _Statements:
    """Built once: building one takes longer than running it."""

    def __init__(self, database: Database) -> None:
        table, is_key = results, sa.and_(
            results.c.vehicle == sa.bindparam("vehicle"), results.c.call_id == sa.bindparam("call_id")
        )  # fmt: skip
        self.find = sa.select(table.c.reply, table.c.owner, table.c.lease_utc).where(is_key)
        insert = database.insert(table)
        free = sa.or_(
            table.c.owner == sa.bindparam("mine"),
            table.c.lease_utc <= sa.bindparam("now"),
            table.c.lease_utc > sa.bindparam("far"),
        )
        new = insert.excluded
        self.claim = insert.on_conflict_do_update(
            index_elements=[table.c.vehicle, table.c.call_id],
            set_={"owner": new.owner, "lease_utc": new.lease_utc, "made_utc": new.made_utc},
            where=sa.and_(table.c.reply.is_(None), free),
        ).returning(table.c.call_id)
        self.put = insert.on_conflict_do_update(
            index_elements=[table.c.vehicle, table.c.call_id],
            set_={"reply": new.reply, "made_utc": new.made_utc},
            where=table.c.reply.is_(None),
        ).returning(table.c.call_id)
        self.release = table.delete().where(is_key, table.c.reply.is_(None), table.c.owner == sa.bindparam("mine"))
        self.drop = table.delete().where(is_key, table.c.reply == sa.bindparam("bad"))


def _decoded(data: bytes) -> Reply | None:
    """The reply; None for what cannot be read: another dicem may have written it."""
    try:
        return messages.decode(Reply, data, limit=MAX_REPLY_BYTES)
    except MessageError as cause:
        log.warning("a stored reply is passed over: %s", cause)
        return None
