"""The HTTP API in process: functions, calls, and everything that is wrong with them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dicem_shared.errors import ConfigError

from .http_client import CALL, Client, error, png, serving


@pytest.fixture
def client(clock: Any) -> Iterator[Client]:
    with serving(clock) as made:
        yield made


def test_it_says_that_it_lives(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "functions": ["yolov8"]}


def test_functions_are_listed_as_resources(client: Client) -> None:
    listed = client.get("/v1/functions").json()
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == ("List", ["yolov8"])
    one = client.get("/v1/functions/yolov8").json()
    assert one == listed["items"][0]
    assert one["status"]["model"] == {"name": "finder", "sha256": "1" * 64}
    assert json.loads(one["status"]["parametersSchema"])["required"] == ["image"]
    assert yaml.safe_load(yaml.safe_dump(one)) == one


def test_a_call_by_form(client: Client) -> None:
    response = client.post(CALL, files={"image": ("a.png", png())}, data={"classes": ["picture", "picture"]})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["result"]["objects"][0]["width"] == 40
    assert body["model"] == {"function": "yolov8", "name": "finder", "sha256": "1" * 64}
    assert body["compute_s"] == 0.0


def test_a_call_by_json(client: Client) -> None:
    body = {"image": base64.b64encode(png()).decode(), "classes": ["picture"]}
    assert client.post(CALL, json=body).json()["result"]["objects"][0]["height"] == 30


def test_an_unknown_function_is_not_found(client: Client) -> None:
    assert "Did you mean yolov8?" in error(client.get("/v1/functions/yolo"), 404)["todo"]
    assert "yolo" in error(client.post("/v1/functions/yolo:call", json={}), 404)["what"]


def test_an_unknown_path_and_a_wrong_method(client: Client) -> None:
    assert "/v2/functions" in error(client.get("/v2/functions"), 404)["what"]
    error(client.get(CALL + "/more"), 404)
    error(client.request("DELETE", "/v1/functions"), 405)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"classes": ["boat"]}, "knows no 'boat'"), ({"clases": ["picture"]}, "clases")],
)
def test_bad_parameters(client: Client, fields: dict[str, Any], reason: str) -> None:
    for response in (
        client.post(CALL, files={"image": ("a.png", png())}, data=fields),
        client.post(CALL, json={"image": base64.b64encode(png()).decode()} | fields),
    ):
        assert reason in error(response, 422)["what"]


def test_a_call_without_an_image(client: Client) -> None:
    assert "image" in error(client.post(CALL, json={}), 422)["what"]


@pytest.mark.parametrize("data", [b"", b"hello", png()[:60]], ids=["empty", "text", "cut"])
def test_a_bad_image(client: Client, data: bytes) -> None:
    error(client.post(CALL, files={"image": ("a.png", data)}), 400)
    error(client.post(CALL, json={"image": base64.b64encode(data).decode()}), 400)


@pytest.mark.parametrize("image", ["not base64!", 7, ["x"]])
def test_an_image_that_is_no_base64(client: Client, image: Any) -> None:
    error(client.post(CALL, json={"image": image}), 400)


def test_an_image_that_is_no_file(client: Client) -> None:
    response = client.post(CALL, data={"image": "a path"}, files={"x": ("x", b"")})
    assert "no file" in error(response, 400)["what"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b'{"image": NaN}', "application/json"),
        (b"[" * 9000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"no boundary here", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"hello", "text/plain"),
    ],
)
def test_a_body_that_cannot_be_read(client: Client, body: bytes, kind: str) -> None:
    error(client.post(CALL, content=body, headers={"content-type": kind}), 400)


def test_a_body_over_the_limit_is_given_up_while_it_comes(client: Client) -> None:
    error(client.post(CALL, files={"image": ("a.png", b"x" * 20_000)}), 413)
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": CALL,
        "raw_path": CALL.encode(),
        "query_string": b"",
        "headers": headers,
    }
    asyncio.run(client.app(scope, receive, send))
    assert (sent[0]["status"], taken) == (413, 11)


def test_a_crash_tells_little(client: Client) -> None:
    assert "RuntimeError" in error(client.post(CALL, files={"image": ("a.png", png(13, 13))}), 500)["what"]


def test_every_call_is_run(client: Client) -> None:
    """HTTP callers name no call id, so nothing is answered from the cache of another."""
    for width in (20, 30):
        response = client.post(CALL, files={"image": ("a.png", png(width, 8))})
        assert response.json()["result"]["objects"][0]["width"] == width


class TestToken:
    @pytest.fixture
    def locked(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
        monkeypatch.setenv("CLOUD_TOKEN", "s3cret")
        with serving(clock, http={"host": "0.0.0.0", "token_env": "CLOUD_TOKEN"}) as made:
            yield made

    def test_it_is_needed(self, locked: Client) -> None:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            response = locked.post(CALL, json={}, headers=headers)
            assert "token" in error(response, 401)["what"]
            assert response.headers["www-authenticate"] == "Bearer"
            error(locked.get("/v1/functions", headers=headers), 401)
        assert locked.get("/healthz").status_code == 200

    def test_it_opens(self, locked: Client) -> None:
        headers = {"Authorization": "Bearer s3cret"}
        assert locked.get("/v1/functions/yolov8", headers=headers).status_code == 200
        assert locked.post(CALL, files={"image": ("a.png", png())}, headers=headers).status_code == 200

    def test_it_must_be_set(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CLOUD_TOKEN", raising=False)
        http = {"token_env": "CLOUD_TOKEN"}
        with pytest.raises(ConfigError, match="CLOUD_TOKEN is not set"), serving(clock, http=http):
            pytest.fail("it serves without its token")
