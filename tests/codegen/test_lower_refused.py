"""What `lower` refuses: the whole list, each with programs that show it, and where they say so."""

from __future__ import annotations

import ast

import pytest

from dicem_codegen.lower import REFUSED, refused_text
from dicem_codegen.types import Lowered
from dicem_shared.errors import CompileError

from .lowering import lowered

HEAD = "def execute_command(image):\n    patch = ImagePatch(image)\n"
"""what stands before the lines below"""

CASES = {
    "kept-generator": [
        ("    return (p.exists('a') for p in patch.find('b'))", 3, 12),
        ("    found = (p.exists('a') for p in patch.find('b'))\n    return len(found)", 3, 5),
        ("    return zip((p.exists('a') for p in patch.find('b')), [1])", 3, 12),
    ],
    "generator-function": [("    def f():\n        yield 1\n    return list(f())", 4, 9)],
    "callback": [
        ("    import functools\n    return functools.reduce(lambda a, b: b.exists('x'), patch.find('a'))", 4, 29),
        ("    return patch.find('a', key=lambda p: p.exists('x'))", 3, 32),
    ],
    "special-method": [
        ("    class A:\n        def __len__(self):\n            return 1\n    return A()", 4, 9),
        (
            "    class A:\n        def __str__(self):\n            return patch.simple_query('a')\n    return str(A())",
            4,
            9,
        ),
    ],
    "missing": [
        ("    return eval('1')", 3, 12),
        ("    return (3).bit_length()", 3, 12),
        ("    from functools import wraps", 3, 5),
        ("    del patch.left", 3, 9),
        ("    raise ConnectionError('x')", 3, 11),
        ("    raise OSError(2, 'x')", 3, 11),
        ("    raise ImportError('x', name='y')", 3, 11),
        ("    try:\n        pass\n    except ValueError as e:\n        return e.__cause__", 6, 16),
        ("    try:\n        pass\n    except ValueError as e:\n        e.tag = 1", 6, 9),
    ],
    "module": [("    import statistics as s", 3, 5), ("    from . import helpers", 3, 5)],
    "class-body": [("    class A:\n        for i in 'ab':\n            pass", 4, 9)],
    "inheritance": [("    class Mine(Exception):\n        pass", 3, 5)],
    "decorator": [
        ("    class A:\n        @patch.find\n        def f(self):\n            pass", 4, 10),
        ("    class A:\n        @property\n        def left(self):\n            return 1", 3, 5),
    ],
    "async-statement": [
        ("    try:\n        pass\n    except* ValueError:\n        pass", 3, 5),
        ("    async def f():\n        async with patch:\n            pass", 4, 9),
        ("    async def f():\n        async for x in patch:\n            pass", 4, 9),
        ("    async def f():\n        return [x async for x in patch]", 4, 16),
    ],
    "tasks": [
        ("    import asyncio\n    async def f():\n        return asyncio.create_task(f())", 5, 16),
        (
            "    import asyncio\n    async def f():\n        async def g():\n            return asyncio.wait_for(g(), 1)",  # noqa: E501
            6,
            20,
        ),
    ],
    "patched-prelude": [
        ("    patch.find = len", 3, 5),
        ("    ImagePatch.exists = len", 3, 5),
        ("    setattr(patch, 'find', len)", 3, 5),
    ],
    "star-import": [("from math import *", 3, 1)],
}


@pytest.mark.parametrize(
    ("code", "lines", "line", "column"), [(code, *case) for code, cases in CASES.items() for case in cases]
)
def test_what_is_refused(code: str, lines: str, line: int, column: int) -> None:
    with pytest.raises(CompileError) as caught:
        lowered(f"{HEAD}{lines}\n")
    (said,) = caught.value.diagnostics
    assert (said.code, said.line, said.column, said.severity) == (code, line, column, "error"), said
    assert str(caught.value).startswith(f"p.py:{line}:{column}: ")
    assert said.hint == REFUSED[code][1]
    assert said.hint


def test_the_list_is_whole_and_short() -> None:
    assert CASES.keys() == REFUSED.keys()
    assert len(REFUSED) <= 15
    assert refused_text().count("\n") == len(REFUSED)
    assert all(code in refused_text() for code in REFUSED)


@pytest.mark.parametrize(
    "lines",
    [
        "    return list(p.exists('a') for p in patch.find('b'))",
        "    found = [p.exists('a') for p in patch.find('b')]\n    return len(found)",
        "    try:\n        import numpy\n    except ImportError:\n        numpy = None",
        "    try:\n        return 1\n    except ConnectionError:\n        return 2",
        "    class A:\n        '''words'''\n        n: int = 1\n        def f(self):\n            return 1",
        "    class A:\n        @staticmethod\n        def f():\n            return 1\n    return A.f()",
        "    class Patchwork:\n        def __init__(self):\n            self.find = 1\n    return Patchwork().find",
        "    return sum(p.left for p in patch.find('b'))",
    ],
)
def test_what_comes_near_and_is_not_refused(lines: str) -> None:
    made = lowered(f"{HEAD}{lines}\n")
    assert isinstance(made, Lowered)
    ast.parse(ast.unparse(made.tree))


def test_what_stays_serial_is_said() -> None:
    made = lowered(
        f"{HEAD}    import functools\n    @functools.lru_cache\n    def ask(q):\n        return llm_query(q)\n    return ask('a')\n"  # noqa: E501
    )
    (note,) = made.diagnostics
    assert (note.severity, note.code, note.line) == ("note", "serial", 5)
    assert "ask" in note.message
