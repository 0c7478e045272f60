"""The broker of configs/kubernetes, with its own config and the files of its own script: who may do what there.

Only paths and ports are others than in a cluster.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from dicem_shared import messages
from dicem_shared.announcement import EVERY, announcement_topic
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.errors import BrokerError
from dicem_shared.mqtt import REFUSED, Connection, Incoming
from dicem_shared.topics import requests
from dicem_shared.types import Reply

from ..ports import free_port
from .conftest import Broker, mosquitto_path

KUBERNETES = Path(__file__).resolve().parents[2] / "configs" / "kubernetes"
BOAT, OTHER = "demo/boat", "demo/other"


@dataclass
class Fleet:
    """A running broker with two vehicles, an operator and a gateway known to it."""

    secrets: Path
    vehicles_port: int
    gateways_port: int
    connections: ExitStack
    monkeypatch: pytest.MonkeyPatch

    def config(self, user: str, *, port: int | None = None) -> BrokerConfig:
        """How this user connects."""
        return BrokerConfig.model_validate(
            {
                "host": "localhost",
                "port": port or (self.gateways_port if user == "cloud" else self.vehicles_port),
                "username": user,
                "password_env": "PASSWORD_" + re.sub(r"\W", "_", user),
                "tls": {"ca_file": str(self.secrets / "ca.crt")},
            }
        )

    def connect(self, user: str, *subscriptions: str, called: str = "") -> Client:
        """A connection that lasts as long as the test."""
        client = Client(self.config(user), called or f"test-{user.replace('/', '-')}", subscriptions)
        client.connection.open()
        self.connections.callback(client.connection.close)
        return client


class Client:
    """A connection that remembers what it got."""

    def __init__(self, config: BrokerConfig, called: str, subscriptions: tuple[str, ...]) -> None:
        self.got: list[Incoming] = []
        self._came = threading.Condition()
        self.connection = Connection(
            config, called, subscriptions=subscriptions, on_message=self._take, keep_session=False
        )  # fmt: skip

    def _take(self, incoming: Incoming) -> None:
        with self._came:
            self.got.append(incoming)
            self._came.notify_all()

    def says(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> bool:
        """Publish; whether the broker let it."""
        codes: list[int] = []
        acknowledged = threading.Event()

        def done(code: int) -> None:
            codes.append(code)
            acknowledged.set()

        assert self.connection.publish(topic, payload, retain=retain, on_ack=done)
        assert acknowledged.wait(10)
        return codes[0] < REFUSED

    def next(self) -> Incoming:
        """The first that came, or comes."""
        with self._came:
            assert self._came.wait_for(lambda: bool(self.got), 20), "nothing came"
            return self.got[0]

    def hears(self, payload: bytes) -> list[str]:
        """The topics of all that came before this payload."""

        def is_there() -> bool:
            return any(one.payload == payload for one in self.got)

        with self._came:
            assert self._came.wait_for(is_there, 10), f"{payload!r} did not come"
            return [one.topic for one in self.got if one.payload != payload]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make.sh makes."""
    for tool in ("openssl", "mosquitto_passwd"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("made") / "secrets"
    shutil.copytree(KUBERNETES / "secrets", folder, ignore=shutil.ignore_patterns("*.env", "*.key", "*.crt"))
    made(folder, "localhost")
    return folder


def made(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run([folder / "make.sh", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip() or done.stderr


def environment(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().split())


@pytest.fixture
def fleet(tmp_path: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    path = mosquitto_path()
    if path is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    folder = tmp_path / "secrets"
    shutil.copytree(secrets, folder)
    for user in (BOAT, OTHER, "operator"):
        monkeypatch.setenv("PASSWORD_" + user.replace("/", "_"), made(folder, "--user", user))
    monkeypatch.setenv("PASSWORD_cloud", environment(folder / "gateway.env")["DICEM_BROKER_PASSWORD"])
    (tmp_path / "data").mkdir()
    ports = free_port(), free_port()
    text = (KUBERNETES / "base" / "mosquitto.conf").read_text(encoding="utf-8")
    moves = {
        "/mosquitto/tls": folder, "/mosquitto/passwords": folder, "/mosquitto/config": KUBERNETES / "base",
        "/mosquitto/data": tmp_path / "data", "listener 8883": f"listener {ports[0]} 127.0.0.1",
        "listener 8884": f"listener {ports[1]} 127.0.0.1",
    }  # fmt: skip
    for old, new in moves.items():
        assert old in text
        text = text.replace(old, str(new))
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"{text}\nuser root\n", encoding="utf-8")
    broker = Broker(path, config, ports[1])  # the door that opens last
    broker.start()
    with ExitStack() as connections:
        connections.callback(broker.stop)
        yield Fleet(folder, *ports, connections, monkeypatch)


def test_a_vehicle_speaks_under_its_own_prefix_only(fleet: Fleet) -> None:
    boat = fleet.connect(BOAT)
    own = ("status", "event", "telemetry", "req/depth", "deployed/litter")
    assert all(boat.says(f"dicem/v1/{BOAT}/{kind}") for kind in own)
    others = [f"dicem/v1/{whose}/{kind}" for whose in (OTHER, "fleet2/boat", "demo/boa", "demo/boat2") for kind in own]
    not_its = [f"dicem/v1/{BOAT}/{kind}" for kind in ("res/agent", "deploy/litter", "cmd", "config", "functions")]
    odd = ["dicem/v1/_cloud/x/functions", "elsewhere", f"dicem/v2/{BOAT}/event", f"dicem/v1/{BOAT}/req/a/b"]
    assert not [topic for topic in (*others, *not_its, *odd) if boat.says(topic)]


def test_a_vehicle_hears_what_is_for_it_only(fleet: Fleet) -> None:
    """The broker takes any subscription; what counts is what it hands out."""
    boat = fleet.connect(BOAT, "#", f"dicem/v1/{OTHER}/res/agent", f"dicem/v1/{BOAT}/res/agent")
    other = fleet.connect(OTHER)
    cloud = fleet.connect("cloud")
    operator = fleet.connect("operator")
    assert cloud.says(f"dicem/v1/{OTHER}/res/agent")
    assert operator.says(f"dicem/v1/{OTHER}/deploy/litter", retain=True)
    assert other.says(f"dicem/v1/{OTHER}/event")
    assert other.says(f"dicem/v1/{OTHER}/req/depth")
    assert cloud.says(announcement_topic("worker"), retain=True)
    assert operator.says(f"dicem/v1/{BOAT}/deploy/litter", b"a program", retain=True)
    assert cloud.says(f"dicem/v1/{BOAT}/res/agent", b"the last")
    assert set(boat.hears(b"the last")) == {f"dicem/v1/{BOAT}/deploy/litter"}


def test_gateways_and_operators_hear_and_speak_to_all(fleet: Fleet) -> None:
    cloud = fleet.connect("cloud", requests("depth"), "$share/cloud/dicem/v1/+/+/event", "dicem/v1/+/+/status")
    operator = fleet.connect("operator", EVERY, "dicem/v1/demo/+/deployed/+", "dicem/v1/demo/+/status")
    boat, other = fleet.connect(BOAT), fleet.connect(OTHER)
    assert boat.says(f"dicem/v1/{BOAT}/req/depth")
    assert boat.says(f"dicem/v1/{BOAT}/deployed/litter")
    assert cloud.says(announcement_topic("worker"), retain=True)
    assert other.says(f"dicem/v1/{OTHER}/event")
    assert other.says(f"dicem/v1/{OTHER}/status", b"online")
    assert set(cloud.hears(b"online")) == {f"dicem/v1/{BOAT}/req/depth", f"dicem/v1/{OTHER}/event"}
    assert set(operator.hears(b"online")) == {f"dicem/v1/{BOAT}/deployed/litter", announcement_topic("worker")}
    assert not cloud.says(f"dicem/v1/{BOAT}/deploy/litter"), "deployments are an operator's"
    assert not operator.says(f"dicem/v1/{BOAT}/res/agent"), "replies are a gateway's"


def test_nobody_takes_over_the_session_of_another(fleet: Fleet) -> None:
    """A client id is no secret.  Whatever a client calls itself, it is known here by its user."""
    boat = fleet.connect(BOAT, f"dicem/v1/{BOAT}/res/agent", called="demo-boat")
    thief = fleet.connect(OTHER, f"dicem/v1/{BOAT}/res/agent", f"dicem/v1/{OTHER}/res/agent", called="demo-boat")
    cloud = fleet.connect("cloud")
    assert cloud.says(f"dicem/v1/{BOAT}/res/agent", b"for the boat")
    assert boat.hears(b"for the boat") == []
    assert cloud.says(f"dicem/v1/{OTHER}/res/agent", b"for the other")
    assert thief.hears(b"for the other") == []
    assert boat.connection.is_up


def _without_password(config: BrokerConfig) -> BrokerConfig:
    return config.model_copy(update={"username": None, "password_env": None})


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda fleet: _without_password(fleet.config(BOAT)), id="nobody"),
        pytest.param(lambda fleet: fleet.config(BOAT).model_copy(update={"username": OTHER}), id="another's name"),
        pytest.param(lambda fleet: fleet.config(BOAT, port=fleet.gateways_port), id="a vehicle at the gateways'"),
        pytest.param(lambda fleet: fleet.config("cloud", port=fleet.vehicles_port), id="a gateway at the vehicles'"),
    ],
)
def test_who_is_not_let_in(fleet: Fleet, spoil: Callable[[Fleet], BrokerConfig]) -> None:
    connection = Connection(spoil(fleet), "x", subscriptions=(), on_message=lambda incoming: None)
    with pytest.raises(BrokerError, match="Not authorized"):
        connection.open(timeout_s=1)


def test_nothing_goes_in_the_clear(fleet: Fleet) -> None:
    plain = fleet.config(BOAT).model_copy(update={"tls": None})
    with pytest.raises(BrokerError):
        Connection(plain, "x", subscriptions=(), on_message=lambda incoming: None).open(timeout_s=1)
    assert fleet.connect(BOAT).connection.is_up, "the same over TLS"


def test_a_client_looks_at_the_certificate(fleet: Fleet, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(KUBERNETES / "secrets", other, ignore=shutil.ignore_patterns("*.env", "*.key", "*.crt"))
    made(other, "localhost")
    config = fleet.config(BOAT)
    assert config.tls is not None
    stranger = config.model_copy(update={"tls": config.tls.model_copy(update={"ca_file": other / "ca.crt"})})
    with pytest.raises(BrokerError, match=r"(?i)certificate"):
        Connection(stranger, "x", subscriptions=(), on_message=lambda incoming: None).open(timeout_s=1)


def test_the_demos_gateway_serves_behind_it(fleet: Fleet, tmp_path: Path) -> None:
    """The process as the pod starts it, with the overlay's config and secrets, up to a reply to a vehicle."""
    pytest.importorskip("uvicorn", reason="needs the extra [cloud]")
    http_port = free_port()
    text = (KUBERNETES / "overlays" / "demo" / "cloud.yaml").read_text(encoding="utf-8")
    moves = {
        "host: dicem-broker": "host: localhost", "8884": str(fleet.gateways_port), "8080": str(http_port),
        "host: 0.0.0.0": "host: 127.0.0.1", "/etc/dicem-broker/ca.crt": str(fleet.secrets / "ca.crt"),
    }  # fmt: skip
    for old, new in moves.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    config = tmp_path / "cloud.yaml"
    config.write_text(text, encoding="utf-8")
    given = environment(fleet.secrets / "gateway.env")
    environ = os.environ | given | {"DICEM_HOME": str(KUBERNETES.parents[1])}
    command = [sys.executable, "-m", "dicem_shared.cli", "cloud", "--config", str(config)]
    boat = fleet.connect(BOAT, f"dicem/v1/{BOAT}/res/agent")
    with subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as cloud:
        try:
            assert cloud.stderr is not None
            said = next((line for line in cloud.stderr if "dicem cloud serves" in line), None)
            assert said is not None, "it ended"
            assert _asked(http_port, "/readyz") == _asked(http_port, "/healthz") == 200
            assert _asked(http_port, "/v1/functions") == 401
            assert _asked(http_port, "/v1/functions", given["DICEM_TOKEN"]) == 200
            where = {"response_topic": f"dicem/v1/{BOAT}/res/agent", "correlation": b"\x01\x02"}
            assert boat.connection.publish(f"dicem/v1/{BOAT}/req/depth", b"rubbish", **where)
            reply = boat.next()
            assert reply.correlation == b"\x01\x02"
            assert messages.decode(Reply, reply.payload).failure is not None
        finally:
            cloud.terminate()
        assert cloud.wait(30) == 0


def _asked(port: int, path: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_the_script_makes_what_is_named_and_nothing_twice(secrets: Path) -> None:
    said = yaml.safe_load((secrets / "kustomization.yaml").read_text(encoding="utf-8"))
    named = [name for one in said["secretGenerator"] for name in (*one.get("files", []), *one.get("envs", []))]
    named += [name for one in said["configMapGenerator"] for name in one["files"]]
    before = {name: (secrets / name).read_bytes() for name in named}
    made(secrets, "other.example.com")
    assert {name: (secrets / name).read_bytes() for name in named} == before
    assert not [path.name for path in secrets.iterdir() if path.name in named and path.stat().st_mode & 0o077]
    assert set(environment(secrets / "gateway.env")) == {"DICEM_BROKER_PASSWORD", "DICEM_TOKEN", "DICEM_METRICS_TOKEN"}
    assert set(environment(secrets / "database.env")) == {"POSTGRES_PASSWORD"}
    values = [*environment(secrets / "gateway.env").values(), *environment(secrets / "database.env").values()]
    assert len(set(values)) == 4
    assert min(map(len, values)) >= 32


@pytest.mark.parametrize(
    "arguments",
    [(), ("--help",), ("--user",), ("--user", "boat"), ("--user", "a/b/c"), ("--user", "/b"), ("--user", "a/"),
     ("--user", "a/+"), ("--user", "a/b:c"), ("--user", "cloud"), ("--user", "a/b\nc"), ("--user", "-a/b")],
)  # fmt: skip
def test_the_script_refuses(secrets: Path, arguments: tuple[str, ...]) -> None:
    before = (secrets / "vehicles").read_bytes()
    assert "Traceback" not in made(secrets, *arguments, code=2)
    assert (secrets / "vehicles").read_bytes() == before
