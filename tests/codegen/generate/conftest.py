"""What these tests share: nobody's own endpoint, and a model whose pauses are only written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicem_codegen.generate.budget import Budget
from dicem_codegen.generate.config import ENDPOINT_ENV
from dicem_codegen.generate.endpoint import Endpoint, Reply

from .endpoint_server import KEY_ENV, Play, ScriptedEndpoint

NOW = 1_750_000_000.0
KEY = "sk-the-key-that-nobody-may-see-123456"


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No config and no key of whoever runs the tests."""
    for name in (ENDPOINT_ENV, "DICEM_TOKEN", "DICEM_BROKER_PASSWORD", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    monkeypatch.setenv(KEY_ENV, KEY)


class Desk:
    """An endpoint on a scripted server, and what it said and waited for."""

    def __init__(self, plays: Iterable[Play], settings: dict[str, Any]) -> None:
        self.server = ScriptedEndpoint(plays)
        self.said: list[str] = []
        self.waits: list[float] = []
        self.tokens: list[int] = []
        self.server.__enter__()
        self.config = self.server.config(**settings)
        self.endpoint = Endpoint(
            self.config,
            say=self.said.append,
            progress=self.tokens.append,
            sleep=self.waits.append,
            chance=lambda: 1.0,
            utc=lambda: NOW,
        )
        self.budget = Budget(self.config)

    def ask(self, text: str = "hello") -> Reply:
        return self.endpoint.ask(lambda form: [{"role": "user", "content": f"{text} in {form}"}], self.budget)


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    """Makes desks: `desk([plays], key=value of the endpoint's config)`."""
    pytest.importorskip("openai", reason="needs the extra [codegen]")
    made: list[Desk] = []

    def make(plays: Iterable[Play], **settings: Any) -> Desk:
        made.append(Desk(plays, settings))
        return made[-1]

    yield make
    for each in made:
        each.server.__exit__(None, None, None)
