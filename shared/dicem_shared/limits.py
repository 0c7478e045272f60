"""What one program may take on one frame, on one screen, and the error that ends it when it takes more."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from .camera import Strict
from .errors import ProgramLimitError


class RunLimits(Strict):
    """Totals for one program on one frame; going over one ends the run, and the program cannot catch it."""

    cpu_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """seconds of computing in the interpreter, waiting not counted"""
    wall_s: Annotated[float, Field(gt=0, le=86_400)] = 180.0
    """seconds from the start of the run to its end, waiting included; the agent watches it"""
    memory_mb: Annotated[float, Field(ge=4, le=1024)] = 10.0
    """megabytes (2**20 bytes) in the interpreter's own process.  What a program hands out all at once is read by the
    process that runs it, which may need four times this for a moment"""
    calls: Annotated[int, Field(ge=1, le=10_000)] = 200
    """calls that the program's lines make; those started ahead of them that they never come to are as many at most"""
    bytes_up_kb: Annotated[float, Field(ge=0, le=1_000_000)] = 2000.0
    """kilobytes (1024 bytes) of requests that leave for the other site, pixels and parameters; checked before each"""
    usd: Annotated[float, Field(ge=0, le=1000)] = 0.05
    """US dollars that the calls cost, as the replies say; a call that would go over, at the highest price that its
    function has had so far, is not sent"""
    output_kb: Annotated[float, Field(gt=0, le=10_000)] = 64.0
    """kilobytes (1024 bytes) of printed text and of returned value, each"""
    recursion: Annotated[int, Field(ge=10, le=1000)] = 200
    """calls inside calls; as in CPython a RecursionError, which alone of all these can be caught"""

    @property
    def output_bytes(self) -> int:
        """`output_kb` in bytes."""
        return int(self.output_kb * 1024)

    @property
    def bytes_up(self) -> int:
        """`bytes_up_kb` in bytes."""
        return int(self.bytes_up_kb * 1024)

    @property
    def memory_bytes(self) -> int:
        """`memory_mb` in bytes."""
        return int(self.memory_mb * 2**20)

    @property
    def tries_ahead(self) -> int:
        """So often a program may try to start a call ahead, joined or not; then its ahead blocks do nothing more."""
        return self.calls * 4

    @property
    def suspensions(self) -> int:
        """Turns to the host: a call and its result, whether asked ahead or not, strands, promises."""
        return self.calls * 12 + 100


_SAID: Final = {
    "cpu_s": ("s of computing", "it computed for too long; is there an endless loop?"),
    "wall_s": ("s from start to end", "it took too long, waiting included"),
    "memory_mb": ("MB", "it used too much memory"),
    "calls": ("calls", "too many calls on one frame"),
    "bytes_up_kb": ("kB sent", "it would send too much"),
    "usd": ("USD", "its calls cost too much"),
    "output_kb": ("kB", "it printed or returned too much"),
    "recursion": ("calls inside calls", "its calls inside calls go too deep"),
}
"""For each limit its unit, and what it means that it was passed."""


def exceeded(limits: RunLimits, limit: str, where: str, *, what: str = "", got: str = "") -> ProgramLimitError:
    """The error for a program that went over `limit`: which it was, what was allowed and what to do.

    `where` is the program, and its line where that is known; `what` says it better than the limit's own words.
    """
    unit, meaning = _SAID[limit]
    return ProgramLimitError(
        f"{where}: {what or meaning}", limit=limit, expected=f"at most {getattr(limits, limit):g} {unit}", got=got,
        todo=f"Ask less of one frame, or raise limits.program.{limit} in the config if it is right to.",
    )  # fmt: skip
