"""An HTTP server that answers everything with one response: a cloud's list of functions, or whatever else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def listed(*resources: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(resources)}


@contextmanager
def functions_at(resources: list[Any]) -> Iterator[str]:
    """The URL of a cloud that serves these."""
    cloud = Cloud(json.dumps(listed(*resources)).encode())
    try:
        yield cloud.url
    finally:
        cloud.close()


class Cloud:
    """An HTTP server that answers everything with one response."""

    def __init__(
        self, body: bytes, status: int = 200, headers: dict[str, str] | None = None, hang: bool = False
    ) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                while hang and not owner.closing.wait(0.02):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Clients that hang up are part of it."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
