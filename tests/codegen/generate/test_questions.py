"""Twenty questions over the six functions: asked of a scripted model, checked, compiled, placed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicem_codegen.generate.checks import Bench, check_program
from dicem_codegen.generate.endpoint import Endpoint
from dicem_codegen.generate.loop import generate
from dicem_shared.catalog import catalog

from .endpoint_server import ScriptedEndpoint

FOLDER = Path(__file__).parent / "questions"
NAMES = sorted(path.name for path in FOLDER.glob("*.py"))
WORDS = ("plastic bottle", "metal can", "litter")


def question_of(name: str) -> str:
    """The comment that a program begins with."""
    first, _, _ = (FOLDER / name).read_text(encoding="utf-8").partition("\n")
    return first.removeprefix("# ")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedEndpoint]:
    pytest.importorskip("openai", reason="needs the extra [codegen]")
    programs = {question_of(name): (FOLDER / name).read_text(encoding="utf-8") for name in NAMES}
    with ScriptedEndpoint.by_question(programs) as running:
        yield running


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(catalog()) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_a_question_becomes_a_program(name: str, server: ScriptedEndpoint, bench: Bench) -> None:
    functions = bench.functions
    generated = generate(
        question_of(name), functions, Endpoint(server.config()),
        lambda source: check_program(source, functions, bench=bench, vocabulary=WORDS), vocabulary=WORDS,
    )  # fmt: skip
    assert len(generated.attempts) == 1
    assert [each.name for each in generated.checked.checks] == [
        "parse", "calls", "types", "compile", "dry-run", "same-meaning",
    ]  # fmt: skip
    compiled = generated.checked.compiled
    assert compiled is not None
    assert compiled.plan.placements, "it asks something"
    assert "site=" in compiled.source


def test_they_are_twenty_and_touch_every_function() -> None:
    assert len(NAMES) == 20
    assert len({question_of(name) for name in NAMES}) == 20
    assert all(question_of(name).endswith((".", "?")) for name in NAMES)
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in NAMES]
    asked = " ".join(texts)
    for trace in ("find(", "simple_query(", "verify_property(", "compute_depth(", "llm_query(", '"yolov8"', '"glip"',
                  '"blip"', '"xvlm"', "best_text_match(", "best_image_match(", "process_guesses(", "VideoSegment(",
                  "coerce_to_numeric(", "exists("):  # fmt: skip
        assert trace in asked
    for text in texts:
        ast.parse(text)
