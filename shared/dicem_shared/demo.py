"""The bundled models know rendered scenes only; whatever runs on them says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DEMO_NOTICE = "demo models: trained on rendered scenes"
CARD = "card.md"


def demo_notice(paths: Iterable[str | Path]) -> str | None:
    """`DEMO_NOTICE` where the card beside a model (a folder, or a file in one) says so, else None.

    To be printed on stderr by every command that loads models.
    """
    for path in map(Path, paths):
        card = (path if path.is_dir() else path.parent) / CARD
        if card.is_file() and "trained on rendered scenes" in card.read_text(encoding="utf-8", errors="replace"):
            return DEMO_NOTICE
    return None
