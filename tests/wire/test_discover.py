"""The functions that a cloud announces to a broker, found by whoever writes programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_cloud.worker import Worker
from dicem_codegen.generate.discover import discover
from dicem_shared import catalog
from dicem_shared.announcement import announcement_topic
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.errors import BrokerError, ConfigError
from dicem_shared.implementations import Implementation
from dicem_shared.mqtt import Connection
from dicem_shared.types import ModelId

from ..ports import free_port
from .conftest import Broker


class Detector(Implementation):
    spec = catalog.yolov8
    model = ModelId(function="yolov8", name="tiny", sha256="0" * 64)
    vocabulary = ("litter", "boat")


class Talker(Implementation):
    spec = catalog.llm
    model = ModelId(function="llm", name="parrot", sha256="1" * 64)


def worker(broker: Broker, fleets: frozenset[str] | None = None) -> Worker:
    clock = SystemClock()
    gateway = Gateway({"yolov8": Detector(), "llm": Talker()}, MemoryBlobStore(clock), clock)
    return Worker(BrokerConfig(port=broker.port), Service(gateway), fleets=fleets)


def test_what_a_worker_serves_is_found_and_gone_when_it_stops(broker: Broker) -> None:
    url = f"mqtt://127.0.0.1:{broker.port}/demo"
    with worker(broker).running():
        found = discover(url)
    assert [spec.name for spec in found.functions] == ["llm", "yolov8"]
    assert found.functions.get("yolov8").parameters_schema == catalog.yolov8.parameters_schema
    assert found.source == url
    assert found.vocabulary == ("litter", "boat")
    with pytest.raises(ConfigError, match="no cloud announces functions at mqtt"):
        discover(url, timeout_s=1.0)


def test_only_clouds_that_serve_the_fleet_count(broker: Broker) -> None:
    at = f"mqtt://127.0.0.1:{broker.port}"
    with worker(broker, frozenset({"mine", "yours"})).running():
        assert len(discover(f"{at}/mine").functions) == 2
        assert len(discover(at).functions) == 2, "whoever names no fleet sees all"
        with pytest.raises(ConfigError, match="no cloud announces functions to fleet theirs"):
            discover(f"{at}/theirs")


def test_rubbish_beside_an_announcement_is_passed_over_and_alone_is_one_line(broker: Broker) -> None:
    stranger = Connection(BrokerConfig(port=broker.port), "stranger", subscriptions=(), on_message=lambda _: None)
    stranger.open()
    assert stranger.publish(announcement_topic("aaa-rubbish"), b"\xff" * 1000, retain=True)
    assert stranger.publish(announcement_topic("bbb-rubbish"), b"\x1b[2J", retain=True)
    at = f"mqtt://127.0.0.1:{broker.port}"
    with pytest.raises(ConfigError, match="no announcement that can be read") as caught:
        discover(at)
    assert str(caught.value).isprintable()
    with worker(broker).running():
        assert len(discover(at).functions) == 2
    stranger.close()


def test_no_broker_is_one_clear_line() -> None:
    with pytest.raises(BrokerError, match=r"no MQTT broker at 127\.0\.0\.1:\d+"):
        discover(f"mqtt://127.0.0.1:{free_port()}")


def test_a_broker_that_wants_a_password(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken from the environment; without it the broker's refusal is told."""
    broker.stop()
    text = broker.config.read_text(encoding="utf-8").replace("allow_anonymous true", "allow_anonymous false")
    broker.config.write_text(text, encoding="utf-8")
    broker.start()
    monkeypatch.setenv("DICEM_BROKER_PASSWORD", "hush")
    with pytest.raises(BrokerError, match="did not let us in") as caught:
        discover(f"mqtt://me@127.0.0.1:{broker.port}", timeout_s=2.0)
    assert "hush" not in str(caught.value)
