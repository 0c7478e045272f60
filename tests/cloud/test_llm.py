"""The language model's endpoint: a real server on this machine that behaves as servers do."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.functions.llm import Llm
from dicem_cloud.functions_config import LlmConfig
from dicem_shared import catalog
from dicem_shared.config import parse_config
from dicem_shared.errors import CallTimeout, ConfigError, FunctionError, Overloaded
from dicem_shared.implementations import Work

pytest.importorskip("httpx", reason="needs the extra [cloud]")

KEY = "sk-very-secret-0123456789"
Answer = tuple[int, dict[str, str], bytes]


def said(text: Any) -> Answer:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Server(ThreadingHTTPServer):
    """Answers as `reply` says; what was asked is in `requests`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.reply: Callable[[Any], Answer] = lambda body: said(f"echo: {body['messages'][-1]['content']}")
        self.hold: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        if self.server.hold is not None:
            self.server.hold.wait(20)
        status, headers, data = self.server.reply(body)
        if status == 0:  # hang up
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def ask(server: Server, pauses: list[float]) -> Callable[..., Any]:
    def run(*prompts: str, **how: Any) -> Any:
        config = LlmConfig.model_validate({"base_url": server.url, "model": "m", **how})
        return Llm(config, sleep=pauses.append).run([Work({"prompt": prompt}) for prompt in prompts])

    return run


def test_each_gets_his_own_answer(ask: Callable[..., Any]) -> None:
    prompts = [f"number {n}" for n in range(20)]
    results = ask(*prompts, max_batch=8)
    assert [catalog.llm.check_result(one)["output"] for one in results] == [f"echo: {prompt}" for prompt in prompts]


def test_prompts_of_a_batch_are_asked_at_once(ask: Callable[..., Any], server: Server) -> None:
    """Each answer waits until all three questions are there."""
    together = threading.Barrier(3, timeout=20)

    def reply(body: Any) -> Answer:
        together.wait()
        return said("yes")

    server.reply = reply
    assert ask("a", "b", "c", max_batch=3) == [{"output": "yes"}] * 3


def test_what_is_sent(ask: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_KEY", KEY)
    ask("why?", api_key_env="LLM_KEY", system="Be brief.", max_tokens=7, seed=None)
    ((path, headers, body),) = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "m", "max_tokens": 7, "temperature": 0.0,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}],
    }  # fmt: skip
    ask("why?", system="", temperature=None, max_tokens_as="max_completion_tokens")
    assert server.requests[1][2] == {
        "model": "m", "max_completion_tokens": 512, "seed": 0, "messages": [{"role": "user", "content": "why?"}],
    }  # fmt: skip
    assert "Authorization" not in server.requests[1][1]


def test_a_busy_endpoint_says_when_to_come_back(ask: Callable[..., Any], server: Server, pauses: list[float]) -> None:
    waits = iter(("7", "soon", "nan", "-3", "999999", ""))
    server.reply = lambda _body: (429, {"Retry-After": next(waits)}, b"{}")
    outcomes = [ask("a")[0] for _ in range(6)]
    assert all(isinstance(one, Overloaded) for one in outcomes)
    assert [one.retry_after_s for one in outcomes] == [7, 2, 2, 0.1, 300, 2]
    assert (pauses, len(server.requests)) == ([], 6)


@pytest.mark.parametrize("status", [500, 502, 503, 0])
def test_a_broken_endpoint_is_asked_again_but_not_for_ever(
    status: int, ask: Callable[..., Any], server: Server, pauses: list[float]
) -> None:
    server.reply = lambda _body: (status, {}, b"") if len(server.requests) < 3 else said("at last")
    assert ask("a", retries=2) == [{"output": "at last"}]
    assert pauses == [0.5, 1.0]
    server.reply = lambda _body: (status, {}, b"")
    (outcome,) = ask("a", retries=1)
    assert isinstance(outcome, FunctionError)
    assert "the same 2 times" in str(outcome)


def test_one_bad_prompt_fails_alone(ask: Callable[..., Any], server: Server) -> None:
    def reply(body: Any) -> Answer:
        return (400, {}, b"no") if body["messages"][-1]["content"] == "bad" else said("fine")

    server.reply = reply
    good, bad, also = ask("good", "bad", "also", system="")
    assert (good, also) == ({"output": "fine"}, {"output": "fine"})
    assert "refused the request (400)" in str(bad)


