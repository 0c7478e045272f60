"""What every part's tests share."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing")


class Golden:
    """Compares texts with the files that were kept of them; or, with `update`, keeps them."""

    def __init__(self, update: bool) -> None:
        self.update = update

    def check(self, kept: Path, text: str) -> None:
        """Fail with a diff where the file `kept` does not hold `text`."""
        if self.update:
            if self._text(kept) != text:
                kept.write_text(text, encoding="utf-8")
            return
        difference = self.difference(kept, text)
        if difference:
            pytest.fail(f"{difference}\n(`pytest --update-golden` keeps what is there now)", pytrace=False)

    def difference(self, kept: Path, text: str) -> str:
        """How `text` differs from what the file holds, as a diff; empty if it does not."""
        old = self._text(kept)
        if old == text:
            return ""
        if old is None:
            return f"{kept.name} is missing; it would be\n{text}"
        lines = difflib.unified_diff(old.split("\n"), text.split("\n"), f"{kept.name}, kept", "now", lineterm="")
        return "\n".join(lines)

    @staticmethod
    def _text(kept: Path) -> str | None:
        return kept.read_bytes().decode("utf-8", "replace") if kept.exists() else None


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """The keeper of golden files."""
    return Golden(bool(request.config.getoption("--update-golden")))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Find a file or folder of `../shared/data`; the test is skipped, with the reason, where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return path

    return find
