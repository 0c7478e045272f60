"""The name that somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """The known name that comes nearest, or ""."""
    near = difflib.get_close_matches(name[:64], sorted(known), n=1, cutoff=cutoff)
    return near[0] if near else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", *, cutoff: float = 0.5) -> str:
    """A hint with the known name that comes nearest."""
    near = nearest(name, known, cutoff=cutoff)
    return f"Did you mean {near}?" if near else otherwise
