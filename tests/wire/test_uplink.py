"""Calls and answers over a real broker, with the broker cut in between."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_cloud.worker import Worker
from dicem_edge.uplink import Uplink
from dicem_shared import catalog
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.errors import BrokerError, Overloaded
from dicem_shared.ids import digest
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.messages import encode
from dicem_shared.mqtt import Connection, Incoming
from dicem_shared.transport import Traffic
from dicem_shared.types import Answer, FrameInfo, ModelId, Reply, Request

from ..ports import free_port
from .conftest import Broker

FRAME = FrameInfo(camera="bow", sequence=3, t_utc=1.0, blob="a" * 64, width=64, height=48)


class Echo(Implementation):
    """`llm` that says its prompt back, and counts how often it was asked."""

    spec = catalog.llm
    model = ModelId(function="llm", name="echo", sha256="0" * 64)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusals = 0
        """calls that are refused before one is answered"""
        self.retry_s = 0.01

    def run(self, batch: Any) -> list[Any]:
        def answer(work: Work) -> dict[str, str]:
            self.asked.append(work.params["prompt"])
            if len(self.asked) <= self.refusals:
                raise Overloaded("llm is busy", retry_after_s=self.retry_s)
            return {"output": work.params["prompt"].upper()}

        return each(batch, answer)


class Vehicle:
    """An uplink with its agent's thread played by the test."""

    def __init__(self, broker: Broker) -> None:
        self.inbox: queue.Queue[Callable[[], None]] = queue.Queue()
        config = BrokerConfig(port=broker.port)
        self.uplink = Uplink(config, fleet="test", vehicle="boat-1", clock=SystemClock(), post=self.inbox.put)
        self.replies: list[tuple[Reply, Traffic]] = []

    def request(self, prompt: str, deadline_s: float = 60.0) -> Request:
        return Request(
            call_id=digest(prompt), vehicle="boat-1", program="p", frame=FRAME, function="llm",
            params={"prompt": prompt}, deadline_utc=time.time() + deadline_s, reply_topic=self.uplink.reply_topic,
        )  # fmt: skip

    def send(self, request: Request) -> None:
        self.uplink.send(request, lambda reply, traffic: self.replies.append((reply, traffic)))

    def work_until(self, done: Callable[[], bool], timeout_s: float = 30.0) -> None:
        give_up = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < give_up, "nothing came in time"
            try:
                self.inbox.get(timeout=0.05)()
            except queue.Empty:
                self.uplink.tick()


@pytest.fixture
def cloud(broker: Broker) -> Iterator[tuple[Echo, Worker, list[Answer]]]:
    echo, answers = Echo(), list[Answer]()
    clock = SystemClock()
    gateway = Gateway({"llm": echo}, MemoryBlobStore(clock), clock)
    config = BrokerConfig(port=broker.port)
    worker = Worker(config, Service(gateway), on_answer=lambda _vehicle, answer: answers.append(answer))
    with worker.running():
        yield echo, worker, answers


@pytest.fixture
def vehicle(broker: Broker) -> Iterator[Vehicle]:
    boat = Vehicle(broker)
    boat.uplink.open()
    yield boat
    boat.uplink.close()


def test_a_call_comes_back(vehicle: Vehicle, cloud: tuple[Echo, Worker, list[Answer]]) -> None:
    vehicle.send(vehicle.request("hello"))
    vehicle.work_until(lambda: len(vehicle.replies) == 1)
    reply, traffic = vehicle.replies[0]
    assert reply.result == {"output": "HELLO"}
    assert reply.model is not None
    assert reply.model.name == "echo"
    assert traffic.up > 100
    assert traffic.down > 50


def test_a_call_survives_a_cut(broker: Broker, vehicle: Vehicle, cloud: tuple[Echo, Worker, list[Answer]]) -> None:
    echo, _, answers = cloud
    broker.stop()
    vehicle.work_until(lambda: not vehicle.uplink.is_up)
    for number in range(5):
        vehicle.send(vehicle.request(f"call {number}"))
    vehicle.uplink.publish(_answer())
    broker.start()
    vehicle.work_until(lambda: len(vehicle.replies) == 5 and not vehicle.uplink.unsent)
    assert sorted(reply.result["output"] for reply, _ in vehicle.replies) == [f"CALL {n}" for n in range(5)]
    assert sorted(echo.asked) == [f"call {n}" for n in range(5)], "a repeated call must come from the result cache"
    vehicle.work_until(lambda: len(answers) >= 1)
    assert {answer.id for answer in answers} == {"a1"}


def test_a_busy_cloud_is_asked_again_when_it_says(vehicle: Vehicle, cloud: tuple[Echo, Worker, list[Answer]]) -> None:
    echo, _, _ = cloud
    echo.refusals = 3
    vehicle.send(vehicle.request("again"))
    vehicle.work_until(lambda: len(vehicle.replies) == 1)
    reply, traffic = vehicle.replies[0]
    assert (reply.result, reply.attempt, echo.asked) == ({"output": "AGAIN"}, 4, ["again"] * 4)
    assert traffic.up > 400  # all four attempts count


