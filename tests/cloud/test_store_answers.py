"""Answers in the store: each once, found by what one asks for, and followed without missing any."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dicem_cloud.store import tables
from dicem_cloud.store.answers import PRUNE_ROWS, RANK, AnswerFilter, Answers, _row, _store
from dicem_cloud.store.database import Database
from dicem_shared.errors import InvalidCall, MessageError
from dicem_shared.types import Answer

from .postgres import Postgres, postgres
from .stores import NOW, Opened, SetClock, answer, database, opened, seen

__all__ = ["database", "opened", "postgres"]  # fixtures


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(database: Database, clock: SetClock) -> Answers:
    return Answers(database, clock)


def ids(store: Answers, **which: Any) -> list[str]:
    return [one.answer.id for one in store.page(AnswerFilter(**which), newest_first=False).answers]


def test_an_answer_comes_back_whole(store: Answers) -> None:
    whole = answer(value={"Ü\0": [1, 2.5, None]}, printed="p", observations=(seen(1.0, 2.0),), reason="r")
    (stored,) = store.put([("fleet", whole)])
    assert stored.number == 1
    assert stored.fleet == "fleet"
    assert stored.received_utc == NOW
    assert store.get("a1") == stored
    assert stored.answer == whole
    assert store.get("a1", vehicle="boat-2") is None
    assert store.get("a2") is None
    assert store.get("\0") is None


def test_an_answer_that_comes_twice_is_there_once(store: Answers) -> None:
    assert len(store.put([("f", answer()), ("f", answer()), ("f", answer("a2"))])) == 2
    assert store.put([("f", answer(latency_s=3.0))]) == []
    assert store.last_number() == 2
    assert store.count() == 2


def test_vehicles_and_fleets_may_use_the_same_id(store: Answers) -> None:
    store.put([("f", answer()), ("f", answer(vehicle="boat-2")), ("g", answer())])
    assert store.count() == 3


def test_a_change_is_news(store: Answers) -> None:
    store.put([("f", answer(status="pending", observations=(seen(1, 2), seen(1, 2), seen(3, 4))))])
    store.put([("f", answer("a2"))])
    (changed,) = store.put([("f", answer(status="final", observations=(seen(5, 6),)))])
    assert changed.number == 3
    assert [one.answer.id for one in store.news(0).answers] == ["a2", "a1"]
    assert store.put([("f", answer(status="pending"))]) == []
    assert store.get("a1") == changed
    assert ids(store, box=(1, 0, 7, 7)) == ["a1"]
    assert ids(store, box=(1, 0, 5, 4)) == [], "where it was before is forgotten"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(RANK))), max_size=5), max_size=8))
def test_the_status_that_says_most_stays_in_whatever_order(batches: list[list[tuple[int, Any]]]) -> None:
    database = Database("sqlite://")
    store = Answers(database, SetClock())
    best: dict[str, Answer] = {}
    for batch in batches:
        arrived = [answer(f"a{n}", status=status) for n, status in batch]
        last = store.last_number()
        new = store.put([("f", one) for one in arrived])
        assert [one.number for one in new] == list(range(last + 1, last + 1 + len(new)))
        for one in arrived:
            known = best.get(one.id)
            if known is None or RANK[one.status] > RANK[known.status]:
                best[one.id] = one
    assert {one.answer.id: one.answer for one in store.news(0).answers} == best
    database.close()


@pytest.mark.parametrize(
    "bad", [{"id": ""}, {"id": "x" * 201}, {"id": "a\0"}, {"program_id": "\n"}, {"value": 1 << 70}, {"value": "\ud800"}]
)
def test_what_can_never_be_stored_is_refused_and_nothing_with_it(store: Answers, bad: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        store.put([("f", answer("good")), ("f", answer().model_copy(update=bad))])
    assert store.count() == 0
    assert store.last_number() == 0


def test_an_empty_batch_is_nothing(store: Answers) -> None:
    assert store.put([]) == []


@pytest.fixture
def many(store: Answers) -> Answers:
    statuses = ["final", "failed", "pending", "expired"]
    store.put([
        (
            "north" if n % 2 else "south",
            answer(
                f"a{n:02}", vehicle=f"boat-{n % 3}", program_id=f"p{n % 2}", status=statuses[n % 4],
                t_utc=NOW - 100 + n // 2,
            ),
        )
        for n in range(24)
    ])  # fmt: skip
    return store


FOUND: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({}, lambda n: True),
    ({"fleet": "north"}, lambda n: n % 2 == 1),
    ({"vehicle": "boat-2"}, lambda n: n % 3 == 2),
    ({"program": "p0"}, lambda n: n % 2 == 0),
    ({"status": "expired"}, lambda n: n % 4 == 3),
    ({"since": NOW - 95}, lambda n: n >= 10),
    ({"until": NOW - 95}, lambda n: n < 10),
    ({"since": NOW - 95, "until": NOW - 95}, lambda n: False),
    ({"vehicle": "boat-1", "program": "p1", "status": "failed", "since": NOW - 97}, lambda n: n == 13),
    ({"vehicle": "nobody"}, lambda n: False),
]


def test_answers_are_found(many: Answers) -> None:
    for which, expected in FOUND:
        names = [f"a{n:02}" for n in range(24) if expected(n)]
        asked = AnswerFilter(**which)
        assert ids(many, **which) == names, which
        assert many.count(asked) == len(names), which
        assert [one.answer.id for one in many.news(0, asked).answers] == names, which


def test_pages_hold_everything_once(many: Answers) -> None:
    """Whatever comes in between."""
    late = 0
    for newest_first, limit in itertools.product((True, False), (1, 5, 24, 100)):
        found: list[str] = []
        cursor, pages = None, 0
        until = AnswerFilter(since=NOW - 1000, until=NOW)
        while pages == 0 or cursor is not None:
            page = many.page(until, cursor=cursor, limit=limit, newest_first=newest_first)
            assert len(page.answers) == limit or page.cursor is None
            found += [one.answer.id for one in page.answers]
            cursor, pages, late = page.cursor, pages + 1, late + 1
            many.put([("f", answer(f"late {late}", t_utc=NOW - 2000 if late % 2 else NOW + 2000))])
        expected = [f"a{n:02}" for n in range(24)]
        assert found == (expected[::-1] if newest_first else expected)
        assert pages == math.ceil(24 / limit)


def test_answers_of_the_same_moment_have_pages_too(store: Answers) -> None:
    store.put([("f", answer(f"a{n}")) for n in range(5)])
    first = store.page(limit=3)
    assert [one.answer.id for one in first.answers] == ["a4", "a3", "a2"]
    assert [one.answer.id for one in store.page(cursor=first.cursor).answers] == ["a1", "a0"]


def test_a_cursor_that_we_did_not_give(store: Answers) -> None:
    for cursor in ("", "x", "_", "1_", "1_x", "nan_1", "inf_1", "1_-1", f"1_{1 << 70}", "1" * 500 + "_1", "1_1_1"):
        with pytest.raises(InvalidCall, match="no such cursor"):
            store.page(cursor=cursor)


def test_a_limit_out_of_bounds(store: Answers) -> None:
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidCall):
            store.page(limit=limit)
        with pytest.raises(InvalidCall):
            store.news(0, limit=limit)


# Where


BOXES: list[tuple[tuple[float, float, float, float], list[str]]] = [
    ((10, 50, 11, 51), ["inside"]),
    ((-180, -90, 180, 90), ["inside", "by boat", "two", "east", "west"]),
    ((10.5, 50.5, 10.5, 50.5), ["inside"]),
    ((20, 40, 21, 41), ["by boat"]),
    ((-1, -1, 1, 1), ["two"]),
    ((4, 4, 6, 6), []),
    ((170, -10, -170, 10), ["east", "west"]),
    ((-170, -10, 170, 10), ["two"]),
    ((179, -10, 180, 10), ["east"]),
]


def test_answers_are_found_by_place(store: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "inside": (seen(50.5, 10.5, boat=(0.5, 60.0)),),
        "by boat": (seen(boat=(40.5, 20.5)),),
        "two": (seen(0, 0), seen(9, 9)),
        "east": (seen(0, 179.5),),
        "west": (seen(0, -179.5),),
        "nowhere": (seen(),),
        "empty water": (),
    }
    store.put([("f", answer(name, observations=where)) for name, where in places.items()])
    for (box, found), few in itertools.product(BOXES, (2000, 0)):
        monkeypatch.setattr("dicem_cloud.store.answers.FEW", few)  # the same from either end
        assert ids(store, box=box) == found, box
        assert [one.answer.id for one in store.news(0, AnswerFilter(box=box)).answers] == found, box
        assert store.count(AnswerFilter(box=box)) == len(found), box


@pytest.mark.parametrize(
    "bad",
    [
        {"box": (0, 10, 1, 9)}, {"box": (0, 0, 181, 1)}, {"box": (0, math.nan, 1, 1)}, {"box": (0, 0, 1)},
        {"since": -1}, {"until": math.inf}, {"vehicle": "a b"}, {"status": "done"}, {"program": ""}, {"boat": "x"},
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnswerFilter(**bad)


# Following


def test_a_reader_follows(many: Answers) -> None:
    only = AnswerFilter(vehicle="boat-2")
    first = many.news(0, only, limit=3)
    assert [one.answer.id for one in first.answers] == ["a02", "a05", "a08"]
    second = many.news(first.number, only, limit=100)
    assert [one.answer.id for one in second.answers] == ["a11", "a14", "a17", "a20", "a23"]
    assert second.number == many.last_number()
    many.put([("f", answer("other"))])
    third = many.news(second.number, only)
    assert third.answers == []
    assert third.number == second.number + 1, "what does not matter is not looked at again"


def test_a_number_that_was_never_given_starts_anew(many: Answers) -> None:
    for after in (-5, 25, 1 << 80):
        assert len(many.news(after).answers) == 24


def test_readers_miss_nothing_while_gateways_write(opened: Opened, clock: SetClock) -> None:
    gateways = [Answers(opened(), clock) for _ in range(4)]

    pause = threading.Event()

    def write(writer: int) -> None:
        for n in range(10):
            gateways[writer].put([("f", answer(f"{writer}-{n}-{k}", status="pending")) for k in range(2)])
            gateways[(writer + 1) % 4].put([("f", answer(f"{writer}-{n}-1"))])

    def read(reader: int) -> list[tuple[int, str, str]]:
        found: list[tuple[int, str, str]] = []
        number = 0
        while sum(status == "final" for _, _, status in found) < 40 or len({name for _, name, _ in found}) < 80:
            news = gateways[reader].news(number, limit=50)
            found += [(one.number, one.answer.id, one.answer.status) for one in news.answers]
            number = news.number
            pause.wait(0.001)
        return found

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read, n) for n in range(2)]
        for done in [pool.submit(write, n) for n in range(4)]:
            done.result(60)
        for reader in readers:
            numbers = [number for number, _, _ in reader.result(60)]
            assert numbers == sorted(set(numbers))
    assert gateways[0].last_number() == 120
    assert gateways[0].count() == 80


def test_numbers_become_visible_in_their_order(postgres: Postgres, clock: SetClock) -> None:
    """A gateway that has its number but has not committed holds the others back, so no reader runs past it.

    SQLite has one writer at a time, whatever we do.
    """
    url = postgres.new_url()
    slow, other_database = Database(url), Database(url)
    quick, reader = Answers(other_database, clock), Answers(other_database, clock)
    blocked = sa.text("select count(*) from pg_locks where not granted")

    def work(connection: sa.Connection) -> threading.Thread:
        (row,) = _store(connection, [_row("f", answer("slow"), NOW)])
        assert row.columns["number"] == 1
        other = threading.Thread(target=quick.put, args=([("f", answer("quick"))],))
        other.start()
        while not slow.read(lambda watching: watching.scalar(blocked)):
            pass
        assert reader.news(0).answers == []
        assert reader.news(0).number == 0
        return other

    slow.write(work).join(30)
    assert [one.answer.id for one in reader.news(0).answers] == ["slow", "quick"]
    slow.close()
    other_database.close()


# What is kept


def test_only_so_many_are_kept_and_numbers_are_never_given_again(database: Database, clock: SetClock) -> None:
    store = Answers(database, clock, keep=10)
    for n in range(130):
        store.put([("f", answer(f"a{n}", observations=(seen(1, 1),)))])
    assert store.count() < 10 + 64
    while store.prune():
        pass
    assert store.count() == 10
    assert store.count(AnswerFilter(box=(0, 0, 2, 2))) == 10
    assert _places(database) == 10
    store = Answers(database, clock, keep=1, max_age_s=1.0)
    clock.now += 2
    while store.prune():
        pass
    assert store.count() == 0
    assert store.put([("f", answer("new"))])[0].number == 131


def test_age_counts_from_when_an_answer_came(database: Database, clock: SetClock) -> None:
    """A vehicle's clock does not decide how long its answers stay."""
    store = Answers(database, clock, max_age_s=100.0)
    store.put([("f", answer(f"a{n}", t_utc=NOW + 1e6 * (n % 3 - 1))) for n in range(PRUNE_ROWS + 44)])
    clock.now += 50
    store.put([("f", answer("later", t_utc=0.0))])
    assert store.prune() == 0
    clock.now += 51
    assert store.prune() == PRUNE_ROWS, "in small steps"
    assert store.prune() == 44
    assert store.prune() == 0
    assert ids(store) == ["later"]


def test_an_answer_that_cannot_be_read_hides_no_other(store: Answers, database: Database) -> None:
    store.put([("f", answer("a1")), ("f", answer("a2"))])
    damage = tables.answers.update().where(tables.answers.c.id == "a1").values(answer=b"\xff")
    database.write(lambda connection: connection.execute(damage))
    assert ids(store) == ["a2"]
    assert store.get("a1") is None
    assert [one.answer.id for one in store.news(0).answers] == ["a2"]


def _places(database: Database) -> int:
    return database.read(lambda one: one.scalar(sa.select(sa.func.count()).select_from(tables.places))) or 0
