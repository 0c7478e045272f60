"""Which calls of a run are one call: equal calls of pure functions, once the program has asked for it.

Failures are never cached: who makes a call again that failed, makes it anew.  Only a call that was started ahead of the
program's lines and failed before they came to it is still theirs, once: it is the failure that they were to meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import InvalidCall
from .functions import Registry
from .ids import digest


class NotAhead(InvalidCall):
    """A call that cannot be made ahead of the program's lines; a program meets a RuntimeError."""


class SharedCalls:
    """The calls that later ones may join, and those that were started ahead and that no line has come to yet."""

    def __init__(self) -> None:
        self.on = False
        self.untaken: set[int] = set()
        """numbers of calls that were started ahead, while the program's lines have not made them"""
        self._numbers: dict[str, int] = {}

    def find(self, key: str, failed: Callable[[int], bool]) -> int | None:
        """The number of the earlier call that an equal one is; None if it is a call of its own."""
        number = self._numbers.get(key)
        if number is None or (failed(number) and number not in self.untaken):
            return None
        return number

    def add(self, key: str, number: int, *, ahead: bool) -> None:
        """Note a new call, which later ones may join."""
        self._numbers[key] = number
        if ahead:
            self.untaken.add(number)

    def check_ahead(self, registry: Registry, name: Any) -> None:
        """Whether a function may be called ahead at all.

        :raises NotAhead: calls are not shared, so nobody would find it; or it is not pure
        """
        if not self.on:
            raise NotAhead("hermod.ahead: calls are not shared, so nobody would find this one")
        if not isinstance(name, str) or name not in registry or not registry.get(name).pure:
            raise NotAhead("hermod.ahead: only pure functions can be called")

    @staticmethod
    def key(function: str, params: dict[str, Any]) -> str:
        """What a call asks; `params` are validated."""
        return digest("shared", function, params)
