"""Fusion of the calls of loops: programs that are fused, programs that must not be, and that all of them mean the same.

The copies that fusion makes stand in the shadow with `(common)`.  Below the tables: pieces put together at random.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_codegen import compile_program
from dicem_codegen.verify import Verifier
from dicem_codegen.verify.world import with_effects

FUNCTIONS = with_effects()
WORLDS = range(14)

HEAD = """def execute_command(image):
    image_patch = ImagePatch(image)
    boats = image_patch.find('boat')
    buoys = image_patch.find('buoy')
"""
NEAR = "near = [b for b in boats if b.compute_depth() < 50]\n"
LOOP = """near = []
for b in boats:
    if b.compute_depth() < 50:
        near.append(b)
"""
ASK = "return [b.simple_query('What is this?') for b in near]"
STEP = """names = []
kept = []
for b in boats:
    kept.append(b)
    names.append(b.simple_query('Name?'))
"""
ZIP = "return [b.simple_query('Is it ' + name) for b, name in zip(kept, names)]"
HERMOD = """import asyncio
import hermod
from PIL import Image
async def execute_query(image):
    seen = await hermod.call("yolov8", image=image)
    near = []
    for thing in seen["objects"]:
        answer = await hermod.call("blip2", image=image, query=thing["class"])
        if answer["result"] != "no":
            near.append(thing)
{between}
    for thing in near:
        print(await hermod.call("blip2", image=image, query="Is it " + thing["class"]))
asyncio.run(execute_query(Image.open("frame.jpg")))
"""


def between(lines: str) -> str:
    """A program of DiCE-C's kind, with lines between its two loops."""
    return HERMOD.replace("{between}", lines)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


def program(body: str, top: str = "") -> str:
    """A whole program; one with `await` is asynchronous, one that has a function of its own is left as it is."""
    if "async def" in body:
        return body
    head = f"import hermod\nasync {HEAD}" if "await " in body else HEAD
    return top + head + "".join(f"    {line}\n" for line in body.split("\n"))


def copies(source: str) -> int:
    """How many calls stand in the shadow a second time."""
    compiled = compile_program(source, FUNCTIONS, stages=True)
    return compiled.stages["dataflow"].count("(common)")


def check(verifier: Verifier, source: str) -> None:
    """The compiled program means what the original one means."""
    verdict = verifier.check(source, compile_program(source, FUNCTIONS).source, WORLDS)
    assert verdict.trouble is None
    assert verdict.difference is None, f"{source}\n{verdict.difference}"


