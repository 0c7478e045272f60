"""Databases that are away, full or read-only: every call is answered, one line says so, and it is made up for after."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dicem_cloud.results import Claim
from dicem_cloud.store.database import Database, StoreUnavailable
from dicem_cloud.store.results import SqlResults
from dicem_cloud.store.safe import PAY_AT_ONCE, SafeResults
from dicem_shared.types import Reply

from .postgres import Postgres, postgres
from .stores import SetClock, reply

__all__ = ["postgres"]  # fixtures


class Outage:
    """How a database is taken away and given back."""

    def __init__(self, database: Database, away: Callable[[], None], back: Callable[[], None]) -> None:
        self.database, self.away, self.back = database, away, back


@pytest.fixture(params=["stopped server", "full file", "read-only file", "locked file"])
def outage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    if request.param == "stopped server":
        server: Postgres = request.getfixturevalue("postgres")
        database = Database(server.new_url())
        yield Outage(database, server.stop, server.start)
        database.close()
        return
    monkeypatch.setattr("dicem_cloud.store.database.BUSY_S", 0.01)
    path = tmp_path / "store.db"
    database = Database(f"sqlite:///{path}")
    made: list[Any] = []
    sa.event.listen(database._engine, "checkout", lambda connection, *_: made and made[0](connection))

    def pragmas(*each: str) -> Callable[[], None]:
        return lambda: made.__setitem__(slice(None), [lambda one: [one.execute(f"pragma {pragma}") for pragma in each]])

    locker = sqlite3.connect(path, isolation_level=None)
    ways = {
        "full file": (pragmas("max_page_count = 1"), pragmas("max_page_count = 1000000")),
        "read-only file": (pragmas("query_only = 1"), pragmas("query_only = 0")),
        "locked file": (lambda: locker.execute("begin exclusive"), lambda: locker.execute("commit")),
    }
    away, back = ways[request.param]
    yield Outage(database, away, back)  # type: ignore[arg-type]
    locker.close()
    database.close()


def test_an_outage_loses_nothing(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()
    shared = SqlResults(outage.database, clock)
    other = SqlResults(outage.database, clock)
    safe = SafeResults(shared, clock)
    big = "x" * 9000  # more than the pages that are free
    assert safe.claim("boat", "before") is Claim.OURS
    safe.put("boat", reply("before", big))
    assert safe.claim("boat", "across") is Claim.OURS
    outage.away()
    assert safe.put("boat", reply("across", big)) == reply("across", big)
    assert safe.claim("boat", "during") is Claim.OURS
    clock.now += 5
    for n in range(2 * PAY_AT_ONCE):
        assert safe.claim("boat", f"during {n}") is Claim.OURS
        assert safe.put("boat", reply(f"during {n}", big)).result == big
        clock.now += 0.1
    safe.release("boat", "during")
    assert safe.claim("boat", "during 3") == reply("during 3", big), "answered from memory"
    assert safe.claim("boat", "before") == reply("before", big)
    assert not safe.is_shared
    assert safe.owed == 2 * PAY_AT_ONCE + 1
    assert _warnings(caplog) == ["results are kept in memory only until the database is back"]
    outage.back()
    clock.now += 5
    assert safe.claim("boat", "after") is Claim.OURS
    assert safe.is_shared
    assert 0 < safe.owed <= PAY_AT_ONCE + 1, "only some at once"
    safe.settle()
    assert safe.owed == 0
    for name in ("across", "during 0", "during 31"):
        assert other.claim("boat", name) == reply(name, big)
    assert other.claim("boat", "after") is Claim.ELSEWHERE
    assert _warnings(caplog)[1:] == ["the database of results is back"]


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(":")[0] for record in caplog.records if record.levelno >= logging.WARNING]


class Flaky(SqlResults):
    """Counts how often it is asked, and can be away."""

    def __init__(self, database: Database, clock: SetClock) -> None:
        super().__init__(database, clock)
        self.asked, self.is_away = 0, False

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return super().claim(vehicle, call_id)


def test_a_database_that_is_away_is_asked_once_a_second(tmp_path: Path) -> None:
    """Each question may take seconds: nobody else waits for its end."""
    clock, database = SetClock(), Database(f"sqlite:///{tmp_path}/store.db")
    flaky = Flaky(database, clock)
    safe = SafeResults(flaky, clock)
    flaky.is_away = True
    for n in range(100):
        assert safe.claim("boat", f"c{n}") is Claim.OURS
        clock.now += 0.1
    assert 10 <= flaky.asked <= 11
    database.close()


def test_a_database_that_is_slow_to_say_that_it_is_away_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked file takes seconds for it, and all calls of the broker come through one thread."""
    monkeypatch.setattr("dicem_cloud.store.safe.PATIENCE_S", 0.0)
    clock, database, says = SetClock(), Database(f"sqlite:///{tmp_path}/store.db"), threading.Event()

    class Slow(Flaky):
        def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
            if self.asked:
                assert says.wait(20)
            return super().claim(vehicle, call_id)

    slow = Slow(database, clock)
    safe = SafeResults(slow, clock)
    slow.is_away = True
    safe.claim("boat", "c0")
    slow.is_away, clock.now = False, clock.now + 5
    for n in range(10):
        clock.now += 5
        assert safe.claim("boat", f"c{n}") is Claim.OURS
    assert not safe.is_shared
    says.set()
    for thread in threading.enumerate():
        if thread.name == "store-again":
            thread.join(20)
    assert safe.is_shared
    assert slow.asked == 2
    database.close()


