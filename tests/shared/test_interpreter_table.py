"""What the interpreter cannot run, and what we rely on that it can: an upgrade that moves either line is noticed here.

Each row is a program's body.  Where it is wrong here and right in CPython, the compiler rewrites it, or refuses it.
"""

from __future__ import annotations

from typing import Any

import pydantic_monty
import pytest

from dicem_shared.errors import ProgramFailed, ProgramSyntaxError
from dicem_shared.program import prepare
from dicem_shared.runner import Failed

HEAD = (
    "import asyncio\nimport hermod\n\n\ndef say(text):\n    return hermod.call_sync('llm', prompt=text)['output']\n\n\n"
)


def program(body: str, *, top: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{HEAD}{top}\n\nasync def execute_command(image):\n{lines}"


def test_the_version_that_this_table_is_about() -> None:
    assert pydantic_monty.__version__.startswith("1.4.")


# It does not get past the parser: (what, body, at the top, what it says)

UNPARSED = [
    ("del of a name", "x = 1\ndel x", "", "del"),
    ("del of an item", "x = {1: 2}\ndel x[1]", "", "del"),
    ("yield", "return 1", "def numbers():\n    yield 1", "yield"),
    ("yield from", "return 1", "def numbers():\n    yield from [1]", "yield"),
    ("inheritance", "return 1", "class Mine(Exception):\n    pass", "inherit"),
    ("a decorator on a method", "return 1", "class A:\n    @property\n    def x(self):\n        return 1", "decorator"),
    ("except*", "try:\n    pass\nexcept* ValueError:\n    pass", "", "except"),
    ("async with", "async with image:\n    pass", "", "async with"),
    ("async for", "async for x in image:\n    pass", "", "async for"),
]


@pytest.mark.parametrize(("body", "top", "sign"), [row[1:] for row in UNPARSED], ids=[row[0] for row in UNPARSED])
def test_what_it_does_not_parse(desk: Any, body: str, top: str, sign: str) -> None:
    error = desk.error(program(body, top=top))
    assert type(error) is ProgramSyntaxError, error
    assert sign in str(error)
    assert str(error).startswith("p:")


# It fails when it runs: (what, body, exception, what it says)

FAILING = [
    ("next of a generator", "return next(x for x in [1])", "TypeError", "'list' object is not an iterator"),
    ("TaskGroup", "return asyncio.TaskGroup()", "AttributeError", "TaskGroup"),
    ("create_task", "return asyncio.create_task(say)", "AttributeError", "create_task"),
    ("keywords of gather", "return await asyncio.gather(hermod.call('llm', prompt='x'), return_exceptions=True)",
     "NotImplementedError", "keyword arguments"),
    ("awaiting a coroutine again", "async def f():\n    return 1\nc = f()\nawait c\nawait c", "RuntimeError",
     "cannot reuse already awaited coroutine"),
    ("ConnectionError", "raise ConnectionError('x')", "NameError", "name 'ConnectionError' is not defined"),
    ("callable", "return callable(say)", "NameError", "name 'callable' is not defined"),
    ("len of an own object", "class A:\n    def __len__(self):\n        return 1\nreturn len(A())",
     "TypeError", "len()"),
    ("order of own objects", "class A:\n    def __lt__(self, other):\n        return True\nreturn A() < A()",
     "TypeError", "'<' not supported"),
    *[(f"the module {name}", f"import {name}", "ModuleNotFoundError", f"No module named '{name}'")
      for name in ("statistics", "string", "numpy", "torch", "cv2", "requests", "subprocess", "socket")],
    ("a part of PIL that the shim has not", "import PIL.ImageDraw", "ModuleNotFoundError", "PIL"),
    ("an exception about something else than one text", "raise ValueError(5)", "RuntimeError",
     "exceptions can only be called with zero or one string argument"),
    ("files", "return open('/etc/passwd').read()", "PermissionError", "/etc/passwd"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "exc_type", "sign"), [row[1:] for row in FAILING], ids=[row[0] for row in FAILING])
def test_what_it_does_not_run(desk: Any, body: str, exc_type: str, sign: str) -> None:
    error = desk.error(program(body))
    assert type(error) is ProgramFailed, error
    assert (error.exc_type, sign in str(error)) == (exc_type, True), error


CALLS_INSIDE = [
    ("min(key=)", "min(['a', 'b'], key=say)"),
    ("max(key=)", "max(['a', 'b'], key=say)"),
    ("sorted(key=)", "sorted(['a', 'b'], key=lambda x: say(x))"),
    ("list.sort(key=)", "['a', 'b'].sort(key=say)"),
    ("map", "list(map(say, ['a', 'b']))"),
    ("filter", "list(filter(say, ['a', 'b']))"),
    ("__eq__", "Special() == Special()"),
    ("__str__", "str(Special())"),
    ("__hash__", "{Special()}"),
]
SPECIAL = "class Special:\n" + "".join(
    f"    def {name}:\n        return say('x')\n" for name in ("__eq__(self, other)", "__str__(self)", "__hash__(self)")
)


@pytest.mark.parametrize("expression", [row[1] for row in CALLS_INSIDE], ids=[row[0] for row in CALLS_INSIDE])
def test_calls_inside_what_calls_back(desk: Any, expression: str) -> None:
    error = desk.error(program(f"return {expression}", top=SPECIAL))
    assert type(error) is ProgramSyntaxError, error
    assert str(error).startswith("p:6: a call inside a key, map, filter or special method")
    caught = program(
        f"try:\n    {expression}\nexcept NotImplementedError as error:\n    return str(error)", top=SPECIAL
    )
    assert "cannot suspend" in desk.value(caught)


def test_a_star_import(desk: Any) -> None:
    error = desk.error(program("return 1", top="from math import *"))
    assert (error.exc_type, "Wildcard imports" in str(error)) == ("NotImplementedError", True)


# It runs and means something else than in CPython: (what, body, its value and calls here, and in CPython)

DIFFERENT = [
    ("any of a generator runs all of it", "return any(say(x) == 'a' for x in ['a', 'b', 'c'])",
     (True, ["a", "b", "c"]), (True, ["a"])),
    ("all of a generator runs all of it", "return all(say(x) == 'b' for x in ['a', 'b', 'c'])",
     (False, ["a", "b", "c"]), (False, ["a"])),
    ("a generator runs where it is written", "g = (say(x) for x in ['a', 'b'])\nsay('first')\nreturn list(g)",
     (["a", "b"], ["a", "b", "first"]), (["a", "b"], ["first", "a", "b"])),
    ("a generator can be used up twice", "g = (x for x in [1, 2])\nreturn [list(g), list(g)]",
     ([[1, 2], [1, 2]], []), ([[1, 2], []], [])),
]  # fmt: skip


@pytest.mark.parametrize(("body", "here", "cpython"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_what_means_something_else(desk: Any, body: str, here: Any, cpython: Any) -> None:
    inside, outside = desk.sandboxed(program(body)), desk.cpython(program(body))
    assert (inside.value, [params["prompt"] for _, params in inside.calls]) == here
    assert (outside.value, [params["prompt"] for _, params in outside.calls]) == cpython


def test_recursion_ends_sooner(desk: Any) -> None:
    body = "def down(n):\n    return 0 if n == 0 else 1 + down(n - 1)\nreturn down({})"
    assert desk.both(program(body.format(150))).value == 150
    assert desk.cpython(program(body.format(600))).value == 600
    assert isinstance(desk.run(program(body.format(600))), Failed)


def test_the_prelude_shares_its_names_with_the_program(desk: Any) -> None:
    body = program("return str(ImagePatch(image).crop(0, 0, 5, 5))", top="max = 3")
    assert desk.cpython(body).value == "ImagePatch(0, 0, 5, 5)"  # there it is a module of its own
    assert desk.sandboxed(body).error == ("TypeError", "'int' object is not callable")


def test_messages_that_differ(desk: Any) -> None:
    assert (
        str(desk.error(program("return min([])"))) == "p:12: ValueError: min() iterable argument is empty"
    )  # as in 3.12
    body = program("return [1].index(2)")
    assert desk.cpython(body).error == ("ValueError", "2 is not in list")
    assert desk.sandboxed(body).error == ("ValueError", "list.index(x): x not in list")


# What we rely on: the same in both.  (what, body)

RUNNING = """
== comprehensions with await
return [await hermod.call('llm', prompt=p) for p in ['a', 'b']]
== dict comprehension with await
return {p: (await hermod.call('llm', prompt=p))['output'] for p in ['a', 'b']}
== sync calls in comprehensions
return [say(p) for p in ['a', 'b'] if p != 'b' or say('c')]
== calls in any of a list
return any([say(p) == 'a' for p in ['a', 'b']])
== gather of a list
return await asyncio.gather(*[hermod.call('llm', prompt=p) for p in ['a', 'b']])
== gather of nothing
return await asyncio.gather()
== nested gather
async def f(p):
    return await asyncio.gather(*[hermod.call('llm', prompt=p + q) for q in 'xy'])
return await asyncio.gather(f('a'), f('b'))
== asyncio.sleep
await asyncio.sleep(0)
return 1
== closures
total = 0
def add(n):
    nonlocal total
    total += n
    return total
add(2)
return add(3)
== late binding
fs = [lambda: i for i in range(3)]
return [f() for f in fs]
== defaults at definition
fs = [lambda i=i: i for i in range(3)]
return [f() for f in fs]
== nested async functions
async def f(x):
    async def g():
        return x + 1
    return await g()
return await f(1)
== match
match [1, {'k': 'v'}]:
    case [int() as n, {'k': str() as v}] if n > 0:
        return [n, v]
== star-unpacking
a, *b = [1, 2, 3]
c, (d, e) = 1, (2, 3)
return [a, b, c, d, e, [*b, *b], {**{'x': 1}, 'y': 2}]
== loop variables after the loop
for i in range(3):
    j = i
return [i, j]
== for-else and while-else
for i in []:
    pass
else:
    x = 1
while False:
    pass
else:
    x += 1
return x
== try, except, else, finally
seen = []
for x in ['1', 'a']:
    try:
        int(x)
    except (ValueError, KeyError) as e:
        seen.append(type(e).__name__)
    else:
        seen.append('fine')
    finally:
        seen.append(x)
return seen
== raise from, and again
try:
    try:
        1 / 0
    except ZeroDivisionError as e:
        raise ValueError('x') from e
except ValueError:
    try:
        raise
    except ValueError as e:
        return str(e)
== return through finally
try:
    return 1
finally:
    print('end')
== assert
try:
    assert 1 == 2, 'message'
except AssertionError as e:
    return str(e)
== assert without a message
try:
    assert 1 == 2
except AssertionError as e:
    return str(e)
== walrus
return [y for x in [1, 2, 3] if (y := x * 2) > 2]
== chained comparison
return [1 < 2 < 3, 1 < 3 < 2]
== conditional expression, and, or
return [1 if [] else 2, [] and 1, 0 or 'x', not 1]
== slices
x = list(range(10))
return [x[2:5], x[::-1], x[-3:], 'abc'[1:]]
== keys without calls
return [min(['bb', 'a'], key=len), sorted([3, 1, 2], key=lambda x: -x), max([1, 2], default=0)]
== sorting is stable
x = [(1, 'b'), (0, 'z'), (1, 'a')]
x.sort(key=lambda p: p[0], reverse=True)
return x
== map, filter, zip, enumerate, reversed
a, b = list(map(str, [1])), list(filter(None, [0, 1]))
return [a, b, list(zip('ab', [1, 2])), list(enumerate('a', 1)), list(reversed([1, 2]))]
== sum, any, all, abs, round, divmod
return [sum([1, 2], 3), any([0, 1]), all([]), abs(-1), round(2.5), round(2.567, 2), divmod(7, 2)]
== iter and next
i = iter([1, 2])
return [next(i), next(i), next(i, 'end')]
== strings
a = ['a,b'.split(','), ' x '.strip(), 'x'.join(['a', 'b']), 'Ab'.lower(), 'ab'.startswith('a')]
return a + ['abc'.find('c'), 'a-b'.replace('-', '+'), '12'.isdigit(), 'ab'.title(), 'a b'.capitalize()]
== f-strings
x = 2.345
return f'{x:.2f} {x!r} {3:>4}|{"e"} {x=}'
== percent and format
return ['%s-%d' % ('a', 3), '{}-{b}'.format(1, b=2)]
== floats
return [0.1 + 0.2, 1e16, 1 / 3, 7 // 2, -7 % 3, 2 ** 0.5, float('1e-5')]
== dicts
d = {'a': 1}
d['b'] = 2
d.update(c=3)
return [list(d), d.get('x', 0), d.pop('a'), sorted(d.items()), 'b' in d, d.setdefault('z', 9)]
== sets
return [sorted({1, 2} | {3}), {1} <= {1, 2}, len({1, 1}), sorted({1, 2} - {2})]
== aliasing
a = [1]
b = a
b.append(2)
return [a, a is b, a + [3], a]
== print
print('a', 1, [True, None], sep='-', end='!')
print({'k': 1.0}, (1,))
return 1
== classes with methods
class A:
    kind = 'x'
    def __init__(self, n):
        self.n = n
    def twice(self):
        return self.n * 2
    def __repr__(self):
        return 'A!'
a = A(3)
a.extra = 1
return [a.twice(), A.kind, repr(a), str([a]), a.extra, isinstance(a, A)]
== getattr, setattr, hasattr
p = ImagePatch(image)
setattr(p, 'm', 1)
return [getattr(p, 'm'), getattr(p, 'x', 2), hasattr(p, 'y')]
== annotations
x: int = 1
def f(a: list[int], b: str | None = None) -> dict[str, int]:
    return {'a': a[0]}
return f([x])
== docstrings and pass
'words'
if True:
    pass
return 1
== global names
global counted
counted = 1
return counted
== math, re, json
import math, re, json
return [math.sqrt(4), math.pi, re.findall('[0-9]+', 'a1b22'), json.loads('{"a": [1]}')]
== collections
from collections import Counter, defaultdict
d = defaultdict(list)
d['a'].append(1)
return [Counter('aab').most_common(1), dict(d)]
== errors of missing things
seen = []
for f in [lambda: [][0], lambda: {}['a'], lambda: None.x, lambda: 'a' + 1, lambda: int('x')]:
    try:
        f()
    except Exception as e:
        seen.append(type(e).__name__)
return seen
"""
ROWS = [row.partition("\n") for row in RUNNING.strip().removeprefix("== ").split("\n== ")]


@pytest.mark.parametrize("body", [body for _, _, body in ROWS], ids=[name for name, _, _ in ROWS])
def test_what_we_rely_on(desk: Any, body: str) -> None:
    told = desk.both(program(body))
    assert told.error is None


def test_messages_of_common_errors_are_those_of_cpython(desk: Any) -> None:
    for body in ("[][0]", "{}['a']", "1 / 0", "int('x')", "'a' + 1", "unknown", "None.x"):
        assert desk.both(program(f"return {body}")).error is not None, body


def test_a_published_program_is_prepared_without_touching_its_meaning() -> None:
    source = program("return 1")
    assert prepare(source).runnable.count("\n") == source.count("\n") + 2
