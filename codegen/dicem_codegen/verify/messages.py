"""What the two interpreters word differently.

A program means what it means in CPython 3.11, and its compiled form runs in the runner's interpreter, which has words
of its own for some errors of the language and prints some objects otherwise.  The table below is what was found by
running hundreds of failing expressions and statements in both (`tests/codegen/test_verify_messages.py` does it again).
Types of exceptions are never in it, nor are messages that a `raise` or a failed call made.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from .observed import Raised

_ZERO_DIVISION = (
    "float division by zero|integer division or modulo by zero|integer modulo by zero|float floor division by zero|"
    "float modulo|division by zero"
)
WORDS: Final[tuple[tuple[str, str], ...]] = (
    (r"cannot use '(\w+)' as a (?:dict key|set element) \(unhashable type: '\1'\)", r"unhashable type: '\1'"),
    (r"argument of type '(\w+)' is not (?:a container or )?iterable", r"argument of type '\1' is not iterable"),
    (rf"\b(?:{_ZERO_DIVISION})\b", "division by zero"),
    (r"0\.0 cannot be raised to a negative power", "zero to a negative power"),
    (r"\b(min|max)\(\) (?:arg is an empty sequence|iterable argument is empty)", r"\1() of nothing"),
    (r"(?:\S+ is not in list|list\.index\(x\): x not in list)", "not in list"),
    (r"(too many values to unpack \(expected \d+), got \d+\)", r"\1)"),
    (r"object (\w+) can't be used in 'await' expression", r"'\1' object can't be awaited"),
    (r"(object has no attribute '\w+') and no __dict__ for setting new attributes", r"\1"),
    (r"(does not support the context manager protocol) \(missed __\w+__ method\)", r"\1"),
    (r"(cannot import name '\w+' from '[\w.]+') \([^)]*\)", r"\1"),
    (r"(No module named '([\w.]+)'); '[\w.]+' is not a package", r"\1"),
    (r"math domain error|expected a (?:non-?negative|positive) input(?:, got \S+)?", "math domain error"),
    (r"(?:replace\(\) argument \d |strip arg )?must be (?:None or str|str(?: or None)?, not \w+)|expected str\b(?!,)",
     "expected str"),
    (r"(?:[\w.]+\.)?(?:<locals>\.)?(<lambda>|\w+)\(\) (takes|missing|got|argument)", r"\1() \2"),
    (r"(?:[\w.]+\(\) argument|Value) after (\*+) must be (?:an iterable|a mapping), not (\w+)", r"after \1: \2"),
    (r"can't concat str to bytes", "unsupported operand type(s) for +: 'bytes' and 'str'"),
    (r"cannot convert dictionary update sequence element #\d+ to a sequence", "'int' object is not iterable"),
    (r"empty range (?:for randrange\(\) \([^)]*\)|in randint\([^)]*\))", "empty range"),
    (r"(month must be in 1\.\.12), not \d+", r"\1"),
    (r"<(?:[\w.<>]+\.)?(\w+) object at 0x[0-9a-f]+>", r"<\1 object>"),
    (r"<function '?(?:[\w.<>]+\.)?([\w<>]+)'?(?: at 0x[0-9a-f]+)?>", r"<function \1>"),
    (r"<module '([\w.]+)'[^>]*>", r"<module '\1'>"),
)  # fmt: skip
_WORDS: Final = tuple((re.compile(pattern), canonical) for pattern, canonical in WORDS)
_ENDED_WALK: Final = re.compile(r"(?:coroutine|generator|async generator) raised StopIteration")


def same_words(text: str) -> str:
    """`text` with each wording of the table in one form."""
    for pattern, canonical in _WORDS:
        text = pattern.sub(canonical, text)
    return text


def same_error(error: Raised) -> tuple[str, str]:
    """Type and message of an exception, in one form for both interpreters."""
    if error.type == "StopIteration" or (error.type == "RuntimeError" and _ENDED_WALK.fullmatch(error.message)):
        return "StopIteration", ""  # what becomes of it at the end of a coroutine is CPython's own
    if error.type == "RecursionError":
        return "RecursionError", ""
    return error.type, _unquoted(error.message) if error.type == "KeyError" else same_words(error.message)


def _unquoted(key: str) -> str:
    """The message of a KeyError: the runner keeps a key as text, and so quotes it once more than CPython."""
    for _ in range(2):
        try:
            value = ast.literal_eval(key)
        except (ValueError, SyntaxError):
            break
        if not isinstance(value, str):
            break
        key = value
    return key
