"""What a program on the desk may import, and the builtins that it has.

Clocks stand still at the frame's stamp and chance follows from a seed, as in the runner.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime
import io
import random
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

import hermod

MODULES: Final = frozenset({
    "__future__", "asyncio", "collections", "collections.abc", "datetime", "functools", "hermod", "itertools", "json",
    "math", "PIL", "PIL.Image", "random", "re", "statistics", "string", "time", "typing",
})  # fmt: skip
WITHHELD: Final = frozenset({
    "__import__", "breakpoint", "compile", "copyright", "credits", "eval", "exec", "exit", "help", "input", "license",
    "open", "quit",
})  # fmt: skip


class Stop(BaseException):
    """A limit was passed, or the program wants what it cannot have here; it cannot go on."""

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)


def program_builtins(prelude: Mapping[str, Any], printed: io.StringIO, limit: int, t_utc: float, seed: str) -> Any:
    """The builtins of one run of a program.  `limit`: so many characters it may print."""

    def say(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
        print(*values, sep=sep, end=end, file=printed if file is None else file)
        if printed.tell() > limit:
            raise Stop("output_kb", "it printed too much")

    loaded: dict[str, Any] = {"PIL": prelude["PIL"], "PIL.Image": prelude["PIL_Image"]}
    makers: dict[str, Callable[[], ModuleType]] = {
        "asyncio": _asyncio,
        "datetime": lambda: _datetime(t_utc),
        "hermod": lambda: _module(hermod, {}),
        "random": lambda: _random(seed),
        "time": lambda: _time(t_utc),
    }

    def bring(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level or name not in MODULES:
            if not level and name.partition(".")[0] in sys.stdlib_module_names:
                raise Stop("module", f"the module {name} cannot be used in a program that is verified")
            raise ModuleNotFoundError(f"No module named '{name}'")
        if name not in loaded:
            if name not in makers:
                return builtins.__import__(name, globals, locals, fromlist, level)
            loaded[name] = makers[name]()
        return loaded["PIL"] if name == "PIL.Image" and not fromlist else loaded[name]

    known = {name: value for name, value in vars(builtins).items() if name not in WITHHELD}
    return known | {"__import__": bring, "print": say}


def _module(of: ModuleType, changed: dict[str, Any]) -> ModuleType:
    """A copy of a module with some names changed: what a program does to it ends with the program."""
    made = ModuleType(of.__name__, of.__doc__)
    vars(made).update({name: value for name, value in vars(of).items() if not name.startswith("__")} | changed)
    return made


def _asyncio() -> ModuleType:
    async def sleep(delay: float, result: Any = None) -> Any:
        await asyncio.sleep(0)
        return result

    return _module(asyncio, {"sleep": sleep})


def _random(seed: str) -> ModuleType:
    source = random.Random(seed)
    bound = {name: getattr(source, name) for name in random.__all__ if hasattr(source, name)}
    return _module(random, bound)


def _time(t_utc: float) -> ModuleType:
    def still() -> float:
        return t_utc

    def still_ns() -> int:
        return int(t_utc) * 10**9

    changed: dict[str, Any] = dict.fromkeys(("time", "monotonic", "perf_counter", "process_time"), still)
    return _module(
        time,
        {
            **changed,
            **{f"{name}_ns": still_ns for name in changed},
            "sleep": lambda seconds: None,
            "localtime": lambda seconds=t_utc: time.gmtime(seconds),
            "gmtime": lambda seconds=t_utc: time.gmtime(seconds),
            "strftime": lambda form, when=None: time.strftime(form, time.gmtime(t_utc) if when is None else when),
        },
    )


def _datetime(t_utc: float) -> ModuleType:
    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            moment = cls.fromtimestamp(t_utc, datetime.timezone.utc)
            return moment.astimezone(tz) if tz else moment.replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now()

    class Date(datetime.date):
        @classmethod
        def today(cls) -> Any:
            moment = Datetime.now()
            return cls(moment.year, moment.month, moment.day)

    Datetime.__name__ = Datetime.__qualname__ = "datetime"
    Date.__name__ = Date.__qualname__ = "date"
    Datetime.__module__ = Date.__module__ = "datetime"
    return _module(datetime, {"datetime": Datetime, "date": Date})
