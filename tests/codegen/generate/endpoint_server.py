"""A model endpoint that plays a script: real HTTP on loopback, for the real client.

    with ScriptedEndpoint([says("def execute_command(image): ..."), refuses()]) as server:
        endpoint = Endpoint(server.config())

Each request gets the next play; after the last one, that the script is over.  `by_question` answers each question with
its program, however often it is asked.  What was asked is in `requests`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from dicem_codegen.generate.config import EndpointConfig

KEY_ENV = "SCRIPTED_ENDPOINT_KEY"
PIECE = 24
"""characters of one streamed piece"""


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    """names in lower case"""
    body: dict[str, Any]

    @property
    def form(self) -> str:
        """`schema` where a schema was asked for, else `text`."""
        return "schema" if "response_format" in self.body else "text"

    @property
    def messages(self) -> list[dict[str, str]]:
        """As they were sent."""
        messages: list[dict[str, str]] = self.body["messages"]
        return messages


class Stage:
    """What a play has to answer with: the connection, cut loose from HTTP's details."""

    def __init__(self, handler: BaseHTTPRequestHandler, asked: Asked, closing: threading.Event) -> None:
        self.handler, self.asked, self.closing = handler, asked, closing

    def whole(self, status: int, body: bytes, kind: str = "application/json", headers: Any = ()) -> None:
        """A response in one piece."""
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin(self, kind: str = "text/event-stream", headers: Any = ()) -> None:
        """The head of a stream."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Transfer-Encoding", "chunked")
        for name, value in dict(headers).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def raw(self, data: bytes) -> None:
        """Bytes of a stream."""
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def event(self, value: Any) -> None:
        """One event of a stream."""
        self.raw(f"data: {json.dumps(value)}\n\n".encode())

    def piece(self, content: str | None = None, finish: str | None = None, **delta: Any) -> None:
        """One piece of a reply."""
        if content is not None:
            delta["content"] = content
        self.event(
            {
                "id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
        )  # fmt: skip

    def usage(self, prompt: Any, completion: Any) -> None:
        """The account, which comes last."""
        tokens = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0}
        self.event({"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted",
                    "choices": [], "usage": tokens})  # fmt: skip

    def end(self) -> None:
        """The end of a stream."""
        self.raw(b"data: [DONE]\n\n")
        self.handler.wfile.write(b"0\r\n\r\n")


Play = Callable[[Stage], None]


def writes(text: str, *, finish: str = "stop", usage: tuple[Any, Any] | None = (1000, 100)) -> Play:
    """A reply of just this text."""

    def play(stage: Stage) -> None:
        stage.begin()
        stage.piece("", role="assistant")
        for start in range(0, len(text), PIECE):
            stage.piece(text[start : start + PIECE])
        stage.piece(finish=finish)
        if usage is not None:
            stage.usage(*usage)
        stage.end()

    return play


def says(program: str, *, usage: tuple[Any, Any] | None = (1000, 100)) -> Play:
    """A reply that holds a program, in the form that was asked for."""

    def play(stage: Stage) -> None:
        fenced = f"It asks the models, one after the other.\n\n```python\n{program}```\n"
        reply = json.dumps({"plan": "It asks the models.", "program": program})
        writes(reply if stage.asked.form == "schema" else fenced, usage=usage)(stage)

    return play


def cut_off(program: str) -> Play:
    """JSON that ends in the middle, because the reply may not be longer."""
    reply = json.dumps({"plan": "It asks the models.", "program": program})
    return writes(reply[: len(reply) // 2], finish="length")


def truncated(program: str) -> Play:
    """The same by a model that thinks it is done."""
    reply = json.dumps({"plan": "It asks the models.", "program": program})
    return writes(reply[: len(reply) // 2])


def refuses(text: str = "I cannot help with that.") -> Play:
    """A refusal, as OpenAI's models send one."""

    def play(stage: Stage) -> None:
        stage.begin()
        stage.piece(role="assistant", refusal=text)
        stage.piece(finish="stop")
        stage.usage(1000, 10)
        stage.end()

    return play


