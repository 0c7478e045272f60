"""The confined process in which originals run: `python -m dicem_codegen.verify.child`, driven by `oracle.py`.

It reads one request a line from standard input and writes its replies, a line each, to standard output, as JSON.  It is
for programs that were generated or reviewed: the limits below keep mistakes from doing harm, endless loops, floods of
output, files and processes.  They do not hold somebody who wants out; what may be hostile runs in the runner.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

from dicem_shared.errors import DicemError, ProgramError
from dicem_shared.function_files import spec_of
from dicem_shared.functions import Registry
from dicem_shared.runner import RunLimits

from .compare import surplus_of
from .desk import Loaded, load, run
from .explain import made_later
from .observed import Observed
from .shuffled import hangs_on_order
from .world import World

SPARE_MB: Final = 512
"""What programs may take on top of what the interpreter itself has."""
MAX_FILES: Final = 16


def main() -> None:
    """Answer requests until standard input ends."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    _confine()
    worker = _Worker(replies)
    worker.say({"number": 0})
    for line in requests:
        worker.answer(json.loads(line))


def _confine() -> None:
    """Nothing on the standard streams, no files, no processes, bounded memory."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory = pages * resource.getpagesize() + SPARE_MB * 2**20
    limits = {
        resource.RLIMIT_AS: memory, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NPROC: 0, resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_FILES,
    }  # fmt: skip
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    gc.freeze()


@lru_cache(maxsize=8)
def _load(source: str, identity: str, concurrent: bool) -> Loaded:
    return load(source, identity=identity, concurrent=concurrent)


class _Worker:
    """Holds the functions and the limits between requests."""

    def __init__(self, replies: IO[str]) -> None:
        self._replies = replies
        self._functions, self._limits = Registry(), RunLimits()

    def say(self, reply: dict[str, Any]) -> None:
        """One line."""
        self._replies.write(json.dumps(reply) + "\n")
        self._replies.flush()

    def answer(self, request: dict[str, Any]) -> None:
        """Carry out a request; what goes wrong is a reply too."""
        number = request.pop("number")
        try:
            reply = self._carried_out(request)
        except DicemError as cause:
            reply = {"trouble": str(cause)}
        except Exception as cause:  # a fault of ours: the process must say so, and not just be gone
            reply = {"trouble": f"{type(cause).__name__}: {cause}"}
        self.say({"number": number} | reply)

    def _carried_out(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.pop("do"):
            case "set-up":
                self._functions = Registry(spec_of(each) for each in request["functions"])
                self._limits = RunLimits(**request["limits"])
                return {}
            case "run":
                return self._run(**request)
            case "made-later":
                found = made_later(**self._in_world(**request), before_each=self._cpu_limit)
                return {"made_later": sorted(found)}
            case "hangs-on-order":
                return {"hangs_on_order": hangs_on_order(**self._in_world(**request))}
        raise DicemError("no such request")

    def _in_world(self, seed: int, hints: list[str | float], **rest: Any) -> dict[str, Any]:
        self._cpu_limit()
        return {"world": World(seed, self._functions, tuple(hints)), "limits": self._limits, **rest}

    def _run(self, programs: list[dict[str, Any]], seed: int, hints: list[str | float]) -> dict[str, Any]:
        """Run each program once; of a second one, say which of its surplus calls the first would have made later."""
        world, seen = World(seed, self._functions, tuple(hints)), list[Observed]()
        for number, program in enumerate(programs):
            self._cpu_limit()
            try:
                seen.append(run(_load(**program), world, self._limits))
            except ProgramError as cause:
                return {"trouble": str(cause), "refused": number}
        surplus = surplus_of(*seen) if len(seen) == 2 else ()
        source = programs[0]["source"]
        later = made_later(source, world, self._limits, surplus, self._cpu_limit) if surplus else ()
        return {"observed": [each.to_plain() for each in seen], "made_later": sorted(later)}

    def _cpu_limit(self) -> None:
        """Should the program outwit the timer: another one ends this process some seconds later.

        No RLIMIT_CPU: the clock that it looks at goes some per cent faster or slower than the one that can be read, and
        in an hour that becomes more than what a run may take.
        """
        signal.setitimer(signal.ITIMER_VIRTUAL, self._limits.cpu_s * 2 + 2)


if __name__ == "__main__":
    sys.modules.setdefault("dicem_codegen.verify.child", sys.modules["__main__"])
    main()
