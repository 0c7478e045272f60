"""What the two interpreters word differently is found here, and passed over; nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.verify import Raised, World, with_effects
from dicem_codegen.verify.desk import load, run
from dicem_codegen.verify.drive import LIMITS
from dicem_codegen.verify.drive import run as drive
from dicem_codegen.verify.messages import same_error, same_words
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter

EXPRESSIONS = """
[][0]; [1][-3]; [1]["a"]; (1,)[3]; "abc"[7]; "abc"["x"]; {}["a"]; {}[1]; {}[(1, 2)]; {"a": 1}[1.5]; {}[None]; {}[[]]
{[]: 1}; {[]}; {{}: 1}; hash([]); None[0]; None["a"]; None.x; None(); None + 1; 1 + None; 1 + "a"; "a" + 1; "a" * "b"
[1] + 1; [1] + (1,); 1 - "a"; {} + {}; None - None; "a" - "b"; -"a"; -None; ~1.5; 1 < "a"; "a" < 1; None < 1
None < None; [1] < 1; {} < {}; 1 in 5; 1 in None; "a" in 5; 1 in "abc"; 1 / 0; 1.0 / 0; 1 // 0; 1 % 0; 1.0 // 0
1.0 % 0; divmod(1, 0); 0 ** -1; 0.0 ** -1; int("x"); int(""); int("1.5"); int(None); int([]); int(float("nan"))
float("x"); float(None); float([]); len(5); len(None); min([]); max([]); min(()); min({}); min(5); max(None)
min(1, "a"); max([1, "a"]); min([None, 1]); sum(["a"]); sum([[1]]); sum(5); sum([None]); sorted([1, "a"])
sorted(None); [3, "a"].sort(); iter(5); next([]); list(5); tuple(None); set([[]]); dict([1]); dict(5); enumerate(5)
list(zip(5)); reversed(5); range("a"); range(1.5); range(1, 2, 0); abs("a"); abs(None); round("a"); round(None)
ord("ab"); chr(-1); [1].index(2); ["a"].index("b"); (1,).index(2); "abc".index("z"); [1].remove(2); {1}.remove(2)
{"a"}.remove("b"); [].pop(); [1].pop(5); {}.pop("a"); set().pop(); {}.popitem(); "abc".foo; [].foo; {}.foo; (1).foo
().foo; True.foo; [].append(); [].append(1, 2); "a".join([1]); "a".join(5); "a".split(5); "abc".split("")
"abc".replace("a", 5); "abc".startswith(5); "abc".find(5); "abc".strip(5); "{}".format(); "{a}".format(); "%d" % "a"
"%s %s" % "a"; "%s" % (1, 2); f"{1.5:d}"; f"{'a':.2f}"; f"{'a':d}"; f"{1:q}"; unknown; unknown(); unknown.x; image.foo
image(); image[0]; len(image); image + 1; image < 1; list(image); p.foo; p.foo(); p[0]; len(p); p + 1; p < p
min([p, p]); sorted([p, p]); list(p); float(p); int(p); p(); ImagePatch(); ImagePatch(1); ImagePatch("a")
ImagePatch(None); p.crop(); p.crop(0, 0, 0, 0); p.crop("a", 0, 0, 0); p.crop(1, 2); p.find(); p.find("a", "b")
p.find(5); p.find(None); p.simple_query(5); p.best_text_match([]); p.best_text_match(5); p.verify_property("a")
p.compute_depth(1); p.overlaps_with(1); VideoSegment([]); VideoSegment(5); VideoSegment(image); distance(1, "a")
distance(p, 1); coerce_to_numeric("x", True); bool_to_yesno(); llm_query(); llm_query(5); best_image_match(5, "a")
best_image_match([1], "a"); process_guesses(); hermod.call("nope"); hermod.call("llm"); hermod.call("llm", prompt=5)
hermod.call("llm", prompt="a", x=1); hermod.call("depth", image=5); hermod.call("depth", image=None)
hermod.call("depth", image=execute_command); hermod.call(5); hermod.call(); f(); f(1, 2); f(y=1); f(1, x=1); f(*5)
(lambda: 1)(1); (lambda x: 1)(); A(); A(1, 2); A(1).foo; A(1).n.foo; A(1) + A(2); A(1) < A(2); A(1)(); A(1)[0]
len(A(1)); A.foo; [x for x in 5]; [x for x in None]; {**5}; [*5]; (*None,); isinstance(1, 5); getattr(1, "x")
setattr(1, "x", 1); "abc"[1.5]; [1][1.0]; [1][None]; range(5)[9]; [].extend(5); [1] * 1.5; "a" * 1.5; 2 ** "a"
1 << -1; 1 & "a"; True + "a"; all(5); any(None); list(map(5, [1])); list(map(int, ["x"])); math.sqrt(-1); math.log(0)
math.floor("a"); math.floor(float("nan")); math.foo; 10.0 ** 400; json.loads("x"); json.loads(""); random.choice([])
random.sample([1], 3); await 5; await None; await f(1); await [1]; random.randint(5, 1); b"a" + "a"
datetime.datetime(2020, 13, 1)
"""
STATEMENTS = """
a, b = [1]; a, b = [1, 2, 3]; a, b = 5; a, b = None; a, *b = []; (a, b), c = [1, 2]; (1,)[0] = 1
x = [1]; x[5] = 1
x = (1,); x[0] = 1
x = "a"; x[0] = "b"
x = {}; x[[]] = 1
x = None; x.y = 1
x = 5; x.y = 1
x = 1; x += "a"
x = "a"; x += 1
x = None; x += 1
q += 1
print(q); q = 1
for i in 5: pass
for i, j in [(1, 2, 3)]: pass
with 5: pass
import nope
from math import nope
raise 5
raise ValueError
raise ValueError("x")
raise KeyError("x")
raise KeyError
raise Exception("z")
assert False
assert 1 == 2, "m"
x = iter([1]); next(x); next(x)
next(iter([]))
x = {1: 2}; [x.pop(k) for k in x]
return f
return A(1)
"""
BODIES = (
    [f"return {each.strip()}" for line in EXPRESSIONS.strip().split("\n") for each in line.split("; ")]
    + [each.strip() for each in STATEMENTS.strip().split("\n")[0].split("; ") if each != "(1,)[0] = 1"]
    + STATEMENTS.strip().split("\n")[1:]
)
KNOWN_TO_DIFFER = {
    'return f"{None:.2f}"': "TypeError in CPython, ValueError in the runner",
}
HEAD = """import asyncio, datetime, hermod, json, math, random
def f(x):
    return x
