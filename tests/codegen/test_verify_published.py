"""The published rewrites, which language models made, against the serial programs that they were made from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicem_codegen.verify import Verifier
from dicem_codegen.verify.compare import Kind
from dicem_shared.program import load_program

PUBLISHED = Path(__file__).parent / "published"
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "programs"
SEEDS = range(120)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


def text(name: str) -> str:
    return (PUBLISHED / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("published", "shipped"),
    [("accident_serial", "accident"), ("litter_serial", "litter_serial"), ("litter_distributed", "litter")],
)
def test_the_shipped_programs_are_the_published_ones(published: str, shipped: str) -> None:
    assert ast.dump(ast.parse(text(published))) == ast.dump(ast.parse(load_program(CONFIGS / f"{shipped}.py").source))


@pytest.mark.parametrize("name", ["accident_serial", "litter_distributed"])
def test_a_program_means_what_it_means(verifier: Verifier, name: str) -> None:
    """What the runner can run as it is."""
    assert verifier.check(text(name), text(name), range(40)).same


def accident(verifier: Verifier, seed: int, rewrite: str) -> list[Kind]:
    difference = verifier.check(text("accident_serial"), rewrite, [seed]).difference
    return [] if difference is None else [aspect.kind for aspect in difference.aspects]


def test_the_accident_rewrite_turns_exceptions_into_answers(verifier: Verifier) -> None:
    verdict = verifier.check(text("accident_serial"), text("accident_distributed"), SEEDS, keep_going=True)
    assert not verdict.same
    difference = verdict.difference
    assert difference is not None
    first = difference.aspects[0]
    assert (first.kind, first.got) == ("ending", "returns null")
    assert first.expected.startswith("raises ")
    assert difference.expected.error is not None
    assert difference.expected.error.message in difference.got.printed  # here it is, as an answer
    # Where nothing fails it is right, which is why comparing outputs by hand found nothing.
    assert 10 < verdict.differing == verdict.totals.raised < len(SEEDS) / 2
    assert verdict.totals.makespan_ratio is not None
    assert verdict.totals.makespan_ratio < 0.6


def test_the_accident_rewrite_prints_late(verifier: Verifier) -> None:
    """With the handlers taken out, exceptions stay exceptions; what was printed before them is still missing."""
    tree = ast.parse(text("accident_distributed"))

    class WithoutHandlers(ast.NodeTransformer):
        def visit_Try(self, node: ast.Try) -> list[ast.stmt]:
            self.generic_visit(node)
            return node.body

    honest = ast.unparse(WithoutHandlers().visit(tree))
    kinds = {seed: accident(verifier, seed, honest) for seed in SEEDS}
    late = [seed for seed, found in kinds.items() if found == ["printed"]]
    assert late, "no seed at which only the prints differ"
    difference = verifier.check(text("accident_serial"), honest, [late[0]]).difference
    assert difference is not None
    assert difference.expected.printed.startswith("Car 1: ")
    assert difference.got.printed == ""
    both = accident(verifier, late[0], text("accident_distributed"))
    assert both[:2] == ["ending", "printed"]  # the published one does both


def test_the_litter_rewrite_asks_something_else(verifier: Verifier) -> None:
    """It asks the detector for everything, not for litter, and words its questions otherwise."""
    verdict = verifier.check(text("litter_serial"), text("litter_distributed"), SEEDS, keep_going=True)
    assert verdict.difference is not None
    assert verdict.differing > len(SEEDS) / 2
    kinds = [aspect.kind for aspect in verdict.difference.aspects]
    assert {"missing calls", "surplus calls"} <= set(kinds)


def test_the_rewrite_by_hand_is_right(verifier: Verifier) -> None:
    best = (CONFIGS / "litter_best.py").read_text(encoding="utf-8")
    verdict = verifier.check(text("litter_serial"), best, SEEDS)
    assert verdict.same, verdict.difference
    assert verdict.totals.surplus > 0  # depths under way when an earlier one failed
    assert verdict.totals.compiled_calls < verdict.totals.calls  # the closest depth once, not twice
