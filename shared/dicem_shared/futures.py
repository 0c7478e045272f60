"""What a program in the interpreter awaits: calls, promises and the door of its strands, each by the interpreter's id.

An end is kept here until the interpreter asks for it.  Several futures may wait for one call; each is given a value of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pydantic_monty as monty

from .crossing import INT64, is_exception_name
from .errors import ProgramFailed

DEADLOCK: Final = "deadlock: only promises are pending"
FUTURE: Final[monty.ExternalFuture] = {"future": ...}
NOTHING: Final[monty.ExternalReturnValue] = {"return_value": None}


class Futures:
    """The futures of one run that have not been delivered."""

    def __init__(self) -> None:
        self._calls: dict[int, list[int]] = {}
        """those that wait for a call, by its number"""
        self._promises: dict[int, int] = {}
        """those of open promises, by the promise's number"""
        self._promise_count = 0
        self._door: int | None = None
        """the one that the nursery of strands waits for"""
        self._ready: dict[int, monty.ExternalSettledResult] = {}
        """how those that have ended ended, in the order in which they did"""

    def add(self, monty_id: int, call: int, end: monty.ExternalSettledResult | None) -> monty.ExternalResult:
        """A future for call number `call`, which has ended already if there is an `end`."""
        if end is None:
            self._calls.setdefault(call, []).append(monty_id)
        else:
            self._ready[monty_id] = end
        return FUTURE

    def call_ended(self, call: int, end: monty.ExternalSettledResult) -> None:
        """All that wait for the call end as it did."""
        for monty_id in self._calls.pop(call, ()):
            self._ready[monty_id] = end

    def deliver(self, waiting: Iterable[int]) -> dict[int, monty.ExternalSettledResult]:
        """How those of `waiting` that have ended did; they are forgotten."""
        wanted = set(waiting)
        return {monty_id: self._ready.pop(monty_id) for monty_id in list(self._ready) if monty_id in wanted}

    def break_deadlock(self) -> dict[int, monty.ExternalSettledResult]:
        """Nobody can supply what the program awaits: the oldest open promise fails.  The same rule as in CPython.

        :raises ProgramFailed: there is none
        """
        if not self._promises:
            raise ProgramFailed(DEADLOCK, exc_type="RuntimeError")
        monty_id = self._promises.pop(min(self._promises))
        return {monty_id: {"exc_type": "RuntimeError", "message": DEADLOCK}}

    def answer(self, name: str, arguments: tuple[Any, ...], monty_id: int) -> monty.ExternalResult | None:
        """What the host says to a program that makes, awaits or settles one; None where the arguments do not fit."""
        match name, arguments:
            case "new_promise", ():
                self._promise_count += 1
                return {"return_value": self._promise_count}
            case "await_promise", (int() as number,) if 0 < number <= self._promise_count:
                self._promises[number] = monty_id
                return FUTURE
            case "resolve", (int() as number, value) if abs(number) < INT64:
                return self._settle(number, {"return_value": value})
            case "reject", (int() as number, str() as kind, str() as message) if abs(number) < INT64:
                return self._settle(number, {"exc_type": kind, "message": message}) if is_exception_name(kind) else None
            case "wait_at_door", ():
                self._door = monty_id
                return FUTURE
            case "open_door", ():
                if self._door is not None:
                    self._ready[self._door], self._door = NOTHING, None
                return NOTHING
        return None

    def _settle(self, number: int, end: monty.ExternalSettledResult) -> monty.ExternalResult:
        monty_id = self._promises.pop(number, None)
        if monty_id is None:
            return {"exc_type": "RuntimeError", "message": f"promise {number} is not open"}
        self._ready[monty_id] = end
        return NOTHING
