"""What vehicles publish gets into the store: once, from whom it says, and also when the store or a gateway was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from dicem_cloud import ingest
from dicem_cloud.ingest import Ingest
from dicem_cloud.store.answers import Answers, StoredAnswer
from dicem_cloud.store.database import StoreUnavailable
from dicem_cloud.store.opened import Store, open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_shared import messages
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.deployment import MAX_SIGNED_BYTES, Deployed, Deployment
from dicem_shared.keys import OperatorKey
from dicem_shared.mqtt import Connection, Note
from dicem_shared.types import Answer

from .conftest import Broker

ROOT = "dicem/v1/test/boat-1"


def answer(answer_id: str, vehicle: str = "boat-1") -> Answer:
    return Answer(
        id=answer_id, survey_id="s", vehicle=vehicle, camera="bow", frame=3, program_id="p", status="final",
        source="edge", t_utc=1.0,
    )  # fmt: skip


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, "nothing came in time"
        time.sleep(0.005)


class Boat:
    """Publishes; every message is with the broker when `say` is done."""

    def __init__(self, broker: Broker, name: str = "boat-1") -> None:
        status = f"dicem/v1/test/{name}/status"
        self.connection = Connection(
            BrokerConfig(port=broker.port), name, subscriptions=(), on_message=lambda _: None, keep_session=False,
            online=Note(status, b"online"), offline=Note(status, b"offline"), stopped=Note(status, b"stopped"),
        )  # fmt: skip

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        taken = threading.Event()
        assert self.connection.publish(topic, payload, retain=retain, on_ack=lambda _: taken.set())
        assert taken.wait(30)

    def answers(self, *names: str) -> None:
        for name in names:
            self.say(f"{ROOT}/event", messages.encode(answer(name)))


@pytest.fixture
def boat(broker: Broker) -> Iterator[Boat]:
    one = Boat(broker)
    one.connection.open()
    yield one
    one.connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(StoreConfig(url=f"sqlite:///{tmp_path}/store.db"), SystemClock()) as opened:
        yield opened


class Away(Answers):
    """A store that can be away, and counts what it is asked."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database, SystemClock())
        self.is_away, self.asked, self.stored = False, 0, 0

    def put(self, arrivals: Sequence[tuple[str, Answer]]) -> list[StoredAnswer]:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")
        found = super().put(arrivals)
        self.stored += len(found)
        return found


def with_answers(store: Store, answers: Answers) -> Store:
    return Store(store.database, store.results, answers, store.vehicles, store.deployments, store.programs)


def found(store: Store) -> list[str]:
    return sorted(one.answer.id for one in store.answers.news(0).answers)


def make(broker: Broker, store: Store, name: str = "one", fleets: frozenset[str] | None = None) -> Ingest:
    return Ingest(BrokerConfig(port=broker.port), store, name=name, fleets=fleets)


def test_everything_of_a_vehicle_is_known(broker: Broker, boat: Boat, store: Store, tmp_path: Path) -> None:
    key = OperatorKey.create(tmp_path / "operator.pem")
    wanted = Deployment(
        fleet="test", vehicle="boat-1", program="litter", counter=7, action="run", issued_utc=5.0, program_id="hash",
        source="1",
    )  # fmt: skip
    signed = messages.encode(wanted.signed(key), limit=MAX_SIGNED_BYTES)
    boat.say(f"{ROOT}/deploy/litter", signed, retain=True)
    report = Deployed(program="litter", state="running", counter=7, program_id="hash", running_id="hash", t_utc=6.0)
    with make(broker, store).running():
        boat.say(f"{ROOT}/deployed/litter", messages.encode(report), retain=True)
        boat.answers("a1", "a1")
        until(lambda: store.answers.count() == 1)
        (seen,) = store.vehicles.all()
        assert (seen.fleet, seen.vehicle, seen.status, seen.answers.statuses) == (
            "test", "boat-1", "online", {"final": 1}
        )  # fmt: skip
        assert seen.seen_utc is not None
        assert [(one.program, one.wanted_id, one.state, one.is_behind) for one in seen.programs] == [
            ("litter", "hash", "running", False)
        ]
        assert [one.id for one in store.programs.all()] == ["hash", "p"]
        boat.connection.close()
        until(lambda: store.vehicles.all()[0].status == "stopped")
        other = Boat(broker, "boat-2")
        other.connection.open()
        other.say(f"{ROOT}/deploy/litter", b"", retain=True)
        other.say(f"{ROOT}/deployed/litter", b"", retain=True)
        until(lambda: store.deployments.all() == [])
        other.say(f"{ROOT}/status", b"", retain=True)
        until(lambda: [one.vehicle for one in store.vehicles.all()] == ["boat-2"])
        other.connection.close()


