"""Miscompilations planted on purpose are caught: each within the first 2,000 generated programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.verify import Verifier
from dicem_shared.errors import CompileError

from .generator import Generated, generate
from .generator.checking import compiled_form, worlds_of
from .planted import PLANTED, Planted

PROGRAMS = 2000
WORLDS = 3


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


def test_there_are_enough_of_them() -> None:
    assert len({planted.name for planted in PLANTED}) == len(PLANTED) >= 25
    assert all(planted.what for planted in PLANTED)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_mistake_is_caught(verifier: Verifier, planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    tried = 0
    for seed in (*range(planted.near, PROGRAMS), *range(planted.near)):
        generated = generate(seed)
        candidate = candidate_of(verifier, planted, generated)
        if candidate is None:
            continue
        tried += 1
        worlds = worlds_of(seed, WORLDS)
        difference = verifier.check(generated.source, candidate, worlds).difference
        if difference is not None and is_right(verifier, generated, worlds):
            kind = difference.aspects[0].kind
            with capsys.disabled():
                print(f"\n{planted.name}: {kind} differ at seed {seed}; {tried} programs had a place for it")
            return
    pytest.fail(f"{planted.what} Nobody notices, in {tried} programs.", pytrace=False)


def candidate_of(verifier: Verifier, planted: Planted, generated: Generated) -> str | None:
    """A compiled form with the mistake in it; None where the program has no place for it."""
    try:
        if planted.stage == "compiled":
            return planted.mutate(right_form(verifier, generated.source))
        changed = planted.mutate(generated.source)
        return compiled_form(verifier, changed) if changed is not None else None
    except CompileError:
        return None


_right_forms: dict[str, str] = {}


def right_form(verifier: Verifier, source: str) -> str:
    """The compiled program without a mistake; many tests want the same."""
    if source not in _right_forms:
        _right_forms[source] = compiled_form(verifier, source)
    return _right_forms[source]


def is_right(verifier: Verifier, generated: Generated, worlds: list[int]) -> bool:
    """Whether the program compiles well without the mistake: it is the mistake that was noticed."""
    try:
        return verifier.check(generated.source, right_form(verifier, generated.source), worlds).same
    except CompileError:
        return False
