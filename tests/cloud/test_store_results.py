"""Replies that several gateways share: one computes, the first reply stays, and what is abandoned is taken over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from dicem_cloud.results import Claim
from dicem_cloud.store import tables
from dicem_cloud.store.database import Database
from dicem_cloud.store.results import PRUNE_ROWS, SqlResults
from dicem_shared.errors import MessageError
from dicem_shared.types import Failure, ModelId, Reply

from .postgres import postgres
from .stores import Opened, SetClock, database, opened, reply

__all__ = ["database", "opened", "postgres"]  # fixtures


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def gateways(opened: Opened, clock: SetClock) -> tuple[SqlResults, SqlResults]:
    return SqlResults(opened(), clock), SqlResults(opened(), clock)


Two = tuple[SqlResults, SqlResults]


def test_one_computes_and_the_other_gets_the_reply(gateways: Two) -> None:
    first, second = gateways
    assert first.claim("boat", "c1") is Claim.OURS
    assert second.claim("boat", "c1") is Claim.ELSEWHERE
    assert first.put("boat", reply()) == reply()
    assert second.claim("boat", "c1") == reply()
    assert first.claim("boat", "c1") == reply()


def test_vehicles_do_not_share(gateways: Two) -> None:
    first, second = gateways
    assert first.claim("boat", "c1") is Claim.OURS
    assert second.claim("other", "c1") is Claim.OURS
    first.put("boat", reply())
    assert second.claim("other", "c1") is Claim.OURS


def test_a_claim_of_ones_own_begins_anew(gateways: Two, clock: SetClock) -> None:
    first, second = gateways
    first.claim("boat", "c1")
    clock.now += 29
    assert first.claim("boat", "c1") is Claim.OURS
    clock.now += 29
    assert second.claim("boat", "c1") is Claim.ELSEWHERE


def test_a_claim_runs_out(gateways: Two, clock: SetClock) -> None:
    first, second = gateways
    first.claim("boat", "c1")
    clock.now += 29.9
    assert second.claim("boat", "c1") is Claim.ELSEWHERE
    clock.now += 0.1
    assert second.claim("boat", "c1") is Claim.OURS
    assert first.claim("boat", "c1") is Claim.ELSEWHERE


def test_the_first_reply_stays_whoever_had_the_claim(gateways: Two, clock: SetClock) -> None:
    first, second = gateways
    first.claim("boat", "c1")
    clock.now += 31
    second.claim("boat", "c1")
    late = first.put("boat", reply(result="first"))
    assert late.result == "first"
    assert second.put("boat", reply(result="second")) == late
    assert second.claim("boat", "c1") == late


def test_a_release_lets_the_other_compute(gateways: Two) -> None:
    first, second = gateways
    first.claim("boat", "c1")
    second.release("boat", "c1")
    assert second.claim("boat", "c1") is Claim.ELSEWHERE, "nobody ends the claim of another"
    first.release("boat", "c1")
    assert second.claim("boat", "c1") is Claim.OURS


def test_a_release_takes_no_reply_away(gateways: Two) -> None:
    first, _ = gateways
    first.claim("boat", "c1")
    first.put("boat", reply())
    first.release("boat", "c1")
    assert first.claim("boat", "c1") == reply()


def test_a_put_needs_no_claim(gateways: Two) -> None:
    first, second = gateways
    first.put("boat", reply())
    assert second.claim("boat", "c1") == reply()


def test_a_lease_of_a_clock_that_was_set_back_does_not_count(gateways: Two, clock: SetClock) -> None:
    first, second = gateways
    clock.now += 3600
    first.claim("boat", "c1")
    clock.now -= 3600
    assert second.claim("boat", "c1") is Claim.OURS


def test_everything_of_a_reply_comes_back(gateways: Two) -> None:
    first, second = gateways
    whole = Reply(
        call_id="c1", attempt=7, result={"a": [1, 2.5, None, True, "Ü\0", {"deep": [[]]}]}, queue_s=0.1, compute_s=0.2,
        price_usd=0.3, model=ModelId(function="llm", name="m", sha256="f" * 64), cached=True, site="edge",
        failure=Failure(kind="ValueError", message="m", retry_after_s=1.0),
    )  # fmt: skip
    first.put("boat", whole)
    assert second.claim("boat", "c1") == whole


@pytest.mark.parametrize("result", [1 << 64, "\ud800", "x" * 17_000_000])
def test_what_cannot_be_stored_says_so(database: Database, clock: SetClock, result: Any) -> None:
    store = SqlResults(database, clock)
    with pytest.raises(MessageError):
        store.put("boat", reply(result=result))
    assert store.count() == 0


def test_a_reply_that_cannot_be_read_is_computed_anew(gateways: Two, database: Database) -> None:
    first, second = gateways
    first.put("boat", reply())
    damaged = tables.results.update().values(reply=b"\xff rubbish")
    database.write(lambda connection: connection.execute(damaged))
    assert second.put("boat", reply(result="two")).result == "two"
    assert second.claim("boat", "c1") is Claim.OURS
    second.put("boat", reply(result="three"))
    assert first.claim("boat", "c1") == reply(result="three")


def test_of_many_at_once_one_computes(opened: Opened, clock: SetClock) -> None:
    """Eight gateways ask for the same twenty calls at the same time."""
    stores = [SqlResults(opened(), clock) for _ in range(8)]
    begin = threading.Barrier(len(stores))

    def ask(store: SqlResults) -> list[Reply | Claim]:
        begin.wait(30)
        outcomes = [store.claim("boat", f"c{n}") for n in range(20)]
        for n, outcome in enumerate(outcomes):
            if outcome is Claim.OURS:
                store.put("boat", reply(f"c{n}"))
        return outcomes

    with ThreadPoolExecutor(len(stores)) as pool:
        each = list(pool.map(ask, stores))
    for n in range(20):
        assert [outcomes[n] for outcomes in each].count(Claim.OURS) == 1
        assert stores[0].claim("boat", f"c{n}") == reply(f"c{n}")


def test_threads_share_one_store_in_memory(clock: SetClock) -> None:
    database = Database("sqlite://")
    store = SqlResults(database, clock)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: (store.claim("boat", f"c{n}"), store.put("boat", reply(f"c{n}"))), range(200)))
    assert store.count() == 200
    database.close()


def test_only_so_many_replies_are_kept(database: Database, clock: SetClock) -> None:
    store = SqlResults(database, clock, keep=100)
    store.claim("boat", "open")
    for n in range(260):
        clock.now += 0.01
        store.put("boat", reply(f"c{n}"))
    assert 100 <= store.count() < 100 + 64 + 1
    while store.prune():
        pass
    assert store.claim("boat", "c259") == reply("c259"), "the newest stay"
    assert store.count() == 99, "an open claim counts too, and stays"
    assert _rows(database) == 100


def test_nothing_is_kept_for_ever_and_it_goes_in_small_steps(database: Database, clock: SetClock) -> None:
    store = SqlResults(database, clock, max_age_s=100)
    for n in range(PRUNE_ROWS + 10):
        store.put("boat", reply(f"c{n}"))
    store.claim("boat", "abandoned")
    clock.now += 99
    assert store.prune() == 0
    clock.now += 2
    assert store.prune() == PRUNE_ROWS
    assert store.prune() == 11
    assert _rows(database) == 0


def _rows(database: Database) -> int:
    query = sa.select(sa.func.count()).select_from(tables.results)
    return database.read(lambda connection: connection.scalar(query)) or 0
