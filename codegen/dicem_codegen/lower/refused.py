"""What the compiler refuses, because the runner's language cannot say it: the whole list."""

from __future__ import annotations

import ast
from typing import Final, NoReturn

from dicem_shared.errors import CompileError

from ..types import Parsed

REFUSED: Final[dict[str, tuple[str, str]]] = {
    "kept-generator": (
        "a generator whose steps can be told apart is kept, or handed to a function",
        "Make it a list, or write the loop where it is used",
    ),
    "generator-function": ("a function with yield", "Return a list, or write the loop where it is used"),
    "callback": ("a function that makes calls is handed to code that may call it by itself", "Write the loop yourself"),
    "special-method": (
        "a special method that makes calls, or that the runner's interpreter does not call",
        "Give it a name of its own",
    ),
    "missing": ("a word of Python that the runner's interpreter lacks", "Do without it"),
    "module": ("a module that programs do not have", "Write what you need of it yourself"),
    "class-body": ("more than methods and simple variables in a class", "Put it outside of the class"),
    "inheritance": ("a class with bases", "Write the class without them"),
    "decorator": ("a decorator that is not known here", "Call it yourself, or do without"),
    "async-statement": ("async for, async with, and except*", "Write them without async, or as except"),
    "tasks": ("tasks of asyncio beside gather", "Use asyncio.gather, or hermod.call and await it later"),
    "patched-prelude": ("a method of the prelude is replaced", "Write a function of your own"),
    "star-import": ("import *", "Name what you need"),
}
"""Each code: what it is, and what to do."""


def refused_text() -> str:
    """The list as people read it, one line each."""
    width = max(map(len, REFUSED))
    return "".join(f"{code:{width}}  {what}\n" for code, (what, _) in REFUSED.items())


class Refusals:
    """Raises for one program."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed

    def __call__(self, node: ast.AST, code: str, detail: str = "") -> NoReturn:
        """Refuse a node.

        :raises CompileError: always
        """
        what, hint = REFUSED[code]
        message = f"{detail}: not compiled: {what}" if detail else f"not compiled: {what}"
        raise CompileError([self._parsed.say(node, "error", code, message, hint)], where=self._parsed.where)
