"""`hermod` in CPython: calls are carried out by a backend, results are awaited."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from functools import cached_property
from typing import Any, Protocol

from ._sharing import SharedCalls

IDLE_PASSES = 1000
"""So often the event loop turns without a call under way before the promises that are awaited count as deadlocked."""
DEADLOCK = "deadlock: only promises are pending"
MAX_DEPTH = 32
_NO_VALUES = ("function", "method", "builtin_function_or_method", "type", "coroutine", "generator")
"""Types whose values belong to one interpreter."""


class Backend(Protocol):
    """Carries out calls."""

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        """Start a call now.  `options` holds what was said of `site`, `at`, `deadline_s`, `priority` and `away`.

        The future ends with a result of plain values, or a RuntimeError, TimeoutError or ValueError.
        """

    def functions(self) -> list[dict[str, Any]]:
        """The functions that may be called, as resources."""


class _World:
    """What one program sees: its backend, its promises, and what is under way."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.promises: dict[int, Future[Any]] = {}
        """those that are open"""
        self.numbers = itertools.count(1)
        self.under_way = 0
        """calls without a result"""
        self.awaiting = 0
        """tasks that await a call, until they run again: a result does not reach its task at once"""
        self.awaiting_promise = 0
        self.idle = 0
        """turns of the event loop, times tasks that await a promise, since something was under way"""
        self.shared: SharedCalls | None = None
        self.blocks = 0
        """ahead blocks around what runs now"""
        self.running = False
        """inside `run`"""
        self.strands: set[asyncio.Task[None]] = set()

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        """The future of a call: a new one, or that of the earlier call that it is."""
        ahead, shared = self.blocks > 0, self.shared
        if shared is None:
            return self._started(name, params, options)
        pure = shared.is_pure(name)
        if ahead and not pure:
            raise RuntimeError("hermod.ahead: only pure functions can be called")
        future = shared.join(name, params, ahead=ahead) if pure else None
        if future is None:
            future = self._started(name, params, options)
            if pure:
                shared.add(name, params, future, ahead=ahead)
        return future

    def _started(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        future = self.backend.start(name, params, options)
        self.under_way += 1

        def ended(_: Future[Any]) -> None:
            self.under_way -= 1

        future.add_done_callback(ended)
        return future


_world: contextvars.ContextVar[_World] = contextvars.ContextVar("hermod_world")


class Call:
    """A call that has started.  Await it any number of times; each await gives the same object, the program's own."""

    def __init__(self, future: Future[Any], world: _World, *, is_promise: bool = False) -> None:
        self._future, self._world, self._is_promise = future, world, is_promise

    def __await__(self) -> Generator[Any, None, Any]:
        if self._is_promise:
            yield from self._promise_ended().__await__()
        else:
            self._world.awaiting += 1
            try:
                yield from self._ended().__await__()
            finally:
                self._world.awaiting -= 1
        return self.result

    @cached_property
    def result(self) -> Any:
        """What the call ended with; blocks until then."""
        return copied(self._future.result())

    def _ended(self) -> asyncio.Future[None]:
        """Ends with the call.  It is this task's own: one that is cancelled leaves the call to those that await it."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def ended(_: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(wake)

        self._future.add_done_callback(ended)
        return waiter

    async def _promise_ended(self) -> None:
        """Where nobody can supply what is awaited, the oldest open promise fails."""
        world = self._world
        world.awaiting_promise += 1
        try:
            while not self._future.done():
                world.idle = 0 if world.under_way or world.awaiting else world.idle + 1
                if world.idle > IDLE_PASSES * world.awaiting_promise:
                    world.idle = 0
                    reject(min(world.promises), RuntimeError(DEADLOCK))
                await asyncio.sleep(0 if world.idle else 0.0005)
        finally:
            world.awaiting_promise -= 1


@contextlib.contextmanager
def connect(backend: Backend) -> Iterator[None]:
    """Let programs inside the `with` block call functions through `backend`."""
    token = _world.set(_World(backend))
    try:
        yield
    finally:
        _world.reset(token)


def connected() -> _World:
    """The world that the running program is in.

    :raises RuntimeError: none
    """
    try:
        return _world.get()
    except LookupError:
        raise RuntimeError("hermod is not connected: run inside `with hermod.connect(backend):`") from None


def call(
    name: str,
    /,
    *,
    site: str | None = None,
    at: str | None = None,
    deadline_s: float | None = None,
    priority: int | None = None,
    away: str | None = None,
    **params: Any,
) -> Call:
    """Start a call of function `name` and go on.

    `site` ("edge" or "cloud") and `at` (call site and iteration) are what the compiler says of the call.
    """
    world = connected()
    options = {"site": site, "at": at, "deadline_s": deadline_s, "priority": priority, "away": away}
    if world.blocks and world.shared is None:
        raise RuntimeError("hermod.ahead: calls are not shared, so nobody would find this one")
    future = world.start(name, plain(params), {k: v for k, v in options.items() if v is not None})
    return Call(future, world)


def call_sync(name: str, /, **params: Any) -> Any:
    """Call and wait; the form that the synchronous methods of `ImagePatch` use."""
    if connected().blocks:
        raise RuntimeError("hermod.ahead: a call that is waited for")
    return call(name, **params).result


def functions() -> list[dict[str, Any]]:
    """The functions that may be called, as resources."""
    return connected().backend.functions()


def share_calls() -> None:
    """From here on, a call of a pure function that asks what an earlier one asked is that call.

    Each gives the program a copy of its own.  A call that failed is not joined, except by the first equal call outside
    an ahead block after it was started in one: failures are never cached.
    """
    world = connected()
    world.shared = world.shared or SharedCalls(world.backend.functions())


class Ahead:
    """A block whose calls are started and may be left alone; where it shields, an exception ends nothing else."""

    def __init__(self, world: _World, *, shields: bool) -> None:
        self._world, self._shields = world, shields

    def __enter__(self) -> None:
        self._world.blocks += 1

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> bool:
        self._world.blocks -= 1
        return self._shields and isinstance(error, Exception)


def ahead() -> Ahead:
    """`with hermod.ahead():` starts calls that the program will make later; nothing in it may be awaited.

    Inside, a call raises a RuntimeError, and so ends the block, before `share_calls()`, where the function is not pure,
    and where it is waited for.
    """
    return Ahead(connected(), shields=True)


def early() -> Ahead:
    """As `ahead`, but what is raised inside goes on: for strands, which then end."""
    return Ahead(connected(), shields=False)


def again(value: Iterable[Any]) -> Iterable[Any]:
    """`value`, which can be walked more than once.

    :raises TypeError: it is an iterator, or nothing that can be walked at all
    """
    if iter(value) is value:
        raise TypeError(f"hermod.again: a {type(value).__name__} can be walked only once")
    return value


def promise() -> tuple[int, Call]:
    """A value that the program itself will supply: its id, and what to await."""
    world = connected()
    number, future = next(world.numbers), Future[Any]()
    world.promises[number] = future
    return number, Call(future, world, is_promise=True)


def resolve(number: int, value: Any) -> None:
    """Give a promise its value, of which lists, tuples, sets and dicts are copied; patches stay themselves.

    :raises RuntimeError: no such promise, or it has ended
    :raises ValueError: a function or a coroutine
    """
    given = copied(value)
    _close_promise(number).set_result(given)


def reject(number: int, error: BaseException) -> None:
    """End a promise with an exception, which each await raises.

    :raises RuntimeError: no such promise, or it has ended
    :raises TypeError: not an exception
    """
    if not isinstance(error, BaseException):
        raise TypeError(f"hermod.reject: an exception is wanted, not a {type(error).__name__}")
    _close_promise(number).set_exception(error)


def _close_promise(number: int) -> Future[Any]:
    future = connected().promises.pop(number, None)
    if future is None:
        raise RuntimeError(f"promise {number} is not open")
    return future


def plain(value: Any, depth: int = 0) -> Any:
    """`value` with every patch (anything that has a `handle`) replaced by its handle.

    :raises ValueError: something that no function takes
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth < MAX_DEPTH and isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if depth < MAX_DEPTH and isinstance(value, dict):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    if hasattr(value, "handle"):
        return dict(value.handle)
    raise ValueError(f"a {type(value).__name__} cannot be passed to a function")


def copied(value: Any, depth: int = 0) -> Any:
    """`value` with its lists, tuples, sets and dicts copied, and other objects as they are.

    :raises ValueError: a function or a coroutine in it
    """
    for kind in (list, tuple, set):
        if depth < MAX_DEPTH and isinstance(value, kind):
            return kind(copied(item, depth + 1) for item in value)
    if depth < MAX_DEPTH and isinstance(value, dict):
        return {key: copied(item, depth + 1) for key, item in value.items()}
    if depth >= MAX_DEPTH or type(value).__name__ in _NO_VALUES:
        raise ValueError(f"a {type(value).__name__} cannot be the value of a promise")
    return value
