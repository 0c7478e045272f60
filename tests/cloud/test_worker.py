"""The worker without a broker: what it hands over first, and what it refuses by itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dicem_cloud import worker as worker_module
from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_cloud.worker import Worker
from dicem_shared import catalog, messages
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.implementations import Implementation
from dicem_shared.mqtt import Incoming
from dicem_shared.types import FrameInfo, ModelId, Reply, Request

REPLY_TO = "dicem/v1/test/boat-1/res/agent"
FRAME = FrameInfo(camera="bow", sequence=1, t_utc=1.0, blob="a" * 64, width=64, height=48)


class Parrot(Implementation):
    spec = catalog.llm
    model = ModelId(function="llm", name="parrot", sha256="0" * 64)

    def run(self, batch: Any) -> list[Any | Exception]:
        return [{"output": work.params["prompt"]} for work in batch]


class Desk:
    """A worker whose threads do not run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SystemClock()
        self.service = Service(Gateway({"llm": Parrot()}, MemoryBlobStore(clock), clock))
        self.worker, self.replies = Worker(BrokerConfig(port=1), self.service), list[Reply]()
        monkeypatch.setattr(self.worker._connection, "publish", self._publish)

    def _publish(self, topic: str, payload: bytes, **_: Any) -> bool:
        assert topic == REPLY_TO
        self.replies.append(messages.decode(Reply, payload))
        return True

    def comes(self, number: int, priority: int = 5, **params: Any) -> Incoming:
        request = Request(
            call_id=f"{number:032x}", vehicle="boat-1", program="p", frame=FRAME, function="llm", priority=priority,
            params=params or {"prompt": str(number)}, deadline_utc=time.time() + 600, reply_topic=REPLY_TO,
        )  # fmt: skip
        return Incoming("dicem/v1/test/boat-1/req/llm", messages.encode(request), REPLY_TO, b"1")

    def order(self) -> list[int]:
        orders = self.worker._orders
        return [orders.get().number for _ in range(orders.qsize())]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_what_matters_more_is_handed_over_first(desk: Desk) -> None:
    for number, priority in enumerate((5, 9, 5, 0)):
        desk.worker._handle(desk.comes(number, priority))
    assert (desk.order(), desk.replies) == ([3, 0, 2, 1], [])


def test_what_is_too_much_is_refused_with_a_time_to_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MAX_ORDERS", 1)
    for number, priority in enumerate((5, 5, 0, 0)):
        desk.worker._handle(desk.comes(number, priority))
    assert len(desk.order()) == 2
    refused = [(reply.call_id[-1], reply.failure.reason) for reply in desk.replies if reply.failure]
    assert refused == [("1", "overloaded"), ("3", "overloaded")]
    assert all(reply.failure and reply.failure.retry_after_s for reply in desk.replies)


def test_what_comes_faster_than_it_can_be_read_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "MAX_WAITING", 1)
    desk = Desk(monkeypatch)
    for number in range(4):
        desk.worker._take(desk.comes(number))
    desk.worker._take(Incoming("dicem/v1/test/boat-1/req/llm", b"rubbish", "elsewhere", b"1"))
    assert [reply.call_id[-1] for reply in desk.replies] == ["1", "2", "3"]
    assert len(caplog.records) == 1, "one line, however many they are"


def test_what_does_not_fit_does_not_wait(desk: Desk) -> None:
    desk.worker._handle(desk.comes(1, prompt=[[]] * 1000))
    assert desk.order() == []
    assert desk.replies[0].failure is not None
    assert desk.replies[0].failure.reason == "invalid-call"
