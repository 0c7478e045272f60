"""Kills a worker process that is past its time while its owner waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import TracebackType


class Killer:
    """Inside the `with` block, the process is killed once so many seconds have passed.

    A thread, made only for runs that are near their end: whoever waits for a worker can look at no clock.
    """

    def __init__(self, pid: int | None, after_s: float) -> None:
        self.has_struck = False
        self._pid, self._over = pid, False
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(after_s, 0.0), self._strike)
        self._timer.daemon = True

    def __enter__(self) -> Killer:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True

    def _strike(self) -> None:
        with self._lock:
            if self._pid is None or self._over:
                return
            self.has_struck = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
