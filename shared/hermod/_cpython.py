"""`hermod` in CPython: calls are carried out by a backend, results are awaited."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

IDLE_PASSES = 1000
"""So often the event loop turns without a call under way before a waiting promise counts as deadlocked."""


class Backend(Protocol):
    """Carries out calls."""

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        """Start a call now.  `options` holds what was said of `site`, `at`, `deadline_s` and `priority`.

        The future ends with a result of plain values, or a RuntimeError, TimeoutError or ValueError.
        """

    def functions(self) -> list[dict[str, Any]]:
        """The functions that may be called, as resources."""


class _World:
    """What one program sees: its backend, its promises, and how many calls are under way."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.promises: dict[int, Future[Any]] = {}
        self.numbers = itertools.count(1)
        self.under_way = 0


_world: contextvars.ContextVar[_World] = contextvars.ContextVar("hermod_world")


class Call:
    """A call that has started.  Await it any number of times; each await gives a copy of the same result."""

    def __init__(self, future: Future[Any], world: _World, *, is_promise: bool = False) -> None:
        self._future, self._world, self._is_promise = future, world, is_promise

    def __await__(self) -> Generator[Any, None, Any]:
        if self._is_promise:
            yield from self._settled().__await__()
        result = yield from asyncio.wrap_future(self._future).__await__()
        return copy.deepcopy(result)

    async def _settled(self) -> None:
        idle = 0
        while not self._future.done():
            idle = 0 if self._world.under_way else idle + 1
            if idle > IDLE_PASSES:
                raise RuntimeError("deadlock: only promises are pending")
            await asyncio.sleep(0 if idle else 0.0005)


@contextlib.contextmanager
def connect(backend: Backend) -> Iterator[None]:
    """Let programs inside the `with` block call functions through `backend`."""
    token = _world.set(_World(backend))
    try:
        yield
    finally:
        _world.reset(token)


def _connected() -> _World:
    try:
        return _world.get()
    except LookupError:
        raise RuntimeError("hermod is not connected: run inside `with hermod.connect(backend):`") from None


def call(  # noqa: D417
    name: str,
    /,
    *,
    site: str | None = None,
    at: str | None = None,
    deadline_s: float | None = None,
    priority: int | None = None,
    **params: Any,
) -> Call:
    """Start a call of function `name` and go on.

    `site` ("edge" or "cloud") and `at` (call site and iteration) are what the compiler says of the call.
    """
    world = _connected()
    options = {"site": site, "at": at, "deadline_s": deadline_s, "priority": priority}
    future = world.backend.start(name, plain(params), {k: v for k, v in options.items() if v is not None})
    world.under_way += 1

    def ended(_: Future[Any]) -> None:
        world.under_way -= 1

    future.add_done_callback(ended)
    return Call(future, world)


def call_sync(name: str, /, **params: Any) -> Any:
    """Call and wait; the form that the synchronous methods of `ImagePatch` use."""
    return copy.deepcopy(call(name, **params)._future.result())


def functions() -> list[dict[str, Any]]:
    """The functions that may be called, as resources."""
    return _connected().backend.functions()


def promise() -> tuple[int, Call]:
    """A value that the program itself will supply: its id, and what to await."""
    world = _connected()
    number, future = next(world.numbers), Future[Any]()
    world.promises[number] = future
    return number, Call(future, world, is_promise=True)


def resolve(number: int, value: Any) -> None:
    """Give a promise its value.

    :raises RuntimeError: no such promise, or it has ended
    """
    _open_promise(number).set_result(value)


def reject(number: int, error: BaseException) -> None:
    """End a promise with an exception, which each await raises.

    :raises RuntimeError: no such promise, or it has ended
    """
    _open_promise(number).set_exception(error)


def _open_promise(number: int) -> Future[Any]:
    future = _connected().promises.get(number)
    if future is None or future.done():
        raise RuntimeError(f"promise {number} is not open")
    return future


def plain(value: Any) -> Any:
    """`value` with every patch (anything that has a `handle`) replaced by its handle."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return dict(value.handle) if hasattr(value, "handle") else value