class A:
    def __init__(self, n):
        self.n = n
"""


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(with_effects(), LIMITS) as opened:
        yield opened


def both(interpreter: Interpreter, body: str) -> tuple[Raised | None, Raised | None]:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    source = f"{HEAD}async def execute_command(image):\n    p = ImagePatch(image)\n{lines}"
    world = World(1)
    return run(load(source), world, LIMITS).error, drive(prepare(source), world, interpreter).error


def test_there_are_many() -> None:
    assert len(BODIES) > 280


@pytest.mark.parametrize("body", BODIES)
def test_both_raise_the_same(interpreter: Interpreter, body: str) -> None:
    here, there = both(interpreter, body)
    assert here is not None
    assert there is not None
    assert same_error(here) == same_error(there)


@pytest.mark.parametrize("body", KNOWN_TO_DIFFER)
def test_what_differs_in_type_is_not_passed_over(interpreter: Interpreter, body: str) -> None:
    here, there = both(interpreter, body)
    assert here is not None
    assert there is not None
    assert same_error(here) != same_error(there)


def test_nothing_else_is_passed_over() -> None:
    """Messages that people write stay what they are."""
    for one, other in [
        ("no car", "no cat"), ("5 is not in range", "6 is not in range"), ("", "x"), ("list index out of range", "x"),
        ("blip: no answer (00ff)", "blip: no answer (00fe)"), ("unhashable type: 'list'", "unhashable type: 'dict'"),
        ("f() takes 1 positional argument but 2 were given", "g() takes 1 positional argument but 2 were given"),
        ("name 'a' is not defined", "name 'b' is not defined"), ("'a' is wrong", "'b' is wrong"),
        ("expected str, got 5", "expected str, got 6"), ("<A object>", "<B object>"),
        ("too many values to unpack (expected 2)", "too many values to unpack (expected 3)"),
        ("min() arg is an empty sequence", "max() arg is an empty sequence"),
    ]:  # fmt: skip
        assert same_words(one) != same_words(other), one
        assert same_error(Raised("ValueError", one)) != same_error(Raised("ValueError", other)), one
    assert same_error(Raised("KeyError", "'a'")) != same_error(Raised("KeyError", "'b'"))
    assert same_error(Raised("ValueError", "x")) != same_error(Raised("TypeError", "x"))


def test_printed_objects() -> None:
    for one, other in [
        ("<hermod.prelude.PILImage object at 0x7f0869d0b210>", "<PILImage object at 0x310>"),
        ("<function execute_command.<locals>.<lambda> at 0x7f0869d02520>", "<function '<lambda>' at 0x9ac>"),
        ("<function f at 0x7f0869d01e40>", "<function 'f' at 0x9cc>"),
        ("<module 'asyncio' from '/usr/lib/python3.11/asyncio/__init__.py'>", "<module 'asyncio'>"),
    ]:
        assert same_words(f"it is {one}!") == same_words(f"it is {other}!")


def test_the_end_of_a_walk() -> None:
    """CPython makes a RuntimeError of a StopIteration that leaves a coroutine."""
    ended = Raised("RuntimeError", "coroutine raised StopIteration")
    assert same_error(ended) == same_error(Raised("StopIteration", "v"))
    assert same_error(Raised("RuntimeError", "it raised StopIteration")) != same_error(ended)