FUSED = [
    ("comprehensions", NEAR + ASK, 1),
    ("a loop that appends", LOOP + ASK, 1),
    ("a filter with `continue`", LOOP.replace("if b.c", "if not b.c").replace("< 50:\n", "< 50:\n        continue\n"
     "    if True:\n")
     + ASK, 1),
    ("another name", NEAR + "same = near\nreturn [b.simple_query('What?') for b in same]", 1),
    ("in another order", NEAR + "for b in sorted(near, key=lambda b: b.left):\n    print(b.simple_query('What?'))", 1),
    ("backwards", NEAR + "for b in reversed(near):\n    print(b.simple_query('What?'))", 1),
    ("numbered", NEAR + "for i, b in enumerate(near):\n    print(i, b.simple_query('What?'))", 1),
    ("sorted in place", NEAR + "near.sort(key=lambda b: b.left)\n" + ASK, 1),
    ("turned in place", NEAR + "near.reverse()\n" + ASK, 1),
    ("behind a guard for nothing", NEAR + "if not near:\n    return 'none'\n" + ASK, 1),
    ("behind a guard on the length", NEAR + "if len(near) == 0:\n    return 'none'\n" + ASK, 1),
    ("inside of a guard", NEAR + "if len(near) > 0:\n    " + ASK + "\nelse:\n    return 'none'", 1),
    ("behind a print", NEAR + "print(len(near))\n" + ASK, 1),
    ("behind a count", NEAR + "n = 0\nfor b in near:\n    n += 1\n" + ASK, 1),
    ("behind what is collected", NEAR + "left = []\nfor b in near:\n    left.append(b.left)\n" + ASK, 1),
    ("longer by then", NEAR + "out = []\nfor b in near:\n    out.append(b.simple_query('What?'))\n"
     "near.append(image_patch)"
     "\nreturn out, len(near)", 1),
    ("filled in step", STEP + ZIP, 1),
    ("in step with what is walked", STEP + ZIP.replace("kept", "boats"), 1),
    ("in step, as comprehensions", "names = [b.simple_query('Name?') for b in boats]\n"
     "return [b.simple_query('Is it ' + name) for b, name in zip(boats, names)]", 1),
    ("in step with crops", "crops = [b.crop(0, 0, 9, 9) for b in boats]\n"
     "names = [b.simple_query('Name?') for b in crops]\n"
     "return [b.simple_query('Is it ' + name) for b, name in zip(crops, names)]", 1),
    ("a second question that hangs on the first", NEAR + "out = []\nfor b in near:\n    a = b.simple_query('What?')\n"
     "    if a == 'yes':\n        out.append(b.simple_query('Sure?'))\nreturn out", 2),
    ("three loops in a row", NEAR + "far = [b for b in near if b.exists('mast')]\n"
     "return [b.simple_query('What?') for b in far]", 3),
    ("hermod.call", between("    print(len(near))"), 1),
    ("behind an impure call", between('    await hermod.call("log_event", text="x")'), 1),
]  # fmt: skip


@pytest.mark.parametrize(("body", "number"), [row[1:] for row in FUSED], ids=[row[0] for row in FUSED])
def test_fused(verifier: Verifier, body: str, number: int) -> None:
    source = program(body)
    assert copies(source) == number
    check(verifier, source)


