"""Ctrl-C while asyncio runs.

What a signal handler raises inside asyncio's own code is lost there: it takes it for an error of a socket, and goes on.
So while a coroutine runs, Ctrl-C cancels it, and what the program wanted done is done after that.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, for programs that have a handler of their own for Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(before) or before is signal.default_int_handler:  # asyncio knows that one
        return asyncio.run(coroutine)
    pressed: list[FrameType | None] = []

    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(_signal: int, frame: FrameType | None) -> None:
            pressed.append(frame)
            loop.call_soon_threadsafe(task.cancel)  # wakes the loop, too

        signal.signal(signal.SIGINT, stop)
        return await coroutine

    try:
        return asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            before(signal.SIGINT, pressed[0])
