"""The outbox: nothing is lost and nothing comes twice, whenever the power goes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicem_edge.database import open_database
from dicem_edge.outbox import Outbox
from dicem_shared.errors import Overloaded
from dicem_shared.types import FrameInfo, Reply, Request, ShippedBlob

FRAME = FrameInfo(camera="bow", sequence=3, t_utc=1.0, blob="a" * 64, width=64, height=48)
SIZE = 1000


def call_id(number: int) -> str:
    return f"{number:032x}"


def request(number: int, *, priority: int = 5, deadline_utc: float = 1e9, size: int = SIZE) -> Request:
    blob = ShippedBlob(blob="a" * 64, source=FRAME.handle, data=b"x" * size)
    return Request(
        call_id=call_id(number), vehicle="boat", program="p", frame=FRAME, function="llm", params={"prompt": "?"},
        blobs=(blob,), deadline_utc=deadline_utc, priority=priority, reply_topic="dicem/v1/f/boat/res/c",
    )  # fmt: skip


def reply(number: int) -> Reply:
    return Reply(call_id=call_id(number), result={"output": str(number)})


@pytest.fixture
def database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def ids(outbox: Outbox) -> list[str]:
    return [kept.call_id for kept in outbox]


def test_a_call_stays_until_its_reply_is_stored(database: sqlite3.Connection) -> None:
    outbox = Outbox(database)
    assert outbox.put(request(1), now_utc=10.0) == ()
    assert outbox.request(call_id(1)) == request(1)
    assert outbox.size_bytes > SIZE
    assert outbox.settle(reply(1), now_utc=11.0)
    assert (ids(outbox), outbox.size_bytes) == ([], 0)
    assert outbox.reply(call_id(1)) == reply(1)
    assert outbox.request(call_id(1)) is None


def test_the_second_reply_and_the_second_call_change_nothing(database: sqlite3.Connection) -> None:
    outbox = Outbox(database)
    outbox.put(request(1), now_utc=10.0)
    outbox.put(request(1, size=5), now_utc=11.0)
    assert outbox.request(call_id(1)) == request(1)
    assert outbox.settle(reply(1), now_utc=12.0)
    assert not outbox.settle(reply(1).model_copy(update={"result": "other"}), now_utc=13.0)
    assert outbox.reply(call_id(1)) == reply(1)
    outbox.put(request(1), now_utc=14.0)
    assert ids(outbox) == []
    assert (outbox.counts.put, outbox.counts.settled) == (1, 1)


def test_a_reply_that_nobody_asked_for_is_not_kept(database: sqlite3.Connection) -> None:
    outbox = Outbox(database)
    assert not outbox.settle(reply(9), now_utc=1.0)
    assert outbox.reply(call_id(9)) is None


def test_replies_are_forgotten_with_the_transaction_that_stores_the_answer(database: sqlite3.Connection) -> None:
    outbox = Outbox(database)
    outbox.put(request(1), now_utc=10.0)
    outbox.settle(reply(1), now_utc=11.0)
    outbox.forget([call_id(1)])
    database.rollback()  # the answer could not be stored
    assert outbox.reply(call_id(1)) == reply(1)
    with database:
        outbox.forget([call_id(1)])
    assert outbox.reply(call_id(1)) is None


def test_what_is_overdue_is_told_and_dropped_by_whoever_asked(database: sqlite3.Connection) -> None:
    outbox = Outbox(database)
    for number, deadline in ((1, 100.0), (2, 50.0), (3, 200.0)):
        outbox.put(request(number, deadline_utc=deadline), now_utc=10.0)
    assert [kept.call_id for kept in outbox.overdue(100.0)] == [call_id(1), call_id(2)]
    assert outbox.drop(call_id(1))
    assert not outbox.drop(call_id(1))
    assert ids(outbox) == [call_id(2), call_id(3)]


class TestQuota:
    def test_the_least_important_and_then_the_oldest_makes_room(self, database: sqlite3.Connection) -> None:
        outbox = Outbox(database, quota_bytes=4 * (SIZE + 600))
        for number, priority in ((1, 5), (2, 9), (3, 9), (4, 2)):
            outbox.put(request(number, priority=priority), now_utc=10.0)
        shed = outbox.put(request(5), now_utc=11.0)
        assert [kept.call_id for kept in shed] == [call_id(2)]
        assert ids(outbox) == [call_id(number) for number in (1, 3, 4, 5)]
        assert outbox.counts.shed == {9: 1}

    def test_what_matters_less_than_all_that_is_there_is_refused(self, database: sqlite3.Connection) -> None:
        outbox = Outbox(database, quota_bytes=2 * (SIZE + 600))
        for number in (1, 2):
            outbox.put(request(number, priority=3), now_utc=10.0)
        with pytest.raises(Overloaded, match="full of calls that matter more"):
            outbox.put(request(3, priority=4), now_utc=11.0)
        assert ids(outbox) == [call_id(1), call_id(2)]
        assert outbox.counts.refused == 1

    def test_what_is_larger_than_the_quota_is_refused_and_sheds_nothing(self, database: sqlite3.Connection) -> None:
        outbox = Outbox(database, quota_bytes=2 * (SIZE + 600))
        outbox.put(request(1), now_utc=10.0)
        with pytest.raises(Overloaded):
            outbox.put(request(2, size=10 * SIZE, priority=0), now_utc=11.0)
        assert ids(outbox) == [call_id(1)]


def test_a_full_disk_changes_nothing_and_a_reply_still_makes_room(tmp_path: Path) -> None:
    database = open_database(tmp_path / "outbox.db", "select 1", what="calls", setting="outbox")
    outbox = Outbox(database)
    database.execute(f"pragma max_page_count = {database.execute('pragma page_count').fetchone()[0] + 40}")
    kept: list[str] = []

    def fill() -> None:
        for number in range(1000):
            outbox.put(request(number, size=10_000), now_utc=1.0)
            kept.append(call_id(number))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill()
    assert ids(outbox) == kept
    assert len(kept) > 5
    before = outbox.size_bytes
    assert outbox.drop(kept[0])
    assert outbox.size_bytes < before
    assert outbox.settle(reply(1), now_utc=2.0)
    database.close()
    again = Outbox(sqlite3.connect(tmp_path / "outbox.db"))
    assert (ids(again), again.size_bytes) == (kept[2:], outbox.size_bytes)


class PowerCut(BaseException):
    """The process is gone."""


class Fragile(sqlite3.Connection):
    """Ends the process before or after the n-th of its writes or commits."""

    left = 10**9

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def execute(self, *given: Any) -> sqlite3.Cursor:
        if given[0].startswith(("insert", "delete")):
            self._step()
        return super().execute(*given)

    def executemany(self, *given: Any) -> sqlite3.Cursor:
        self._step()
        return super().executemany(*given)

    def __exit__(self, kind: Any, error: Any, where: Any) -> Any:
        if kind is None:
            try:
                self._step()
            except PowerCut:
                self.rollback()
                raise
        return super().__exit__(kind, error, where)


class Machine(RuleBasedStateMachine):
    """Any sequence of calls, replies and power cuts between any two writes, against what a boat expects."""

    def __init__(self) -> None:
        super().__init__()
        self.database: Fragile = sqlite3.connect(":memory:", factory=Fragile)
        self.outbox = Outbox(self.database)
        self.waiting: set[int] = set()
        self.answered: set[int] = set()
        self.number = 0

    def power_cut(self) -> None:
        """What was not committed is gone; a new process reads the file."""
        self.database.rollback()
        self.database.left = 10**9
        self.outbox = Outbox(self.database)

    @rule(cut=st.none() | st.integers(0, 3), priority=st.integers(0, 9))
    def put(self, cut: int | None, priority: int) -> None:
        number, self.number = self.number, self.number + 1
        self.database.left = 10**9 if cut is None else cut
        try:
            self.outbox.put(request(number, priority=priority, size=10), now_utc=1.0)
        except PowerCut:
            self.power_cut()
            if not self.outbox.knows(call_id(number)):
                return  # it was never said to be kept
        self.database.left = 10**9
        self.waiting.add(number)

    @precondition(lambda self: self.waiting or self.answered)
    @rule(data=st.data(), cut=st.none() | st.integers(0, 3))
    def settle(self, data: st.DataObject, cut: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting | self.answered)))
        self.database.left = 10**9 if cut is None else cut
        try:
            first = self.outbox.settle(reply(number), now_utc=2.0)
        except PowerCut:
            self.power_cut()
            first = number in self.waiting and self.outbox.reply(call_id(number)) is not None
            if not first:
                return
        self.database.left = 10**9
        assert first == (number in self.waiting)
        self.waiting.discard(number)
        self.answered.add(number)

    @rule()
    def restart(self) -> None:
        self.power_cut()

    @invariant()
    def all_that_was_kept_is_there_once(self) -> None:
        assert set(ids(self.outbox)) == {call_id(number) for number in self.waiting}
        assert len(ids(self.outbox)) == len(self.outbox) == len(self.waiting)
        for number in self.answered:
            assert self.outbox.reply(call_id(number)) == reply(number)
        total = self.database.execute("select coalesce(sum(size), 0) from calls").fetchone()[0]
        assert self.outbox.size_bytes == total


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
