"""Programs that are bombs before they run: to read them, to compile them or to name what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .corpus import Case

_HEAD: Final = "def execute_command(image):\n"
_END: Final = _HEAD + "    return 1\n"
_MANY: Final = 190_000

_BOMBS: Final = {
    "a list of zeros": ("refused", "x = [" + "0," * (_MANY // 2) + "]\n" + _END),
    "a dict of zeros": ("refused", "x = {" + "0:0," * (_MANY // 4) + "}\n" + _END),
    "lines of one letter": ("refused", "a\n" * (_MANY // 2) + _END),
    "lines of calls": ("refused", _END + "    " + "f();" * (_MANY // 4) + "\n"),
    "fields of an f-string": ("refused", "x = f'" + "{a}" * (_MANY // 3) + "'\n" + _END),
    "imports": ("refused", "import hermod\n" * (_MANY // 14) + _END),
    "functions": ("refused", "".join(f"def f{i}(): return f{i + 1}()\n" for i in range(_MANY // 30)) + _END),
    "minus of minus": ("refused", "x = " + "-" * 20_000 + "1\n" + _END),
    "not of not": ("refused", "x = " + "not " * 20_000 + "1\n" + _END),
    "attributes of attributes": ("refused", "x = a" + ".b" * 14_000 + "\n" + _END),
    "sums of sums": ("refused", "x = " + "1 + " * 14_000 + "1\n" + _END),
    "lambdas in lambdas": ("refused", "x = " + "lambda: " * 5_000 + "1\n" + _END),
    "brackets": ("refused", "x = " + "[" * 10_000 + "]" * 10_000 + "\n" + _END),
    "loops in loops": (
        "refused", "def g(y):\n" + "".join(" " * i + "for x in y:\n" for i in range(1, 120)) + " " * 120 + "0\n" + _END,
    ),
    "a number of many digits": ("refused", "x = " + "9" * 100_000 + "\n" + _END),
    "longer than is read": ("refused", "#" * 10_000_000 + "\n" + _END),
    "no end of a string": ("refused", _END + "x = '" + "a" * _MANY),
    "zero bytes": ("refused", _END + "\0"),
    "no program": ("refused", "0"),
    "two entries": ("refused", _END + _END.replace("command", "query")),
    "an entry that wants more": ("refused", "def execute_command(image, secret): return secret\n"),
    "comprehensions in comprehensions": (
        "limit memory_mb", _HEAD + "    return " + "[" * 12 + "0" + " for a in range(99)]" * 12 + "\n",
    ),
    "finally in finally": (
        "refused",
        _HEAD + "".join(" " * i + "try: x\n" + " " * i + "finally:\n" for i in range(1, 15)) + " " * 15 + "0\n",
    ),
    "a text of 190,000 letters": ("returns 190000", f"x = '{'a' * _MANY}'\n{_HEAD}    return len(x)\n"),
}  # fmt: skip


def source_bombs() -> Iterator[Case]:
    """Each with how it must end."""
    for name, (expected, source) in _BOMBS.items():
        yield Case("sources", name, source, expected)
