"""What checking a range has come to: as it goes, and at its end."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from .ranges import Checked
from .rows import ROWS

DRAW_S, SAY_S = 0.5, 60.0
"""Between two states of the line on a terminal; between two lines elsewhere."""


@dataclass
class Tally:
    """Counts over the programs of a range, from seed `first` on."""

    first: int
    count: int
    done: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    differing: list[int] = field(default_factory=list)
    """seeds"""

    def add(self, checked: Checked) -> None:
        """One more program."""
        self.done += 1
        self.rows.update(checked.rows)
        if checked.trouble:
            self.differing.append(checked.seed)

    @property
    def whole(self) -> bool:
        """All have been checked."""
        return self.done == self.count

    def text(self) -> str:
        """For a reader: the same for the same seeds, whatever it took."""
        found = len(self.differing)
        said = f"{found} differ: seeds {', '.join(map(str, self.differing))}" if found else "no difference"
        lines = [f"{self.done} programs from seed {self.first} on: {said}"]
        if self.done:
            lines.append("programs that reach a row: " + ", ".join(f"{row} {self.rows[row]}" for row in ROWS))
        if not self.whole:
            lines.append(f"go on with FIRST={self.first + self.done} COUNT={self.count - self.done}")
        return "\n".join(lines)

    def document(self) -> str:
        """For a machine."""
        told = {
            "first": self.first, "count": self.count, "done": self.done, "differing": self.differing,
            "rows": {row: self.rows[row] for row in ROWS},
        }  # fmt: skip
        return json.dumps(told, indent=2)


class Line:
    """How far it is: one line that is written over on a terminal, a new one every minute elsewhere."""

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        self.tally, self.stream = tally, stream
        self.over = stream.isatty()
        self.began_s = self.said_s = time.monotonic()

    def update(self) -> None:
        """Say it, if it is time."""
        now_s = time.monotonic()
        if now_s - self.said_s >= (DRAW_S if self.over else SAY_S):
            self.said_s = now_s
            self._write(self.text(now_s - self.began_s))

    def text(self, seconds: float) -> str:
        """How far it is after so many seconds."""
        tally = self.tally
        said = f"{tally.done} of {tally.count} programs, {len(tally.differing)} differ"
        if not tally.done or seconds <= 0:
            return said
        rate = tally.done / seconds
        return f"{said}, {rate:.1f} a second, {duration((tally.count - tally.done) / rate)} left"

    def clear(self) -> None:
        """Make room for other text."""
        if self.over:
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def end(self) -> None:
        """The last word."""
        self.clear()
        seconds = time.monotonic() - self.began_s
        rate = self.tally.done / seconds if seconds else 0.0
        print(f"{self.tally.done} programs in {duration(seconds)}, {rate:.1f} a second", file=self.stream, flush=True)

    def _write(self, text: str) -> None:
        start, end = ("\r\x1b[K", "") if self.over else ("", "\n")
        print(f"{start}{text}", end=end, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """`1 h 5 min`, `3 min 20 s`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