def test_a_known_reply_needs_no_database(tmp_path: Path) -> None:
    clock, database = SetClock(), Database(f"sqlite:///{tmp_path}/store.db")
    flaky = Flaky(database, clock)
    safe = SafeResults(flaky, clock, hot=2)
    for n in range(3):
        safe.put("boat", reply(f"c{n}"))
    assert safe.claim("boat", "c2") == reply("c2")
    assert flaky.asked == 0
    assert safe.claim("boat", "c0") == reply("c0"), "the oldest has left the memory, not the database"
    assert flaky.asked == 1
    database.close()


def test_what_cannot_be_stored_is_answered_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, database = SetClock(), Database(f"sqlite:///{tmp_path}/store.db")
    safe, other = SafeResults(SqlResults(database, clock), clock), SqlResults(database, clock)
    assert safe.claim("boat", "c1") is Claim.OURS
    odd = reply(result=1 << 80)
    assert safe.put("boat", odd) == odd
    assert safe.claim("boat", "c1") == odd
    assert safe.is_shared
    assert safe.owed == 0
    assert other.claim("boat", "c1") is Claim.OURS, "the claim has ended"
    assert len(_warnings(caplog)) == 1
    database.close()


def test_the_other_gateways_reply_wins(tmp_path: Path) -> None:
    clock, database = SetClock(), Database(f"sqlite:///{tmp_path}/store.db")
    first, second = (SafeResults(SqlResults(database, clock), clock) for _ in range(2))
    first.put("boat", reply(result="first"))
    assert second.put("boat", reply(result="second")).result == "first"
    assert second.claim("boat", "c1") == reply(result="first")
    database.close()


def test_what_is_owed_is_bounded(tmp_path: Path) -> None:
    clock, database = SetClock(), Database(f"sqlite:///{tmp_path}/store.db")
    safe = SafeResults(SqlResults(database, clock), clock, hot=5)
    database._engine.dispose()
    os.rename(tmp_path / "store.db", tmp_path / "moved.db")
    (tmp_path / "store.db").mkdir()
    for n in range(20):
        assert safe.put("boat", reply(f"c{n}")) == reply(f"c{n}")
    assert safe.owed == 5
    safe.settle()
    assert safe.owed == 5, "it is still away"