NOT_FUSED = [
    ("an element less", NEAR + "near.pop()\n" + ASK),
    ("an element less, deleted", NEAR + "del near[0]\n" + ASK),
    ("a slice", NEAR + "near[:] = near[:1]\n" + ASK),
    ("emptied", NEAR + "near.clear()\n" + ASK),
    ("emptied by an operator", NEAR + "near *= n\n".replace("n\n", "len(buoys)\n") + ASK),
    ("removed", NEAR + "for b in boats[:1]:\n    if b in near:\n        near.remove(b)\n" + ASK),
    ("less through another name", NEAR + "same = near\nsame.pop()\n" + ASK),
    ("less through a name in a tuple", NEAR + "same, other = near, boats\nsame.pop()\n" + ASK),
    ("less through a dict", NEAR + "box = {'k': near}\nbox['k'].pop()\n" + ASK),
    ("less through a list", NEAR + "box = [near]\nbox[0].pop()\n" + ASK),
    ("less in a function", NEAR + "def cut():\n    near.pop()\ncut()\n" + ASK),
    ("less in a lambda", NEAR + "cut = lambda: near.pop()\ncut()\n" + ASK),
    ("less by a method kept", NEAR + "cut = near.pop\ncut()\n" + ASK),
    ("less while it is walked", NEAR + "out = []\nfor b in near:\n    out.append(b.simple_query('What?'))\n"
     "    near.pop()\n"
     "return out"),
    ("another list by then", NEAR + "near = buoys\n" + ASK),
    ("another list for some", NEAR + "near = near or buoys\n" + ASK),
    ("a part of it", NEAR + "near = near[:2]\n" + ASK),
    ("a way out between", NEAR + "if len(near) > 2:\n    return 'many'\n" + ASK),
    ("a way out on another list", NEAR + "if not buoys:\n    return 'none'\n" + ASK),
    ("a way out for nothing or more", NEAR + "if not near or len(boats) > 2:\n    return 'none'\n" + ASK),
    ("an assertion between", NEAR + "assert len(near) < 3\n" + ASK),
    ("an error between", NEAR + "if buoys:\n    raise ValueError('x')\n" + ASK),
    ("a way out while it is filled", LOOP + "    if b.left > 20:\n        return 'early'\n" + ASK),
    ("a way out of the loop itself", NEAR + "for b in near:\n    if b.left > 20:\n        break\n"
     "    print(b.simple_query('What?'))"),
    ("a choice between", NEAR + "if len(near) > 1:\n    " + ASK),
    ("another question by then", "word = 'a'\n" + NEAR + "word = 'b'\nreturn [b.simple_query(word) for b in near]"),
    ("a question that changes on the way", "word = 'a'\n" + NEAR + "out = []\nfor b in near:\n"
     "    word = word + 'b'\n    out.append(b.simple_query(word))\nreturn out"),
    ("a question about the list", NEAR + "return [b.simple_query(str(len(near))) for b in near]"),
    ("a patch that is changed", NEAR + "for b in boats:\n    b.left = 3\n"
     "return [b.simple_query(str(b.left)) for b in near]"),
    ("put in twice", LOOP + "    near.append(image_patch)\nnear.pop()\n" + ASK),
    ("put in by either arm", LOOP + "    else:\n        near.insert(0, b)\n        near.pop()\n" + ASK),
    ("put in with a star", LOOP.replace("append(b)", "append(*[b])") + ASK),
    ("a try around the first loop", "near = []\ntry:\n    for b in boats:\n        if b.compute_depth() < 50:\n"
     "            near.append(b)\nexcept ValueError:\n    near = []\n" + ASK),
    ("a try between", NEAR + "try:\n    near.pop()\nexcept IndexError:\n    pass\n" + ASK),
    ("an iterator that is walked twice", NEAR + "it = reversed(near)\nout = list(it)\n"
     "return [b.simple_query('What?') for b in it]"),
    ("a list that was not empty", STEP.replace("for b", "kept.insert(0, image_patch)\nfor b") + ZIP),
    ("one that was not empty, by another name", STEP.replace("for b", "same = kept\nsame.append(image_patch)\n"
     "for b") + ZIP),
    ("not filled in step", STEP.replace("    kept.append(b)", "    if b.left > 20:\n        kept.append(b)") + ZIP),
    ("in step, but for a way out", STEP.replace("    names", "    if b.left > 20:\n        continue\n    names") + ZIP),
    ("in step with an iterator", STEP.replace("in boats", "in it").replace("names = []", "names = []\nit = iter(boats)")
     + ZIP.replace("kept", "it")),
    ("another element by then", STEP.replace("append(b)", "append(p)\n    p = image_patch").replace(
        "    kept", "    p = b\n    kept") + ZIP),
    ("another loop variable by then", STEP.replace("    kept", "    b = b.crop(0, 0, 5, 5)\n    kept")
     + ZIP.replace("kept", "boats")),
    ("a star in the target", STEP + "return [b[0].simple_query(name) for *b, name in zip(kept, names)]"),
    ("elements that are changed", between('    for thing in near:\n        thing["class"] = "x"')),
    ("elements that are changed elsewhere", between(
        '    first = seen["objects"][0] if near else {}\n    first["class"] = "x"')),
    ("elements that an operator changes", between('    first = near[0] if near else {}\n'
                                                        '    first |= {"class": "x"}')),
    ("elements that are changed at once", between("").replace("near.append(thing)", 'near.append(thing)\n'
                                                         '            thing.update({"class": "x"})')),
    ("an unknown number of impure calls", between('    if (await hermod.call("counter"))["n"] > 0:\n'
                                                        '        return')),
]  # fmt: skip


@pytest.mark.parametrize("body", [row[1] for row in NOT_FUSED], ids=[row[0] for row in NOT_FUSED])
def test_not_fused(verifier: Verifier, body: str) -> None:
    source = program(body)
    assert copies(source) == 0
    check(verifier, source)


