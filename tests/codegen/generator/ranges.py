"""Ranges of seeds, checked by several processes, each with a verifier of its own.

What is found does not hang on how many they are: it is given in the order of the seeds.  A process that ends, or says
nothing for too long, is named with the seed that it had; another one goes on behind that seed.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from dicem_codegen.verify import Verifier

from .checking import report, troubles
from .program import generate

CHUNK = 25
"""So many seeds are handed out at a time."""
PATIENCE_S = 600.0
"""A process that says nothing for so long has a program that does not end."""
_TURN_S = 2.0


@dataclass(frozen=True)
class Checked:
    """One program."""

    seed: int
    rows: frozenset[str] = frozenset()
    trouble: str = ""
    """what is wrong with it, and a small program that shows it; empty if nothing is"""


Check = Callable[[int], Checked]
Opening = Callable[[int], AbstractContextManager[Check]]
"""From the number of worlds to what checks a seed; each process opens its own."""


@contextmanager
def verifying(worlds: int) -> Iterator[Check]:
    """Generated programs, compiled and held against what they mean."""
    with Verifier() as verifier:

        def check(seed: int) -> Checked:
            ((generated, trouble),) = troubles(verifier, iter([generate(seed)]), worlds=worlds)
            return Checked(seed, frozenset(generated.rows), report(verifier, trouble) if trouble else "")

        yield check


def check_range(
    first: int, count: int, *, jobs: int, worlds: int, opening: Opening = verifying, patience_s: float = PATIENCE_S
) -> Generator[Checked, None, None]:
    """Check `count` programs from seed `first` on with `jobs` processes; each as soon as all before it are there.

    Closing it early ends the processes.
    """
    pool = _Pool(first, first + count, opening, worlds, patience_s)
    try:
        pool.begin(min(jobs, -(-count // CHUNK)))
        yield from pool.checked()
    finally:
        pool.end()


@dataclass
class _Worker:
    """A process, and what it has to do."""

    process: BaseProcess
    pipe: Connection
    seeds: deque[int] = field(default_factory=deque)
    heard_s: float = field(default_factory=time.monotonic)


class _Pool:
    """The processes; seeds from `first` up to `last`."""

    def __init__(self, first: int, last: int, opening: Opening, worlds: int, patience_s: float) -> None:
        self.next, self.last, self.left = first, last, first
        self.arguments, self.patience_s = (opening, worlds), patience_s
        self.workers: list[_Worker] = []
        self.ready: dict[int, Checked] = {}

    def begin(self, jobs: int) -> None:
        """Start them."""
        for _ in range(jobs):
            self.workers.append(self._worker())

    def end(self) -> None:
        """Stop them, whatever they do."""
        for worker in self.workers:
            worker.pipe.close()
        until = time.monotonic() + _TURN_S
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            _kill(worker.process)

    def checked(self) -> Iterator[Checked]:
        """What they say, in the order of the seeds."""
        while self.next < self.last:
            for worker in self.workers:
                self._give(worker)
            heard = wait([worker.pipe for worker in self.workers], timeout=min(_TURN_S, self.patience_s))
            for index, worker in enumerate(self.workers):
                if worker.pipe in heard:
                    self._hear(index)
                elif worker.seeds and time.monotonic() - worker.heard_s > self.patience_s:
                    self._lost(index, "does not end")
            while self.next in self.ready:
                yield self.ready.pop(self.next)
                self.next += 1

    def _worker(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, *self.arguments), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker) -> None:
        if not worker.seeds and self.left < self.last:
            worker.seeds.extend(range(self.left, min(self.left + CHUNK, self.last)))
            self.left = worker.seeds[-1] + 1
            self._hand_over(worker)

    @staticmethod
    def _hand_over(worker: _Worker) -> None:
        worker.heard_s = time.monotonic()
        with suppress(OSError):  # found out when nothing comes
            worker.pipe.send(list(worker.seeds))

    def _hear(self, index: int) -> None:
        worker = self.workers[index]
        try:
            checked = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._lost(index, f"ended its process ({worker.process.exitcode})")
            return
        worker.heard_s = time.monotonic()
        worker.seeds.remove(checked.seed)
        self.ready[checked.seed] = checked

    def _lost(self, index: int, what: str) -> None:
        """A process is gone, or as good as that: its seed has trouble, another process does the rest."""
        old = self.workers[index]
        _kill(old.process)
        old.pipe.close()
        if not old.seeds:
            raise RuntimeError(f"a process that checks programs {what} before it had any")
        seed = old.seeds.popleft()
        self.ready[seed] = Checked(seed, trouble=f"seed {seed}: {what}\n\n{generate(seed).source}")
        self.workers[index] = new = self._worker()
        new.seeds = old.seeds
        if new.seeds:
            self._hand_over(new)


def _work(pipe: Connection, opening: Opening, worlds: int) -> None:
    """The life of a process: seeds come in, what was found goes out.  It ends when nobody is at the other end."""
    os.setsid()  # Ctrl-C is for the one who handed out the work
    try:
        with opening(worlds) as check:
            while True:
                for seed in pipe.recv():
                    pipe.send(check(seed))
    except (EOFError, ConnectionError):
        pass


def _kill(process: BaseProcess) -> None:
    """End a process, with those that it started."""
    assert process.pid, "it was started"
    with suppress(ProcessLookupError):  # it leads no group yet, or is gone
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
