"""Functions that a function defines for itself: ahead code may call them where they see the same whenever it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen import compile_program
from dicem_codegen.verify import Verifier
from dicem_codegen.verify.world import with_effects

WORLDS = range(40)
FUNCTIONS = with_effects()

HEAD = """def execute_command(image):
    patch = ImagePatch(image)
"""
TAIL = """    print(patch.simple_query("where are we?"))
    boats = [b for b in patch.find("boat") if chosen(b)]
    return [b.simple_query("name?") for b in boats]
"""
SETTLED = {
    "it sees nothing": "def chosen(p):\n    return p.width > 10",
    "a name that is bound once": "limit = 10\ndef chosen(p):\n    return p.width > limit",
    "it asks": "limit = 60\ndef chosen(p):\n    return p.compute_depth() < limit",
    "a default that never changes": "def chosen(p, by=2):\n    return p.width > 10 * by",
    "a name of its own": "limit = 10\ndef chosen(p):\n    limit = 3\n    return p.width > limit",
}
OPEN = {
    "bound again after it": "limit = 10\ndef chosen(p):\n    return p.width > limit\nlimit = 20",
    "bound after it": "def chosen(p):\n    return p.width > limit\nlimit = 20",
    "bound in a loop": "for limit in range(9):\n    pass\ndef chosen(p):\n    return p.width > limit",
    "a list that grows": "seen = []\ndef chosen(p):\n    return p.width > len(seen)\nseen.append(1)",
    "it notes what it sees": "seen = []\ndef chosen(p):\n    seen.append(p)\n    return len(seen) % 2",
    "it counts": "count = 0\ndef chosen(p):\n    nonlocal count\n    count += 1\n    return count % 2",
    "it prints": "def chosen(p):\n    print(p.width)\n    return True",
    "it may fail": "def chosen(p):\n    assert p.width > 5\n    return True",
    "one of two": "if patch.width > 100:\n    def chosen(p):\n        return p.width > 10\nelse:\n    def chosen(p):\n"
    "        return p.width > 20",
    "defined twice": "def chosen(p):\n    return p.width > 10\ndef chosen(p):\n    return p.width > 20",
    "another name for it": "def other(p):\n    return p.width > 10\nchosen = other",
    "a builtin's name": "def len(p):\n    return 3\ndef chosen(p):\n    return p.width > len(p)",
    "a default that is computed": "limit = patch.width\ndef chosen(p, by=limit / 9):\n    return p.width > by",
    "a namesake elsewhere": "limit = 10\ndef chosen(p):\n    return p.width > limit\nlist(limit for limit in [3])",
}


def program(lines: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in lines.split("\n")) + TAIL


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(FUNCTIONS) as opened:
        yield opened


@pytest.mark.parametrize("lines", [*SETTLED.values(), *OPEN.values()], ids=[*SETTLED, *OPEN])
def test_it_means_the_same(verifier: Verifier, lines: str) -> None:
    source = program(lines)
    verdict = verifier.check(source, compile_program(source, FUNCTIONS).source, WORLDS)
    assert verdict.trouble is None
    assert verdict.difference is None, str(verdict.difference)


def is_ahead(lines: str) -> bool:
    """Whether the boats are filtered before the program comes to that."""
    compiled = compile_program(program(lines), FUNCTIONS).source
    before = compiled.partition("async def execute_command")[0]
    return "chosen(" in before.replace("ahead_chosen(", "")


@pytest.mark.parametrize("lines", SETTLED.values(), ids=SETTLED.keys())
def test_what_is_settled_is_called_ahead(lines: str) -> None:
    assert is_ahead(lines)


@pytest.mark.parametrize("lines", OPEN.values(), ids=OPEN.keys())
def test_what_may_be_another_later_is_not(lines: str) -> None:
    assert not is_ahead(lines)
