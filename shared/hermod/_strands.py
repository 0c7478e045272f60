"""Strands in CPython: what runs beside a program."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ._cpython import connected


def spawn(coroutine: Awaitable[Any]) -> None:
    """Run a coroutine beside the program, from when that next awaits.  What it returns or raises is nobody's.

    :raises TypeError: no coroutine
    :raises RuntimeError: no event loop runs
    """
    if not inspect.isawaitable(coroutine):
        raise TypeError(f"hermod.spawn: a coroutine is wanted, not a {type(coroutine).__name__}")
    strands = connected().strands
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        _drop(coroutine)
        raise RuntimeError("hermod.spawn: only a program inside `await hermod.run(...)` has strands") from None
    strand = loop.create_task(_quiet(coroutine))
    strands.add(strand)  # the event loop does not keep it

    def ended(strand: asyncio.Task[None]) -> None:
        strands.discard(strand)
        _drop(coroutine)

    strand.add_done_callback(ended)


async def run(coroutine: Awaitable[Any], end: Callable[[Any], Any] | None = None) -> Any:
    """The value of a program; when it has ended, its strands are cancelled.  Inside another `run`, just the value.

    `end`, the runner's own, is given the value at last, and what it makes of that is the value.
    """
    world = connected()
    if world.running:
        return await coroutine
    world.running, others = True, set(world.strands)
    try:
        value = await coroutine
    finally:
        world.running = False
        left = world.strands - others
        for strand in left:
            strand.cancel()
        if left:
            await asyncio.wait(left, timeout=0)  # time to take notice, and no longer
    return value if end is None else end(value)


async def _quiet(coroutine: Awaitable[Any]) -> None:
    with contextlib.suppress(Exception, SystemExit):
        await coroutine


def _drop(coroutine: Awaitable[Any]) -> None:
    """A coroutine that never began is not worth a warning."""
    if inspect.iscoroutine(coroutine):
        coroutine.close()