def test_a_cloud_that_is_busy_beyond_the_deadline_is_an_end(
    vehicle: Vehicle, cloud: tuple[Echo, Worker, list[Answer]]
) -> None:
    echo, _, _ = cloud
    echo.refusals, echo.retry_s = 1, 600.0
    vehicle.send(vehicle.request("again"))
    vehicle.work_until(lambda: len(vehicle.replies) == 1)
    failure = vehicle.replies[0][0].failure
    assert failure is not None
    assert (failure.reason, failure.retry_after_s, len(echo.asked)) == ("overloaded", 600.0, 1)


def test_an_answer_too_long_for_a_message_is_told_of(
    vehicle: Vehicle, cloud: tuple[Echo, Worker, list[Answer]]
) -> None:
    _, _, answers = cloud
    vehicle.uplink.publish(_answer().model_copy(update={"value": "x" * 100_000, "printed": "y" * 100_000}))
    vehicle.work_until(lambda: len(answers) == 1 and not vehicle.uplink.unsent)
    assert answers[0].id == "a1"
    assert answers[0].value is None
    assert "kept on the vehicle" in answers[0].reason


def test_no_worker_means_a_timeout(broker: Broker, vehicle: Vehicle) -> None:
    vehicle.send(vehicle.request("anybody?", deadline_s=1.5))
    vehicle.work_until(lambda: len(vehicle.replies) == 1)
    failure = vehicle.replies[0][0].failure
    assert failure is not None
    assert failure.kind == "TimeoutError"


def test_who_is_out_of_reach(broker: Broker, vehicle: Vehicle) -> None:
    """Without a worker the broker tells; after a cut the connection does."""
    assert vehicle.uplink.reachable
    vehicle.send(vehicle.request("anybody?"))
    vehicle.work_until(lambda: not vehicle.uplink.reachable)
    assert vehicle.uplink.is_up
    clock = SystemClock()
    gateway = Gateway({"llm": Echo()}, MemoryBlobStore(clock), clock)
    with Worker(BrokerConfig(port=broker.port), Service(gateway)).running():
        vehicle.work_until(lambda: len(vehicle.replies) == 1)
        assert vehicle.uplink.reachable
    broker.stop()
    vehicle.work_until(lambda: not vehicle.uplink.reachable)


def test_no_broker_is_one_clear_line() -> None:
    boat = Vehicle(Broker("mosquitto", Path("unused"), free_port()))
    with pytest.raises(BrokerError, match=r"no MQTT broker at 127\.0\.0\.1:\d+ .*mosquitto"):
        boat.uplink.open()


@pytest.mark.parametrize(
    ("topic", "reply_topic", "vehicle"),
    [
        ("dicem/v1/test/boat-2/req/llm", "dicem/v1/test/boat-1/res/agent", "boat-2"),
        ("dicem/v1/test/boat-2/req/llm", "dicem/v1/test/boat-2/res/agent", "boat-1"),
    ],
)
def test_nobody_speaks_for_another(
    broker: Broker, cloud: tuple[Echo, Worker, list[Answer]], topic: str, reply_topic: str, vehicle: str
) -> None:
    """A reply topic outside the sender's prefix gets nothing; a request in another's name is refused."""
    echo, _, _ = cloud
    heard: queue.Queue[Incoming] = queue.Queue()
    up = threading.Event()
    spy = Connection(
        BrokerConfig(port=broker.port), "spy", subscriptions=("dicem/v1/test/+/res/#",), on_message=heard.put,
        on_up=up.set, keep_session=False,
    )  # fmt: skip
    spy.open()
    assert up.wait(10)
    request = Request(
        call_id=digest(topic), vehicle=vehicle, program="p", frame=FRAME, function="llm", params={"prompt": "mine"},
        deadline_utc=time.time() + 60, reply_topic=reply_topic,
    )  # fmt: skip
    spy.publish(topic, encode(request), response_topic=reply_topic, correlation=b"\x01")
    honest = request.model_copy(
        update={"call_id": digest("honest"), "vehicle": "boat-2", "reply_topic": "dicem/v1/test/boat-2/res/x"}
    )
    spy.publish("dicem/v1/test/boat-2/req/llm", encode(honest), response_topic="dicem/v1/test/boat-2/res/x")
    while (incoming := heard.get(timeout=10)).topic != "dicem/v1/test/boat-2/res/x":
        assert incoming.topic == "dicem/v1/test/boat-2/res/agent", "a reply went to somebody else"
        assert b"not its sender's own" in incoming.payload
    assert echo.asked == ["mine"]
    spy.close()


def _answer() -> Answer:
    return Answer(
        id="a1", survey_id="s", vehicle="boat-1", camera="bow", frame=3, program_id="p", status="final", source="edge",
        t_utc=1.0, value="No litter found in the image.",
    )  # fmt: skip


def test_an_answer_that_the_broker_refuses_is_counted_and_let_go(broker: Broker, tmp_path: Path) -> None:
    """Sent again it would be refused again; the vehicle keeps it, and nothing waits for it."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic write dicem/v1/+/+/status\n", encoding="utf-8")
    rules.chmod(0o600)
    broker.stop()
    broker.config.write_text(broker.config.read_text(encoding="utf-8") + f"acl_file {rules}\n", encoding="utf-8")
    broker.start()
    boat = Vehicle(broker)
    boat.uplink.open()
    boat.uplink.publish(_answer())
    boat.work_until(lambda: boat.uplink.refused == 1)
    assert boat.uplink.unsent == 0
    boat.uplink.close()
