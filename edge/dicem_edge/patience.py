"""How often a program that computes until it is stopped gets another frame: so seldom that all others go on.

Programs run on the agent's own thread.  One that loops without end costs its whole `cpu_s` on every frame; at ten
frames a second nothing else would be answered, and nobody could tell the vehicle to drop it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Final

from dicem_shared.clock import Clock
from dicem_shared.program import Program

log = logging.getLogger(__name__)

REST: Final = 4.0
"""After so many times as long as it took, the next frame: all such programs together get a fifth of the time."""


class Patience:
    """Tells which programs may have a frame, from how long their last ones took.  For the agent's thread."""

    def __init__(self, clock: Clock, too_long_s: float) -> None:
        """`too_long_s`: who fails after having computed for so long at a stretch is one of them."""
        self._clock, self._too_long_s = clock, too_long_s
        self._slow: dict[str, None] = {}
        """ids of programs, who has waited longest first"""
        self._tried: str | None = None
        """the one of them that is under way"""
        self._rested_at = -math.inf
        self._began = 0.0

    def begin(self) -> None:
        """A step of the agent begins now: whatever ends before the next one has taken the time since."""
        self._began = self._clock.monotonic()

    def choose(self, programs: Sequence[Program]) -> list[Program]:
        """Those that get the frame: all but the slow ones, and one of these when it is time for that."""
        ids = {program.id for program in programs}
        self._slow = {id_: None for id_ in self._slow if id_ in ids}
        turn = None
        if self._slow and self._tried is None and self._clock.monotonic() >= self._rested_at:
            turn = self._tried = next(iter(self._slow))
        return [program for program in programs if program.id not in self._slow or program.id == turn]

    def ended(self, program: Program, *, failed: bool) -> None:
        """A run of a program has ended in this step."""
        now = self._clock.monotonic()
        took, self._began = now - self._began, now
        was_slow = program.id in self._slow
        self._slow.pop(program.id, None)
        if self._tried == program.id:
            self._tried = None
        if failed and took >= self._too_long_s:
            self._slow[program.id] = None
            self._rested_at = now + REST * took
            if not was_slow:
                log.warning("%s computed until it was stopped; it gets a frame now and then from here on", program.name)
