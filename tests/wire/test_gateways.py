"""Two gateways, one broker, one database: a call is answered once, whoever got it and whoever dies over it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.gateway import Gateway
from dicem_cloud.results import Claim
from dicem_cloud.service import Service
from dicem_cloud.store.database import Database
from dicem_cloud.store.results import SqlResults
from dicem_cloud.worker import Worker
from dicem_shared import catalog, messages
from dicem_shared.announcement import EVERY
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.ids import digest
from dicem_shared.implementations import Implementation, Work
from dicem_shared.mqtt import Connection, Incoming
from dicem_shared.types import FrameInfo, ModelId, Reply, Request

from .conftest import Broker

REPLY_TO = "dicem/v1/test/boat-1/res/agent"
FRAME = FrameInfo(camera="bow", sequence=3, t_utc=1.0, blob="a" * 64, width=64, height=48)
CALL = Request(
    call_id=digest("the call"), vehicle="boat-1", program="p", frame=FRAME, function="llm", params={"prompt": "hello"},
    deadline_utc=time.time() + 600, reply_topic=REPLY_TO,
)  # fmt: skip


class Shifted(SystemClock):
    """The machine's clock, some seconds on."""

    ahead_s = 0.0

    def utc(self) -> float:
        return super().utc() + self.ahead_s


class Named(Implementation):
    """`llm` that says who it is, each time something else, and only once it may."""

    spec = catalog.llm
    model = ModelId(function="llm", name="named", sha256="0" * 64)

    def __init__(self, name: str, may: threading.Event) -> None:
        self.name, self.may, self.asked = name, may, 0

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        self.asked += len(batch)
        assert self.may.wait(30)
        return [{"output": f"{self.name}, {self.asked}"} for _ in batch]


class Watched(SqlResults):
    """Keeps what it was asked and said."""

    def __init__(self, database: Database, clock: SystemClock) -> None:
        super().__init__(database, clock)
        self.said: list[Reply | Claim] = []

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        said = super().claim(vehicle, call_id)
        self.said.append(said)
        return said


class One:
    """One gateway in this process."""

    def __init__(self, broker: Broker, url: str, name: str) -> None:
        self.clock, self.may = Shifted(), threading.Event()
        self.function = Named(name, self.may)
        self.database = Database(url)
        self.results = Watched(self.database, self.clock)
        gateway = Gateway({"llm": self.function}, MemoryBlobStore(self.clock), self.clock, results=self.results)
        self.worker = Worker(BrokerConfig(port=broker.port), Service(gateway))

    @contextmanager
    def running(self) -> Iterator[One]:
        try:
            with self.worker.running():
                yield self
        finally:
            self.may.set()
            self.database.close()


class Boat:
    """Sends calls and hears replies, and what gateways announce."""

    def __init__(self, broker: Broker) -> None:
        self.replies: queue.Queue[Reply] = queue.Queue()
        self.announced: dict[str, bytes] = {}
        self.changed = threading.Condition()
        self.connection = Connection(
            BrokerConfig(port=broker.port), "boat", subscriptions=(REPLY_TO, EVERY), on_message=self._heard,
            keep_session=False,
        )  # fmt: skip

    def _heard(self, incoming: Incoming) -> None:
        if incoming.topic == REPLY_TO:
            self.replies.put(messages.decode(Reply, incoming.payload))
            return
        with self.changed:
            self.announced[incoming.topic] = incoming.payload
            self.changed.notify_all()

    def gateways(self, count: int) -> None:
        """Wait until there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: sum(map(bool, self.announced.values())) == count, 30)

    def ask(self, attempt: int) -> None:
        request = CALL.model_copy(update={"attempt": attempt})
        assert self.connection.publish(
            "dicem/v1/test/boat-1/req/llm", messages.encode(request), response_topic=REPLY_TO, correlation=b"\1"
        )


@pytest.fixture
def boat(broker: Broker) -> Iterator[Boat]:
    one = Boat(broker)
    one.connection.open()
    yield one
    one.connection.close()


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, "nothing came in time"
        time.sleep(0.005)


def test_a_call_that_two_gateways_got_is_computed_once(
    broker: Broker, boat: Boat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(("gateway-1", "gateway-2"))  # both live in this process: the broker must not take one for the other
    monkeypatch.setattr("dicem_cloud.worker.socket.gethostname", lambda: next(names))
    url = f"sqlite:///{tmp_path}/store.db"
    with ExitStack() as stack:
        pair = [stack.enter_context(One(broker, url, name).running()) for name in ("first", "second")]
        boat.gateways(2)
        for attempt in (1, 2, 3, 4):
            boat.ask(attempt)
        until(lambda: all(one.results.said for one in pair))
        assert sorted(one.results.said[0].name for one in pair if isinstance(one.results.said[0], Claim)) == [
            "ELSEWHERE",
            "OURS",
        ]
        for one in pair:
            one.may.set()
        replies = [boat.replies.get(timeout=30) for _ in range(4)]
        assert sorted(one.function.asked for one in pair) == [0, 1]
        assert len({str(reply.result) for reply in replies}) == 1
        assert sorted(reply.attempt for reply in replies) == [1, 2, 3, 4]
        assert [reply.failure for reply in replies] == [None] * 4
        assert sum(not reply.cached for reply in replies) == 1
        assert pair[0].results.count() == 1
        boat.ask(5)
        boat.ask(6)
        again = [boat.replies.get(timeout=30) for _ in range(2)]
        assert {str(reply.result) for reply in again} == {str(replies[0].result)}
        assert sum(one.function.asked for one in pair) == 1


def test_a_call_whose_gateway_was_killed_is_answered_by_another(broker: Broker, boat: Boat, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    script = Path(__file__).with_name("gateway_process.py")
    killed = subprocess.Popen([sys.executable, script, str(broker.port), url], stdout=subprocess.PIPE)
    try:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"serving\n"
        boat.gateways(1)
        boat.ask(1)
        assert killed.stdout.readline() == b"computing\n"
    finally:
        killed.kill()
        killed.wait(30)
        assert killed.stdout is not None
        killed.stdout.close()
    boat.gateways(0)  # the broker has noticed, too
    with One(broker, url, "second").running() as other:
        other.may.set()
        boat.ask(2)
        until(lambda: bool(other.results.said))
        assert other.results.said[0] is Claim.ELSEWHERE
        assert other.function.asked == 0
        other.clock.ahead_s = 31.0  # the lease has run out
        reply = boat.replies.get(timeout=30)
        assert (reply.result, reply.failure, reply.attempt) == ({"output": "second, 1"}, None, 2)
        assert set(other.results.said) == {Claim.ELSEWHERE, Claim.OURS}
        boat.ask(3)
        assert boat.replies.get(timeout=30).result == reply.result
        assert other.function.asked == 1
        assert other.results.count() == 1
