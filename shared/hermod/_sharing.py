"""Which calls of a program are one call, in CPython; the runner has its own, which says the same."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Future
from typing import Any


class SharedCalls:
    """The calls that later ones may join, and those that were started ahead and that no line has come to yet."""

    def __init__(self, functions: list[dict[str, Any]]) -> None:
        """`functions`: as resources."""
        self._pure = {f["metadata"]["name"] for f in functions if f.get("spec", {}).get("pure") is True}
        self._futures: dict[Hashable, Future[Any]] = {}
        self._untaken: set[Future[Any]] = set()

    def is_pure(self, name: str) -> bool:
        """Whether it is a function whose equal calls are one."""
        return name in self._pure

    def join(self, name: str, params: dict[str, Any], *, ahead: bool) -> Future[Any] | None:
        """The earlier call that an equal one is; None if it is a call of its own."""
        future = self._futures.get((name, _key(params)))
        if future is None or (_failed(future) and future not in self._untaken):
            return None
        if not ahead:
            self._untaken.discard(future)
        return future

    def add(self, name: str, params: dict[str, Any], future: Future[Any], *, ahead: bool) -> None:
        """Note a new call, which later ones may join."""
        self._futures[name, _key(params)] = future
        if ahead:
            self._untaken.add(future)


def _failed(future: Future[Any]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _key(value: Any) -> Hashable:
    """Equal for equal plain values only: 1, 1.0 and True are three."""
    if isinstance(value, (list, tuple)):
        return tuple(_key(item) for item in value)
    if isinstance(value, dict):
        return frozenset((_key(key), _key(item)) for key, item in value.items())
    return type(value).__name__, repr(value)
