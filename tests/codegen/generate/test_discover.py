"""Functions from where they run; hostile and broken registries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicem_codegen.generate.discover import LOCAL, broker_of, discover
from dicem_codegen.generate.prompt import system_prompt
from dicem_shared.catalog import catalog, depth, yolov8
from dicem_shared.errors import ConfigError
from dicem_shared.function_files import MAX_BYTES

from .functions_server import Cloud, listed

Serve = Callable[..., Cloud]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Cloud] = []

    def start(body: Any, status: int = 200, headers: dict[str, str] | None = None, *, hang: bool = False) -> Cloud:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        made.append(Cloud(data, status, headers or {}, hang))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_local_is_the_catalog() -> None:
    found = discover()
    assert [spec.name for spec in found.functions] == [spec.name for spec in catalog()]
    assert (found.source, found.vocabulary) == (LOCAL, None)


def test_a_clouds_functions_come_as_they_went(serve: Serve) -> None:
    resource = yolov8.resource({"vocabulary": ["litter", "boat", "litter", 5, "\x1b[2Jx" + "y" * 100], "replicas": 1})
    cloud = serve(listed(resource, depth.resource()))
    found = discover(f"{cloud.url}/")
    assert cloud.asked[0][0] == "/v1/functions"
    assert found.source == f"{cloud.url}/"
    assert [spec.name for spec in found.functions] == ["depth", "yolov8"]
    for spec in found.functions:
        assert spec.resource() == catalog().get(spec.name).resource()
    assert found.vocabulary is not None
    assert found.vocabulary[:2] == ("litter", "boat")
    assert len(found.vocabulary) == 3
    assert found.vocabulary[2].isprintable()
    assert len(found.vocabulary[2]) == 64


def test_the_real_cloud_is_understood(serve: Serve) -> None:
    pytest.importorskip("fastapi", reason="needs the extra [cloud]")
    from fastapi.testclient import TestClient

    from dicem_cloud.config import CloudConfig
    from dicem_cloud.gateway import Gateway
    from dicem_cloud.http.app import create_app
    from dicem_cloud.service import Service
    from dicem_shared.blobs import MemoryBlobStore
    from dicem_shared.clock import SystemClock
    from dicem_shared.implementations.depth import Depth
    from dicem_shared.implementations.yolov8 import Yolov8
    from dicem_shared.types import ModelId

    model = ModelId(function="yolov8", name="tiny", sha256="0" * 64)
    detector = Yolov8(object(), model, vocabulary=("litter", "can"))  # type: ignore[arg-type]
    gateway = Gateway({"yolov8": detector, "depth": Depth()}, MemoryBlobStore(SystemClock()), SystemClock())
    config = CloudConfig.model_validate({"functions": {"depth": {}}})
    with TestClient(create_app(Service(gateway), config)) as client:
        cloud = serve(client.get("/v1/functions").content)
    found = discover(cloud.url)
    assert [spec.name for spec in found.functions] == ["depth", "yolov8"]
    assert found.vocabulary == ("litter", "can")
    assert '"litter", "can"' in system_prompt(found.functions, "schema", found.vocabulary)


def test_the_token_goes_to_the_host_that_was_named_and_no_other(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICEM_TOKEN", "hush-token")
    other = serve(listed(depth.resource()))
    cloud = serve(b"", 302, {"Location": f"{other.url}/v1/functions"})
    with pytest.raises(ConfigError, match=r"redirects somewhere else \(302\)") as caught:
        discover(cloud.url)
    assert cloud.asked[0][1]["authorization"] == "Bearer hush-token"
    assert other.asked == []
    assert "hush" not in str(caught.value)
    monkeypatch.delenv("DICEM_TOKEN")
    discover(other.url)
    assert "authorization" not in other.asked[0][1]
    monkeypatch.setenv("DICEM_TOKEN", "two\nlines")
    with pytest.raises(ConfigError, match="token in DICEM_TOKEN cannot be sent"):
        discover(other.url)


def test_a_proxy_of_the_environment_is_not_for_this_machine(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert len(discover(serve(listed(depth.resource())).url).functions) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refused us .*DICEM_TOKEN"),
        (403, "refused us"),
        (404, "no list of functions"),
        (500, "no list of functions"),
    ],
)
def test_servers_that_refuse(serve: Serve, status: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        discover(serve(b"no", status).url)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "sent no JSON"),
        (b"\xff\xfe", "sent no JSON"),
        (b"[" * 100_000, "sent no JSON"),
        (b"[]", "no list of functions"),
        (b'{"items": 5}', "no list of functions"),
        (listed(), "serves no functions"),
        (listed(5), "item 1: not a function"),
        (listed({"kind": "Pod"}), "item 1: not a function .*got Pod"),
        (listed(depth.resource() | {"apiVersion": "v9"}), "item 1: apiVersion"),
        (listed(depth.resource() | {"metadata": {"name": "../etc"}}), "cannot stand in a topic"),
        (listed(*[depth.resource()] * 201), "too many functions"),
        (b" " * (MAX_BYTES + 10), "too long"),
        (b'{"items": [' + b'{"kind": "Function"},' * 5 + b"]}", "sent no JSON"),
    ],
)
def test_registries_that_cannot_be_used(serve: Serve, body: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        discover(serve(body).url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_schemas_without_end_are_refused(serve: Serve) -> None:
    deep: Any = {"type": "string"}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    resource = depth.resource()
    resource["status"]["resultSchema"] = json.dumps(deep)
    with pytest.raises(ConfigError, match="function depth"):
        discover(serve(listed(resource)).url)


def test_two_workers_of_one_function_are_one(serve: Serve) -> None:
    assert len(discover(serve(listed(depth.resource(), depth.resource())).url).functions) == 1


def test_a_server_that_drips_is_given_up(serve: Serve) -> None:
    with pytest.raises(ConfigError, match=r"did not answer in time .*within 0\.3 s"):
        discover(serve(listed(), hang=True).url, timeout_s=0.3)


def test_nobody_there(serve: Serve) -> None:
    cloud = serve(b"")
    cloud.server.server_close()
    with pytest.raises(ConfigError, match=r"no cloud answers at .*--functions-from local"):
        discover(cloud.url)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "nowhere",
        "ftp://host",
        "http://",
        "mqtt:///fleet",
        "http://host:port",
        "http://[::1",
        "http://a\nb/",
        "file:///x",
    ],
)
def test_places_that_are_none(where: str) -> None:
    with pytest.raises(ConfigError, match=r"--functions-from .*local, http://HOST:PORT or mqtt://HOST:PORT/FLEET"):
        discover(where)


def test_a_broker_and_its_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    config, fleet = broker_of("mqtt://127.0.0.1:1884/demo")
    assert (config.host, config.port, config.tls, config.username, fleet) == ("127.0.0.1", 1884, None, None, "demo")
    monkeypatch.setenv("DICEM_BROKER_PASSWORD", "hush")
    config, fleet = broker_of("mqtts://me@broker.example")
    assert (config.port, config.username, config.password(), fleet) == (8883, "me", "hush", None)
    assert config.tls is not None
    with pytest.raises(ConfigError, match="is no broker"):
        broker_of("http://host")


@pytest.mark.parametrize("where", ["http://me:hush@host", "http://hush@host", "mqtt://me:hush@host/f"])
def test_passwords_do_not_belong_into_urls(where: str) -> None:
    with pytest.raises(ConfigError, match="environment variable") as caught:
        discover(where)
    assert "hush" not in str(caught.value)