OWN = [
    ("len", "def len(x):\n    return 0\n", NEAR + "if len(near) == 0:\n    return 'none'\n" + ASK),
    ("sorted", "def sorted(x):\n    return x[:1]\n", NEAR + "far = sorted(near)\n" + ASK.replace("near", "far")),
    ("list", "def list(x):\n    return x[:1]\n", NEAR + ASK.replace("near", "list(near)")),
    ("reversed", "def reversed(x):\n    return x[:1]\n", NEAR + ASK.replace("near", "reversed(near)")),
    ("zip", "def zip(x, y):\n    return [(x[0], y[-1])]\n", STEP + ZIP),
    ("enumerate", "def enumerate(x):\n    return [(0, x[-1])]\n",
     NEAR + "return [b.simple_query('What?') for i, b in enumerate(near)]"),
]  # fmt: skip


@pytest.mark.parametrize(("top", "body"), [row[1:] for row in OWN], ids=[row[0] for row in OWN])
def test_words_that_the_program_gives_another_meaning(verifier: Verifier, top: str, body: str) -> None:
    source = program(body, top)
    assert copies(source) == 0
    check(verifier, source)


Q = "image_patch.simple_query"
SEEN = [
    ("rows of zip(*rows)", f"a = []\nrows = [[a], [a]]\nfor x, y in zip(*rows):\n    x.append({Q}('q'))\n"
     f"return {Q}(str(len(a)))"),
    ("what is in **a dict", f"a = ['a']\nd = {{'k': a}}\nm = {{**d}}\nm['k'].append({Q}('q'))\n"
     f"return {Q}(str(len(a)))"),
    ("what is in a starred list", f"a = ['a']\nm = list(*[[a]])\nm[0].append({Q}('q'))\nreturn {Q}(str(len(a)))"),
    ("put in with a star", f"a = ['a']\nm = []\nm.append(*[a])\nm[0].append({Q}('q'))\nreturn {Q}(str(len(a)))"),
    ("what a lambda gives", f"a = ['a']\nm = list(map(lambda t: a, [1]))\nm[0].append({Q}('q'))\n"
     f"return {Q}(str(len(a)))"),
    ("a list that a generator walks later", f"k = ['a', 'b']\ng = (t + 'x' for t in k)\nk.pop()\n"
     f"return [{Q}(t) for t in g]"),
    ("a list that map walks later", f"k = ['a', 'b']\ng = map(lambda t: t + 'x', k)\nk.pop()\n"
     f"return [{Q}(t) for t in g]"),
    ("values that are walked later", f"d = {{'a': 'x', 'b': 'y'}}\nv = d.values()\nd.pop('b')\n"
     f"return [{Q}(t) for t in v]"),
    ("an iterator that was sorted", f"i = iter(['a', 'b'])\nk = sorted(i)\nreturn [{Q}(t) for t in i]"),
    ("an iterator that was searched", f"i = iter(['a', 'b', 'c'])\nk = 'b' in i\nreturn [{Q}(t) for t in i]"),
    ("an iterator that was left", f"i = iter(['a', 'b', 'c'])\nfor t in i:\n    if t == 'b':\n        break\n"
     f"return [{Q}(t) for t in i]"),
    ("an iterator of another name", f"i = iter(['a', 'b'])\nj = i\nk = list(j)\nreturn [{Q}(t) for t in i]"),
    ("an iterator for some", f"k = ['a', 'b']\ni = iter(k) if image_patch else k\nj = list(i)\n"
     f"return [{Q}(t) for t in i]"),
    ("changed twice on the way", "near = []\nfor b in boats:\n    if b.compute_depth() < 50:\n        near.append(b)\n"
     "n = 0\nout = []\nbox = [near]\nbox[0].append(image_patch)\nfor t in ['a', 'b']:\n    for p in near:\n"
     f"        if p.exists('flag'):\n            out.append({Q}(str(p.left)))\n            n += 1\n"
     "        out.append(p.simple_query(str(n)))\nreturn out"),
    ("made outside of the branch", f"b = ['y', 'z']\nrows = [b]\nif b:\n    w = {Q}(str(len(b)))\n"
     f"    w = {Q}(str(rows.pop()))\n"
     "return w, rows"),
    ("made again, but for what was changed", f"a = ['x']\nb = ['y', 'z']\nrows = [a, ['w']]\n"
     "rows[0] = [s + 'k' for s in b]\n"
     f"w = {Q}(str(rows[-1]))\nb.sort()\nw = {Q}(str(rows[0]))\na = max(b, a)\nreturn w, a"),
]  # fmt: skip


