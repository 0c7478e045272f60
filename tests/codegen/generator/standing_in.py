"""Stands in for the compiler and the verifier where what matters is how ranges of seeds are gone through."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .ranges import Check, Checked

WRONG, ENDS, STAYS = 13, 31, 57
"""Seeds, modulo 100: with a difference; that take their process with them; that never come back."""


@contextmanager
def standing_in(worlds: int) -> Iterator[Check]:
    """Every seed with something else to tell."""

    def check(seed: int) -> Checked:
        if seed % 100 == ENDS:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed % 100 == STAYS:
            threading.Event().wait()
        return Checked(seed, frozenset({"sets"} if seed % 2 else {"del"}), f"no {seed}" if seed % 100 == WRONG else "")

    yield check


@contextmanager
def without_trouble(worlds: int) -> Iterator[Check]:
    """Nothing is ever wrong; a row is the seed's own."""
    yield lambda seed: Checked(seed, frozenset({str(seed)}))


@contextmanager
def telling_its_process(worlds: int) -> Iterator[Check]:
    """A row is the process's number."""
    yield lambda seed: Checked(seed, frozenset({str(os.getpid())}))
