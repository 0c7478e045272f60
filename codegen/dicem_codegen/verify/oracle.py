"""The oracle: original programs in CPython, in a confined process of its own that serves one after the other.

    with Oracle(functions) as oracle:
        for seed, observed in oracle.run([Job(source)], seeds):
            ...

A program that does not end, or takes its process with it, is reported as `OracleTrouble` and never waited for longer
than `patience_s`; the next one meets a fresh process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import dicem_codegen
import dicem_shared
import hermod
from dicem_shared.errors import ConfigError, DicemError
from dicem_shared.functions import Registry
from dicem_shared.runner import RunLimits

from .drive import LIMITS
from .observed import Observed
from .world import World

START_S: Final = 60.0
"""Seconds that a process may take to start: a loaded machine is slow at importing."""
CHUNK: Final = 65536
WINDOW: Final = 4
"""So many worlds the process may be ahead."""


class OracleTrouble(DicemError):
    """The oracle cannot say what a program means: it did not end, or its process died.

    `refused`: which of the programs asked about is none that CPython compiles; None: all are.
    """

    def __init__(self, what: str, *, refused: int | None = None) -> None:
        self.refused = refused
        super().__init__(f"oracle: {what}")


@dataclass(frozen=True)
class Job:
    """A program to run.  `identity`: the id of its original, from which its chance follows; empty for originals."""

    source: str
    identity: str = ""
    concurrent: bool = False
    """calls overlap and take their time; otherwise each ends as soon as it is made"""


@dataclass(frozen=True)
class Seen:
    """What the programs did in one world, in the order of the jobs."""

    observed: tuple[Observed, ...]
    made_later: frozenset[str]
    """of two programs: which surplus pure calls of the second one the first would have made, see `explain`"""


class Oracle:
    """See the module's text.  Use as a context manager."""

    def __init__(self, functions: Registry, limits: RunLimits = LIMITS, *, patience_s: float | None = None) -> None:
        self._functions, self._limits = functions, limits
        self._patience_s = patience_s or limits.cpu_s * 12 + 10  # an answer may take many runs
        self._process: subprocess.Popen[bytes] | None = None
        self._second: Oracle | None = None
        self._number = 0
        self._read = b""

    def __enter__(self) -> Oracle:
        """:raises ConfigError: a function's schemas cannot be handed to another process"""
        self._ready()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        if self._second is not None:
            self._second._end()

    def run(
        self, jobs: Sequence[Job], seeds: Iterable[int], hints: Sequence[str | float] = ()
    ) -> Iterator[tuple[int, Seen | OracleTrouble]]:
        """Run every program in the world of each seed, in order.  The process works some worlds ahead of whoever asks.

        `hints`: the worlds', see `World`.

        :raises OracleTrouble: CPython does not compile one of the programs
        """
        programs, left, sent = [asdict(job) for job in jobs], iter(seeds), deque[tuple[int, int]]()

        def send(seed: int) -> None:
            sent.append((self._send({"do": "run", "programs": programs, "seed": seed, "hints": hints}), seed))

        while True:
            for seed in itertools.islice(left, WINDOW - len(sent)):
                send(seed)
            if not sent:
                return
            number, seed = sent.popleft()
            try:
                reply = self._reply_to(number)
            except OracleTrouble as trouble:
                again = [later for _, later in sent]  # lost with the process
                sent.clear()
                yield seed, trouble
                for later in again:
                    send(later)
                continue
            if "refused" in reply:
                raise OracleTrouble(reply["trouble"], refused=reply["refused"])
            if "trouble" in reply:
                yield seed, OracleTrouble(reply["trouble"])
                continue
            seen = tuple(Observed.from_plain(each) for each in reply["observed"])
            yield seed, Seen(seen, frozenset(reply["made_later"]))

    def made_later(self, source: str, world: World, wanted: Iterable[str]) -> frozenset[str]:
        """See `explain.made_later`; nothing, where the oracle is in trouble."""
        asked = {"do": "made-later", "source": source, "seed": world.seed, "hints": world.hints}
        return frozenset(self._ask(asked | {"wanted": sorted(wanted)}).get("made_later", ()))

    def hangs_on_order(self, source: str, world: World) -> bool:
        """See `shuffled.hangs_on_order`; no, where the oracle is in trouble."""
        asked = {"do": "hangs-on-order", "source": source, "seed": world.seed, "hints": world.hints}
        return bool(self._ask(asked).get("hangs_on_order"))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """A question beside the runs: a second process answers it, because the first may be some runs ahead."""
        if self._second is None:
            self._second = Oracle(self._functions, self._limits, patience_s=self._patience_s)
        try:
            return self._second._reply_to(self._second._send(request))
        except OracleTrouble:
            return {}

    # The process

    def _ready(self) -> subprocess.Popen[bytes]:
        """The process, started if there is none."""
        if self._process is None:
            # -s and -P and an environment of its own are what -I does, with one addition: sets of text are walked in
            # the same order in each process.
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-B", "-m", "dicem_codegen.verify.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, close_fds=True, cwd="/",
                env=_environment(), start_new_session=True,
            )  # fmt: skip
            self._read = b""
            self._receive(START_S)
            resources = [spec.resource() for spec in self._functions]
            self._write({"do": "set-up", "functions": resources, "limits": self._limits.model_dump(), "number": 0})
            refused = self._receive(START_S).get("trouble")
            if refused:
                self._end()
                raise ConfigError(f"these functions cannot be verified with: {refused}")
        return self._process

    def _send(self, request: dict[str, Any]) -> int:
        """Hand over a request; its number."""
        self._ready()
        self._number += 1
        self._write(request | {"number": self._number})
        return self._number

    def _write(self, request: dict[str, Any]) -> None:
        assert self._process is not None
        try:
            _pipe(self._process.stdin).write(json.dumps(request).encode() + b"\n")
            _pipe(self._process.stdin).flush()
        except BrokenPipeError:
            pass  # found out when the reply is read

    def _reply_to(self, number: int) -> dict[str, Any]:
        """The reply to a request; those that nobody waited for are passed over.

        :raises OracleTrouble: none came in time, or the process ended
        """
        while (reply := self._receive())["number"] != number:
            pass
        return reply

    def _receive(self, patience_s: float | None = None) -> dict[str, Any]:
        """The next reply.

        :raises OracleTrouble: none came in time, or the process ended
        """
        if self._process is None:
            raise OracleTrouble("the process that ran the program is gone")
        replies = _pipe(self._process.stdout).fileno()
        until = time.monotonic() + (patience_s or self._patience_s)
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([replies], [], [], left)[0]:
                self._end()
                raise OracleTrouble("the program does not end")
            data = os.read(replies, CHUNK)
            if not data:
                code = self._end()
                died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise OracleTrouble(f"the process that ran the program ended ({died})")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _end(self) -> int:
        """Make sure that the process is gone; its exit code, less than 0 for a signal."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(BrokenPipeError):  # what it had not read yet is of no use to it any more
            _pipe(process.stdin).close()
        if process.poll() is None:
            process.kill()
        code = process.wait()
        _pipe(process.stdout).close()
        return code


def _environment() -> dict[str, str]:
    """Where this process's own packages lie, and where the system's libraries do; nothing else."""
    packages = {str(Path(module.__path__[0]).parent) for module in (dicem_codegen, dicem_shared, hermod)}
    libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(sorted(packages)), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"} | libraries


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
