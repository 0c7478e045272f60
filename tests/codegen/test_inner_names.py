"""Lambdas and comprehensions have names for themselves: other names for the code around them leave these alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from dicem_codegen import compile_program
from dicem_codegen.dataflow.names import exposed_names, renamed
from dicem_codegen.verify import Verifier
from dicem_codegen.verify.world import with_effects

WORLDS = range(60)

AFTER_A_LOOP = """import hermod
async def execute_command(image):
    objects = await hermod.call('glip', image=image, object_name='chair')
    chairs = [image.crop((b['x'], b['y'], b['x'] + b['width'], b['y'] + b['height'])) for b in objects]
    sizes = [(await hermod.call('depth', image=x))['depth'] for x in chairs if x.size[0] > 5]
    for p in chairs:
        pass
    for p in sorted(chairs, key=lambda p: p.size[0]):
        pass
    return (await hermod.call('blip', image=p, question='How many?'))['answer'], sizes
"""
IN_A_COMPREHENSION = """def execute_command(image):
    p = ImagePatch(image)
    boats = p.find("boat")
    near = [p.simple_query("what?") for p in boats if min(boats, key=lambda p: p.left) is p]
    far = sorted([p for p in boats if p.left > min([p.left for p in boats])], key=lambda p: -p.left)
    return near, [p.exists("flag") for p in far], p.simple_query("all?")
"""
BESIDE_ITSELF = """def execute_command(image):
    p = ImagePatch(image)
    boats = p.find("boat")
    for b in boats:
        pass
    names = [p.simple_query("who?") for p in p.find("car") if p.left > min([p.left for p in boats] + [p.right])]
    b = max(boats, key=lambda p: p.left + (lambda b=p: b.right)()) if boats else p
    return names, [p.exists("flag") for p in [p, b]], [[b.left for b in boats] for p in boats], b.simple_query("last?")
"""


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(with_effects()) as opened:
        yield opened


@pytest.mark.parametrize("source", [AFTER_A_LOOP, IN_A_COMPREHENSION, BESIDE_ITSELF])
def test_it_means_the_same(verifier: Verifier, source: str) -> None:
    verdict = verifier.check(source, compile_program(source, with_effects()).source, WORLDS)
    assert verdict.trouble is None
    assert verdict.difference is None, str(verdict.difference)


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("min(ps, key=lambda p: p.left)", "min(ps, key=lambda p: p.left)"),
        ("min(p, key=lambda p: p.left)", "min(q, key=lambda p: p.left)"),
        ("lambda x=p: p + x", "lambda x=q: q + x"),
        ("lambda *p, **k: p", "lambda *p, **k: p"),
        ("[p for p in p if p]", "[p for p in q if p]"),
        ("[p for x in xs for p in x]", "[p for x in xs for p in x]"),
        ("{p: x for x in p}", "{q: x for x in q}"),
        ("(p for x in p for p in x)", "(p for x in q for p in x)"),
        ("[lambda: p for x in xs]", "[lambda: q for x in xs]"),
        ("p = p + 1", "q = q + 1"),
        ("for p in p: f(p)", "for q in q:\n    f(q)"),
    ],
)
def test_what_is_renamed(code: str, after: str) -> None:
    assert ast.unparse(renamed(ast.parse(code).body, {"p": "q"})[0]) == after


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("max(p, key=lambda p: p.left + a)", ["max", "p", "a"]),
        ("x = [p for p in p if q]", ["p", "q"]),
        ("x = 1\ny = [x for z in x]", []),
        ("y = [x for z in x]", ["x"]),
        ("lambda a=b: a + c", ["b", "c"]),
    ],
)
def test_what_is_read_from_around(code: str, names: list[str]) -> None:
    assert exposed_names(ast.parse(code).body) == names