@pytest.mark.parametrize("body", [row[1] for row in SEEN], ids=[row[0] for row in SEEN])
def test_changes_are_seen(verifier: Verifier, body: str) -> None:
    """Changes between a start and its call, by ways that are easily overlooked."""
    check(verifier, program(body))


_SOURCES = st.sampled_from(["boats", "buoys", "same", "boats + buoys", "boats[:2]"])
_TESTS = st.sampled_from(["b.compute_depth() < 50", "b.exists('mast')", "b.simple_query(word) == 'yes'", "b.left > 20"])
_QUESTIONS = st.sampled_from(["'What?'", "word", "str(n)", "str(b.left)", "word + str(ref.left)"])
_BETWEEN = st.sampled_from([
    "near.pop()", "near = near[1:]", "near += buoys", "near.extend(buoys)", "near.reverse()",
    "near.insert(0, image_patch)",
    "same = near", "same.clear()", "near.sort(key=lambda p: p.left)",
    "near = sorted(near, key=lambda p: p.compute_depth())",
    "word = 'z'", "n += 1", "n = len(near)", "ref = near[-1]", "near[0].left = 7", "print(n)", "near = list(near)",
    "if not near:\n    return 'none'", "if len(near) > 1:\n    return 'many'", "if not boats:\n    return 'none'",
    "for p in near:\n    kept.append(p)", "for p in near:\n    near.remove(p)", "box = [near]\nbox[0].pop()",
    "word = str(1 / n)",
    "try:\n    near.remove(boats[0])\nexcept Exception:\n    n += 1", "while n < 2:\n    n += 1", "assert near",
    "ref = max(near, key=lambda p: p.left)", "kept = near", "near = kept", "if near:\n    near.append(near[0])",
    "b = ref",
])  # fmt: skip
_WALKED = st.sampled_from([
    "b in near", "i, b in enumerate(near)", "b in sorted(near, key=lambda p: p.left)", "b in reversed(near)",
    "b, w in zip(near, boats)", "b, w in zip(near, kept)", "b in same", "b in list(near)",
])  # fmt: skip
_LINES = st.sampled_from(
    ["pass", "n += 1", "word = answer", "b = image_patch", "near.append(b)", "kept.append(b)", "break"]
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A list that is filled, something between, and a loop over it."""
    lines = ["near = []", "kept = []", "same = boats", "n = 0", "word = 'w'", "ref = image_patch", "out = []"]
    lines += [f"for b in {draw(_SOURCES)}:", f"    if {draw(_TESTS)}:", "        near.append(b)"]
    lines += [f"    {draw(_LINES)}".replace("answer", "'v'")]
    for between in draw(st.lists(_BETWEEN, max_size=2)):
        lines += between.split("\n")
    lines += [f"for {draw(_WALKED)}:", f"    answer = b.simple_query({draw(_QUESTIONS)})", "    out.append(answer)"]
    lines += [f"    {draw(_LINES)}", "    if len(out) > 9:", "        break"] if draw(st.booleans()) else []
    lines += draw(_BETWEEN).split("\n")
    return program("\n".join([*lines, f"return out, [b.simple_query({draw(_QUESTIONS)}) for b in near], n, word"]))


@given(programs())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_pieces_at_random(verifier: Verifier, source: str) -> None:
    check(verifier, source)
