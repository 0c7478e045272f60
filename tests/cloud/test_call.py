"""`dicem call`, against a real server: what it prints, and what it says of every mistake."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [cloud]")
pytest.importorskip("httpx", reason="needs the extra [test]")

import typer
from rich.console import Console
from typer.testing import CliRunner

from dicem_cloud import commands
from dicem_cloud.call_options import given, parameters_of, usage
from dicem_cloud.calling import RemoteCloud
from dicem_shared import catalog
from dicem_shared.clock import SystemClock
from dicem_shared.errors import CallTimeout, ConfigError, DicemError, ImageError, InvalidCall
from dicem_shared.functions import Batch, ImageParam, function
from dicem_shared.implementations import Implementation
from dicem_shared.types import ModelId

from .http_client import Asker, Finder, png, running, serving

Run = Callable[..., str]


class Boxes(Implementation):
    """A `glip` that finds what it is asked for."""

    spec = replace(catalog.glip, batch=Batch())
    model = ModelId(function="glip", name="boxes", sha256="3" * 64)
    found: list[dict[str, Any]] = [
        {"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.987654},
        {"x": 5, "y": 6, "width": 7, "height": 8, "score": 0.5},
    ]

    def run(self, batch: Any) -> list[Any | Exception]:
        return [[] if work.params["object_name"] == "nothing" else self.found for work in batch]


class Talker(Implementation):
    """An `llm`: a function without an image."""

    spec = replace(catalog.llm, batch=Batch())
    model = ModelId(function="llm", name="talker", sha256="4" * 64)

    def run(self, batch: Any) -> list[Any | Exception]:
        return [{"output": f"\x1b[2J{work.params['prompt']}\x07"} for work in batch]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DICEM_TOKEN", "DICEM_CLOUD_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.png").write_bytes(png())


def dicem_call(*typed: str, stdin: bytes = b"") -> Any:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, ["call", *typed], input=stdin, env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(SystemClock(), Asker(), Boxes(), Finder(), Talker()) as client, running(client.app) as (where, _):
        yield where


@pytest.fixture
def run(url: str) -> Run:
    """What the command prints."""

    def ran(*typed: str, stdin: bytes = b"") -> str:
        done = dicem_call(*typed, "--url", url, stdin=stdin)
        if done.exception is not None:
            raise done.exception
        return str(done.stdout)

    return ran


class Fake:
    """Something that answers everything with `reply`, and remembers who asked."""

    def __init__(self) -> None:
        self.reply: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.asked: list[dict[str, str]] = []
        self.go = threading.Event()
        self.go.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append({name.title(): value for name, value in self.headers.items()})
                owner.go.wait(30)
                status, body, headers = owner.reply
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def answering(self) -> Iterator[Fake]:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.go.set()
            self.server.shutdown()
            thread.join()
            self.server.server_close()


@pytest.fixture
def cloud() -> Iterator[Fake]:
    with Fake().answering() as made:
        yield made


def says(value: Any, status: int = 200) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(value).encode(), {}


def test_an_answer_in_words(run: Run) -> None:
    assert run("blip2", "--image", "a.png", "--query", "What is it?") == "What is it?\n"
    assert run("blip2", "--query=--what? ümlaut", "--image=a.png") == "--what? ümlaut\n"
    assert run("blip2", "--image", "-", "--query", "x", stdin=png()) == "x\n"
    assert run("llm", "--prompt", "hello") == "\N{REPLACEMENT CHARACTER}[2Jhello\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize("option", ["--object-name", "--object_name"])
def test_boxes_are_a_table(run: Run, option: str) -> None:
    printed = run("glip", "--image", "a.png", option, "bottle")
    rows = [line.replace("│", " ").split() for line in printed.splitlines() if "0." in line or "score" in line]
    assert rows[1:] == [["1", "2", "3", "4", "0.9877"], ["5", "6", "7", "8", "0.5"]]
    assert "score" in printed
    assert run("glip", "--image", "a.png", option, "nothing") == "nothing was found\n"


def test_a_list_repeats_its_option(run: Run) -> None:
    assert "picture" in run("yolov8", "--image", "a.png", "--classes", "picture", "--classes", "picture")


def test_json_is_all_that_the_cloud_said(run: Run) -> None:
    said = json.loads(run("blip2", "--image", "a.png", "--query", "x", "--json"))
    assert said["result"] == {"output": "x"}
    assert said["model"]["name"] == "asker"
    assert {one["metadata"]["name"] for one in json.loads(run("--json"))} == {"blip2", "glip", "llm", "yolov8"}


def test_what_can_be_called(run: Run) -> None:
    printed = run()
    assert "--object-name TEXT" in printed
    assert "[--classes TEXT ...]" in printed


def test_help_teaches(run: Run) -> None:
    for flag in ("--help", "-h"):
        printed = run(flag)
        assert "dicem call blip2 --image f.jpg" in printed
        assert "DICEM_TOKEN" in printed
    assert "Usage: dicem call blip2 --image FILE --query TEXT" in run("blip2", "--help")


def test_the_url_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICEM_CLOUD_URL", f"{url}/")
    assert dicem_call("llm", "--prompt", "x").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("blip2", "--image", "a.png", "--question", "x"), "Did you mean --query?"),
        (("blip2", "--image", "a.png", "--zzz", "x"), "Usage: dicem call blip2"),
        (("blip2", "--image", "a.png"), "blip2 needs --query"),
        (("blip2",), "blip2 needs --image and --query"),
        (("blip2", "--image", "a.png", "--query"), "--query needs a value"),
        (("blip2", "--image", "a.png", "--query", "what", "is", "it"), "Put text of several words in quotes"),
        (("blip2", "--query", "a", "--query", "b", "--image", "a.png"), "--query was given twice"),
        (("blip2", "--query", "x" * 2001, "--image", "a.png"), "2000"),
        (("yolov8", "--image", "a.png", "--classes", "boat"), "knows no 'boat'"),
        (("blib2", "--image", "a.png"), "Did you mean blip2 or glip?"),
        (("--image", "a.png", "blip2"), "the function's name comes first"),
        (("a/../b?c#d",), "the function's name"),
    ],
)
def test_what_is_typed_wrong(run: Run, typed: tuple[str, ...], said: str) -> None:
    with pytest.raises(DicemError) as caught:
        run(*typed)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.png", None, "none.png cannot be read (got No such file or directory)"),
        (".", None, "Is a directory"),
        ("b.png", b"", "empty"),
        ("b.png", b"hello", "no image we accept"),
        ("b.png", png()[:20], "truncated"),
        ("b\0.png", None, "null byte"),
    ],
)
def test_a_file_that_is_no_image(run: Run, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        run("blip2", "--image", name, "--query", "x")
    assert said in str(caught.value)
    assert "--image" in str(caught.value)


def test_a_damaged_image_is_refused_by_the_cloud(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(png()[:-30])
    with pytest.raises(DicemError, match="truncated or damaged"):
        run("blip2", "--image", "cut.png", "--query", "x")


def test_no_cloud_is_there() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(DicemError) as caught:
            RemoteCloud(f"http://127.0.0.1:{nobody.getsockname()[1]}").functions()
    assert "no dicem cloud answers" in str(caught.value)
    assert "dicem cloud --config" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "x", "127.0.0.1:8080", "ftp://host", "http://", "http://h:99999", "http://h\n", "http://[", "http://h?x=1"],
)
def test_no_address(url: str) -> None:
    if url:
        with pytest.raises(ConfigError, match="no address of a cloud"):
            RemoteCloud(url)


def test_an_address_with_a_password() -> None:
    with pytest.raises(ConfigError, match="DICEM_TOKEN") as caught:
        RemoteCloud("http://user:hush@host")
    assert "hush" not in str(caught.value)


class TestToken:
    @pytest.fixture
    def locked(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        for name in ("CALLER", "READER"):
            monkeypatch.setenv(name, name.lower())
        tokens = [{"name": "c", "env": "CALLER", "roles": ["call"]}, {"name": "r", "env": "READER", "roles": ["read"]}]
        with serving(clock, Talker(), http={"tokens": tokens}) as client, running(client.app) as (where, _):
            yield where

    def said(self, url: str) -> str:
        done = dicem_call("llm", "--prompt", "x", "--url", url)
        return str(done.exception or done.stdout)

    def test_each_is_told_what_is_wrong(self, locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "wants a token" in self.said(locked)
        monkeypatch.setenv("DICEM_TOKEN", "hush")
        assert "does not know this token" in self.said(locked)
        assert "hush" not in self.said(locked)
        monkeypatch.setenv("DICEM_TOKEN", "reader")
        assert "role call" in self.said(locked)
        monkeypatch.setenv("DICEM_TOKEN", "caller")
        assert "x" in self.said(locked)

    def test_one_that_cannot_be_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DICEM_TOKEN", "two\nlines")
        with pytest.raises(ConfigError, match="cannot be sent") as caught:
            RemoteCloud("http://127.0.0.1:1")
        assert "lines" not in str(caught.value)

    def test_it_follows_no_redirect(self, cloud: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DICEM_TOKEN", "hush")
        with Fake().answering() as other:
            cloud.reply = (302, b"", {"Location": f"{other.url}/v1/functions"})
            with pytest.raises(DicemError, match="no dicem cloud answers"):
                RemoteCloud(cloud.url).functions()
        assert [asked["Authorization"] for asked in cloud.asked] == ["Bearer hush"]
        assert other.asked == []


@pytest.mark.parametrize(
    "reply",
    [
        (200, b"<html>", {}), (200, b"", {}), (200, b"[" * 100_000, {}), (500, b"no", {}),
        (200, b"{}", {"Content-Length": "100"}), (200, b"x", {"Content-Encoding": "gzip"}),
        says([1]), says({}), says({"items": 7}), says({"items": [7]}), says({"error": 5}, 404),
        says({"error": {"what": 5}}, 404),
    ],
)  # fmt: skip
def test_something_else_answers(cloud: Fake, reply: Any) -> None:
    cloud.reply = reply
    with pytest.raises(DicemError) as caught:
        RemoteCloud(cloud.url).functions()
    assert cloud.url in str(caught.value)


def test_what_a_cloud_says_does_nothing_to_the_terminal(cloud: Fake) -> None:
    cloud.reply = says({"error": {"what": "\x1b[2Jboo" + "x" * 9999, "todo": None}}, 422)
    with pytest.raises(DicemError) as caught:
        RemoteCloud(cloud.url).functions()
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "status", [{}, {"parametersSchema": "{"}, {"parametersSchema": "[]"}, {"parametersSchema": "[" * 9999}, 7, None]
)
def test_a_function_that_is_described_badly(cloud: Fake, status: Any) -> None:
    cloud.reply = says({"status": status})
    done = dicem_call("blip2", "--url", cloud.url)
    assert isinstance(done.exception, InvalidCall)


def test_a_flood_is_cut_off(cloud: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicem_cloud.calling.MAX_REPLY", 1000)
    cloud.reply = (200, b" " * 2000, {})
    with pytest.raises(DicemError, match="more than 1000 bytes"):
        RemoteCloud(cloud.url).functions()


def test_a_cloud_that_is_silent(cloud: Fake) -> None:
    cloud.go.clear()
    with pytest.raises(CallTimeout, match=r"no answer in 0\.1 s"):
        RemoteCloud(cloud.url, timeout_s=0.1).functions()


@function()
def made(  # type: ignore[empty-body]
    image: ImageParam, count: int, share: float, dry: bool = False, tags: list[int] | None = None,
    more: dict[str, int] | None = None, either: int | str = 1,
) -> catalog.Output:  # fmt: skip
    """Has one parameter of each kind."""


class TestOptions:
    def read(self, *typed: str) -> dict[str, Any]:
        parameters = parameters_of(made.resource())
        return given("made", parameters, ["--image", "a.png", *typed]).params

    def test_each_kind(self) -> None:
        need = ("--count", "-5", "--share", "2.5e3")
        assert self.read(*need) == {"count": -5, "share": 2500.0}
        assert self.read(*need, "--dry", "--tags", "1", "--tags=2")["dry"] is True
        assert self.read(*need, "--dry", "no", "--tags", "1", "--tags=2") == {
            "count": -5, "share": 2500.0, "dry": False, "tags": [1, 2],
        }  # fmt: skip
        assert self.read(*need, "--more", '{"a": 1}', "--either", '"x"')["more"] == {"a": 1}

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            (("--count", "many"), "--count has no such value (expected integer, got 'many')"),
            (("--count", "1", "--share", "much"), "expected number"),
            (("--count", "1", "--share", "1", "--dry=perhaps"), "expected boolean"),
            (("--count", "1", "--share", "1", "--more", "{"), "expected JSON"),
            (("--count", "1", "--share", "1", "--tags", "x"), "expected integer"),
        ],
    )
    def test_values_that_are_none(self, typed: tuple[str, ...], said: str) -> None:
        with pytest.raises(InvalidCall) as caught:
            self.read(*typed)
        assert said in str(caught.value)

    def test_usage(self) -> None:
        assert usage("made", parameters_of(made.resource())) == (
            "Usage: dicem call made --image FILE --count NUMBER --share NUMBER [--dry] [--tags NUMBER ...] "
            "[--more JSON] [--either JSON]"
        )


def test_a_terminal_sees_that_something_is_going_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicem_cloud import call_command

    shown = io.StringIO()

    def console(*, stderr: bool = False) -> Console:
        return Console(file=shown, force_terminal=True, width=100) if stderr else Console()

    monkeypatch.setattr(call_command, "Console", console)
    monkeypatch.setenv("TERM", "xterm")
    assert "x" in run("llm", "--prompt", "x")
    assert "llm at http://127.0.0.1" in shown.getvalue()
    assert "talker" in shown.getvalue()