def fails(status: int, message: str = "no", headers: Mapping[str, str] | None = None, **error: Any) -> Play:
    """An error, as OpenAI's API sends one."""
    body = json.dumps({"error": {"message": message, "type": "error", **error}}).encode()
    return lambda stage: stage.whole(status, body, headers=headers or {})


def sends(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> Play:
    """Something else altogether."""
    return lambda stage: stage.whole(
        status, body, kind, {name.replace("_", "-"): each for name, each in headers.items()}
    )


def hangs(after: str | None = None) -> Play:
    """Nothing more, until the test is over: before any answer, or after so much of a reply."""

    def play(stage: Stage) -> None:
        if after is not None:
            stage.begin()
            stage.piece(after)
        stage.closing.wait(30)

    return play


def drips(seconds: float = 0.02) -> Play:
    """A sign of life now and then, and never an end."""

    def play(stage: Stage) -> None:
        stage.begin()
        while not stage.closing.wait(seconds):
            stage.piece("x")

    return play


def drips_headers(seconds: float = 0.02) -> Play:
    """The same, before there is even a response."""

    def play(stage: Stage) -> None:
        stage.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stage.closing.wait(seconds):
            stage.handler.wfile.write(b"X-Drip: x\r\n")
            stage.handler.wfile.flush()

    return play


def hangs_up(after: str = "{") -> Play:
    """A line that breaks in the middle of a reply."""

    def play(stage: Stage) -> None:
        stage.begin()
        stage.piece(after)

    return play


def floods() -> Play:
    """A reply without end, as fast as it goes."""

    def play(stage: Stage) -> None:
        stage.begin()
        while not stage.closing.is_set():
            stage.piece("x" * 50_000)

    return play


def without_schema(inner: Play, status: int = 400) -> Play:
    """Refuses a `response_format`; plays on where there is none."""

    def play(stage: Stage) -> None:
        if stage.asked.form == "schema":
            fails(status, "response_format is not supported")(stage)
        else:
            inner(stage)

    return play


@dataclass
class ScriptedEndpoint:
    """The server; a context manager."""

    script: Iterable[Play] = ()
    questions: Mapping[str, Play] | None = None
    """plays by the question that is asked, instead of a script"""
    requests: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._plays = iter(self.script)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.first_request = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = json.loads(self.rfile.read(length))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.close_connection = True
                owner.answer(Stage(self, Asked(self.path, headers, body), owner._closing))

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Clients that hang up are part of the play."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @classmethod
    def by_question(cls, programs: Mapping[str, str]) -> ScriptedEndpoint:
        """A model that knows a program for each of these questions."""
        return cls(questions={question: says(program) for question, program in programs.items()})

    def answer(self, stage: Stage) -> None:
        """Play what is next."""
        with self._lock:
            self.requests.append(stage.asked)
            play = next(self._plays, None) if self.questions is None else self._for(stage.asked)
        self.first_request.set()
        (play or fails(404, "the script is over"))(stage)

    def _for(self, asked: Asked) -> Play | None:
        questions = [message["content"] for message in asked.messages if message["role"] == "user"]
        return next((play for each, play in (self.questions or {}).items() if questions[0].endswith(each)), None)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The endpoint's config as plain values."""
        return {"base_url": self.url, "model": "scripted", "timeout_s": 5.0, "retries": 2, **changes}

    def config(self, **changes: Any) -> EndpointConfig:
        """The endpoint's config."""
        return EndpointConfig(**self.settings(**changes))

    def write_config(self, path: Path, **changes: Any) -> Path:
        """The endpoint's config as a file."""
        path.write_text(json.dumps(self.settings(**changes)), encoding="utf-8")  # JSON is YAML
        return path

    def __enter__(self) -> ScriptedEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