def test_nobody_speaks_for_another_and_rubbish_hurts_nobody(broker: Broker, boat: Boat, store: Store) -> None:
    lie = messages.encode(answer("lie", vehicle="boat-2"))
    deployment = Deployment(
        fleet="test", vehicle="boat-2", program="litter", counter=7, action="remove", issued_utc=5.0
    )  # fmt: skip
    with make(broker, store, fleets=frozenset({"test", "_cloud"})).running():
        boat.say(f"{ROOT}/event", lie)
        boat.say(f"{ROOT}/event", messages.encode(answer("x" * 300)))
        boat.say(f"{ROOT}/event", b"\xff\xff rubbish")
        boat.say(f"{ROOT}/event", b"")
        boat.say(f"{ROOT}/status", b"sunk")
        boat.say(f"{ROOT}/deploy/litter", messages.encode(deployment))
        boat.say(f"{ROOT}/deployed/litter", messages.encode(Deployed(program="other", state="running")))
        boat.say(f"{ROOT}/deployed/a b", b"rubbish")
        boat.say("dicem/v1/other/boat-1/event", messages.encode(answer("other fleet")))
        boat.say("dicem/v1/_cloud/boat-1/event", messages.encode(answer("cloud")))
        boat.say("dicem/v1/test/dicem-ask/status", b"online")
        boat.answers("good")
        until(lambda: "good" in found(store))
        assert found(store) == ["good"]
        assert [one.vehicle for one in store.vehicles.all()] == ["boat-1"]
        assert store.deployments.all() == []


def test_each_answer_is_stored_by_one_gateway(broker: Broker, boat: Boat, store: Store) -> None:
    pair = [Away(store), Away(store)]
    with ExitStack() as stack:
        for number, one in enumerate(pair):
            stack.enter_context(make(broker, with_answers(store, one), f"gateway-{number}").running())
        names = [f"a{n:02}" for n in range(30)]
        boat.answers(*names)
        until(lambda: store.answers.count() == 30)
    assert found(store) == names
    assert sum(one.stored for one in pair) == 30
    assert all(one.stored for one in pair), "the broker deals them out"


def test_what_a_gateway_has_not_stored_it_gets_again(broker: Broker, boat: Boat, store: Store) -> None:
    away = Away(store)
    away.is_away = True
    with make(broker, with_answers(store, away)).running():
        boat.answers("a1", "a2")
        until(lambda: away.asked > 0)
    assert store.answers.count() == 0
    boat.answers("a3")
    with make(broker, store).running():
        until(lambda: store.answers.count() == 3)


def test_answers_wait_until_the_store_is_back(
    broker: Broker, boat: Boat, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More than the broker hands out without an acknowledgement."""
    monkeypatch.setattr(ingest, "RETRY_S", 0.01)
    away = Away(store)
    away.is_away = True
    names = [f"a{n:02}" for n in range(50)]
    with make(broker, with_answers(store, away)).running():
        boat.answers(*names)
        until(lambda: away.asked > 3)
        away.is_away = False
        until(lambda: store.answers.count() == 50)
    assert found(store) == names
    assert [record.getMessage().split(":")[0] for record in caplog.records if record.name == ingest.__name__] == [
        "what vehicles publish waits at the broker until the store is back",
        "the store is back",
    ]


def test_a_broker_that_starts_anew_acknowledges_nothing_old(
    broker: Broker, boat: Boat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its packet ids begin anew; what was held under them must not be taken for what comes now."""
    monkeypatch.setattr(ingest, "RETRY_S", 0.01)
    away = Away(store)
    away.is_away = True
    gateway = make(broker, with_answers(store, away))
    with gateway.running():
        boat.answers(*(f"old {n}" for n in range(3)))
        until(lambda: away.asked > 0)
        broker.stop()
        until(lambda: not boat.connection.is_up)
        broker.start()
        until(lambda: boat.connection.is_up and gateway.connection.generation == 2)
        asked = away.asked
        until(lambda: away.asked > asked)
        away.is_away = False
        until(lambda: store.answers.count() == 3)
        names = [f"new {n}" for n in range(30)]
        boat.answers(*names)
        until(lambda: store.answers.count() == 33)


def test_one_bad_message_takes_no_other_with_it(
    broker: Broker, boat: Boat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with it."""

    class Odd(Answers):
        def put(self, arrivals: Sequence[tuple[str, Answer]]) -> list[StoredAnswer]:
            if any(one.id == "a1" for _, one in arrivals):
                raise KeyError("a defect")
            return super().put(arrivals)

    with make(broker, with_answers(store, Odd(store.database, SystemClock()))).running():
        boat.answers("a0", "a1", "a2")
        until(lambda: found(store) == ["a0", "a2"])
