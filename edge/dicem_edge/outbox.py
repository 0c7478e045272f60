"""Calls that must reach the cloud, kept on disk until their replies are.

    outbox.put(request, now_utc=...)        # kept when this returns; the same call again changes nothing
    outbox.settle(reply, now_utc=...)       # the reply is stored and the call leaves, in one transaction
    outbox.forget(call_ids)                 # the answer that the replies went into is stored

A call leaves in the transaction that stores its reply, never because a broker has acknowledged it: a broker forgets
what it acknowledged when it is killed.  What is over the quota is shed, what matters least and then the oldest first,
and is counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dicem_shared import messages
from dicem_shared.errors import ConfigError, Overloaded
from dicem_shared.types import Reply, Request

SCHEMA: Final = (
    """create table if not exists calls (
        number integer primary key, call_id text not null unique, priority integer not null, deadline_utc real not null,
        created_utc real not null, size integer not null, request blob not null
    ) strict""",
    "create index if not exists calls_by_deadline on calls (deadline_utc)",
    """create table if not exists replies (
        call_id text primary key, stored_utc real not null, reply blob not null
    ) strict""",
)
COLUMNS: Final = "call_id, priority, deadline_utc, size"
FULL_RETRY_S: Final = 30.0
ANY_SIZE: Final = 1 << 30
"""what we wrote is read again whatever its size"""


class Kept(NamedTuple):
    """One call in the outbox, without its bytes."""

    call_id: str
    priority: int
    deadline_utc: float
    size_bytes: int


@dataclass
class Counts:
    """What has become of calls since the process began."""

    put: int = 0
    settled: int = 0
    dropped: int = 0
    """expired, or refused for good"""
    shed: dict[int, int] = field(default_factory=dict)
    """by priority: they had to make room"""
    refused: int = 0
    """there was no room, and nothing here mattered less"""


class Outbox:
    """See the module's text.  For one thread."""

    def __init__(self, database: sqlite3.Connection, *, quota_bytes: int = 1_000_000_000) -> None:
        """:raises ConfigError: the database cannot be used"""
        self._db, self._quota = database, quota_bytes
        self.counts = Counts()
        try:
            with database:
                for statement in SCHEMA:
                    database.execute(statement)
            (self.size_bytes,) = database.execute("select coalesce(sum(size), 0) from calls").fetchone()
        except sqlite3.Error as cause:
            raise ConfigError("the outbox cannot be opened", got=str(cause)) from None

    def __len__(self) -> int:
        """Calls without a reply."""
        count: int = self._db.execute("select count(*) from calls").fetchone()[0]
        return count

    def __iter__(self) -> Iterator[Kept]:
        """What has no reply yet, in the order in which it came."""
        return map(Kept._make, self._db.execute(f"select {COLUMNS} from calls order by number").fetchall())

    def put(self, request: Request, *, now_utc: float) -> tuple[Kept, ...]:
        """Keep a call; gives those that had to leave for it.  One that is here, or was answered, changes nothing.

        :raises Overloaded: there is no room, and nothing here matters less
        :raises sqlite3.Error: the disk is full or broken; nothing has changed
        """
        if self.knows(request.call_id):
            return ()
        data = messages.encode(request, limit=ANY_SIZE)
        too_much = self.size_bytes + len(data) - self._quota
        shed = self._victims(request.priority, too_much) if too_much > 0 else ()
        with self._db:
            self._db.executemany("delete from calls where call_id = ?", [(one.call_id,) for one in shed])
            self._db.execute(
                "insert into calls (call_id, priority, deadline_utc, created_utc, size, request)"
                " values (?, ?, ?, ?, ?, ?)",
                (request.call_id, request.priority, request.deadline_utc, now_utc, len(data), data),
            )
        self.size_bytes += len(data) - sum(one.size_bytes for one in shed)
        self.counts.put += 1
        for one in shed:
            self.counts.shed[one.priority] = self.counts.shed.get(one.priority, 0) + 1
        return shed

    def knows(self, call_id: str) -> bool:
        """Whether the call is here, or its reply."""
        either = "select 1 from calls where call_id = :id union all select 1 from replies where call_id = :id"
        return self._db.execute(either, {"id": call_id}).fetchone() is not None

    def request(self, call_id: str) -> Request | None:
        """The call as it goes out; None: it is not here any more."""
        row = self._db.execute("select request from calls where call_id = ?", (call_id,)).fetchone()
        return None if row is None else messages.decode(Request, row[0], limit=ANY_SIZE)

    def reply(self, call_id: str) -> Reply | None:
        """The reply that came, until it is forgotten."""
        row = self._db.execute("select reply from replies where call_id = ?", (call_id,)).fetchone()
        return None if row is None else messages.decode(Reply, row[0], limit=ANY_SIZE)

    def settle(self, reply: Reply, *, now_utc: float) -> bool:
        """Store a reply and let its call go; False: the call is not here, so this is the second reply to it.

        :raises sqlite3.Error: the disk is full or broken; nothing has changed
        """
        size = self._size(reply.call_id)
        if size is None:
            return False
        with self._db:
            self._db.execute(
                "insert into replies (call_id, stored_utc, reply) values (?, ?, ?)",
                (reply.call_id, now_utc, messages.encode(reply, limit=ANY_SIZE)),
            )
            self._db.execute("delete from calls where call_id = ?", (reply.call_id,))
        self.size_bytes -= size
        self.counts.settled += 1
        return True

    def drop(self, call_id: str) -> bool:
        """Let a call go without a reply: it expired, or was refused for good; False: it is not here."""
        size = self._size(call_id)
        if size is None:
            return False
        with self._db:
            self._db.execute("delete from calls where call_id = ?", (call_id,))
        self.size_bytes -= size
        self.counts.dropped += 1
        return True

    def overdue(self, now_utc: float) -> tuple[Kept, ...]:
        """The calls whose deadline has passed."""
        order = f"select {COLUMNS} from calls where deadline_utc <= ? order by number"
        return tuple(map(Kept._make, self._db.execute(order, (now_utc,))))

    def forget(self, call_ids: Iterable[str]) -> None:
        """Drop replies, in the transaction that is open: the one that stores the answer they went into."""
        self._db.executemany("delete from replies where call_id = ?", [(call_id,) for call_id in call_ids])

    def _size(self, call_id: str) -> int | None:
        row = self._db.execute("select size from calls where call_id = ?", (call_id,)).fetchone()
        return None if row is None else int(row[0])

    def _victims(self, priority: int, bytes_needed: int) -> tuple[Kept, ...]:
        """Who leaves for a call of this priority: what matters less or as much, the oldest first.

        :raises Overloaded: that would not be enough
        """
        chosen, freed = list[Kept](), 0
        order = f"select {COLUMNS} from calls where priority >= ? order by priority desc, number"
        for row in self._db.execute(order, (priority,)):
            chosen.append(Kept._make(row))
            freed += chosen[-1].size_bytes
            if freed >= bytes_needed:
                return tuple(chosen)
        self.counts.refused += 1
        raise Overloaded("the outbox is full of calls that matter more", retry_after_s=FULL_RETRY_S)