def test_an_endpoint_that_does_not_answer(ask: Callable[..., Any], server: Server) -> None:
    server.hold = threading.Event()
    (outcome,) = ask("a", timeout_s=0.2)
    server.hold.set()
    assert isinstance(outcome, CallTimeout)


def test_no_endpoint_at_all(pauses: list[float]) -> None:
    config = LlmConfig(base_url="http://127.0.0.1:9/v1", model="m", retries=1)
    (outcome,) = Llm(config, sleep=pauses.append).run([Work({"prompt": "a"})])
    assert "cannot be reached" in str(outcome)
    assert "127.0.0.1" not in str(outcome)
    assert len(pauses) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b""),
        (200, {}, b"{"),
        (200, {}, b"[" * 5000),
        (200, {}, b"[]"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": null}]}'),
        (200, {}, b'{"choices": {"0": 1}}'),
        said(None),
        said(3),
        said("  "),
        (200, {}, b"x" * 2_000_001),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
        (302, {"Location": "http://169.254.169.254/"}, b""),
        (404, {}, b"no such model"),
        (401, {}, b"who?"),
    ],
)
def test_replies_that_are_none(answer: Answer, ask: Callable[..., Any], server: Server) -> None:
    server.reply = lambda _body: answer
    (outcome,) = ask("a")
    assert isinstance(outcome, FunctionError)
    assert "\n" not in str(outcome)
    assert len(server.requests) == 1


def test_half_a_surrogate_pair_is_no_text(ask: Callable[..., Any], server: Server) -> None:
    server.reply = lambda _body: (200, {}, b'{"choices": [{"message": {"content": "a\\ud800b"}}]}')
    assert ask("a") == [{"output": "a?b"}]


def test_the_key_is_shown_nowhere(
    ask: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LLM_KEY", KEY)
    server.reply = lambda _body: (400, {}, f"bad key {KEY}".encode())
    with caplog.at_level(logging.WARNING):
        (outcome,) = ask("a", api_key_env="LLM_KEY")
    assert "bad key [key]" in caplog.text
    assert KEY not in caplog.text + str(outcome)
    server.reply = lambda _body: said(f"your key is {KEY}")
    assert ask("a", api_key_env="LLM_KEY") == [{"output": "your key is [key]"}]


class TestConfig:
    def test_the_key_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        config = LlmConfig(base_url="http://127.0.0.1:9/v1", model="m", api_key_env="LLM_KEY")
        monkeypatch.delenv("LLM_KEY", raising=False)
        with pytest.raises(ConfigError, match="LLM_KEY is not set"):
            Llm(config)
        monkeypatch.setenv("LLM_KEY", "käse")
        with pytest.raises(ConfigError, match="cannot be sent"):
            Llm(config)

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"base_url": "ftp://x.org/v1"}, "must be an http"),
            ({"base_url": "http://user:pass@x.org/v1"}, "must hold no user"),
            ({"base_url": "http://[::1/v1"}, "not a URL"),
            ({"base_url": "http://x.org/v1?key=1"}, "must hold no user"),
            ({"api_key_env": KEY}, "must be the NAME"),
            ({"api_key": KEY}, "Did you mean api_key_env?"),
            ({"retries": 99}, "functions.llm.retries"),
        ],
    )
    def test_mistakes(self, keys: dict[str, Any], reason: str) -> None:
        value = {"functions": {"llm": {"base_url": "http://x.org/v1", "model": "m"} | keys}}
        with pytest.raises(ConfigError) as caught:
            parse_config(CloudConfig, value, where="cloud.yaml")
        assert reason in str(caught.value)
        assert KEY not in str(caught.value)

    def test_built_from_a_config(self, tmp_path: Any) -> None:
        value = {"functions": {"llm": {"base_url": "http://x.org/v1/", "model": "m", "max_batch": 3}}}
        config = CloudConfig.model_validate(value).relative_to(tmp_path)
        assert config.functions.models == {}
        (llm,) = build(config).values()
        assert (llm.model.name, llm.spec.batch.max_size, llm.reentrant) == ("m", 3, True)
        other = LlmConfig(base_url="http://x.org/v1", model="m", temperature=1.0)
        assert Llm(other).model.sha256 != llm.model.sha256 != ""
