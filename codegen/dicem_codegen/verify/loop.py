"""An event loop of asyncio on a clock of its own: nobody waits, and the same program takes the same turns."""

from __future__ import annotations

import asyncio
from typing import Any, Final

RESOLUTION_S: Final = 1e-9


class Stuck(BaseException):
    """Everything waits, and nothing will come."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Sleeping moves the clock.  It has no sockets, no signals and no threads."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._selector = self  # what BaseEventLoop waits with
        self._clock_resolution = RESOLUTION_S
        self._clock = clock

    def time(self) -> float:
        return self._clock.now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Asked when nothing can go on before `timeout` seconds have passed.

        :raises Stuck: nothing will go on at all
        """
        if timeout is None:
            raise Stuck
        self._clock.now_s += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class Clock:
    """Seconds since a program began."""

    now_s = 0.0


class VirtualPolicy(asyncio.DefaultEventLoopPolicy):
    """Lets `asyncio.run` make loops on one clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualLoop(self._clock)
