"""Programs that nobody wrote: made from seeds, compiled, and held against what they mean in CPython.

`make verify` does the same for 50,000 of them.  A failure prints a small program, its seed and its world;
`python -m tests.codegen.generator --seed N` shows that program as it was.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from dicem_codegen.verify import OracleTrouble, Verifier
from dicem_codegen.verify.oracle import Job

from .generator import ROWS, Generated, generate
from .generator.checking import Trouble, report, trouble_with, troubles, worlds_of
from .generator.reached import Reading
from .generator.strategy import programs

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = 2000
CHUNK = 100
LEAST = 500
"""so many of the programs reach each row"""


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


# The generator itself


def test_every_row_is_reached() -> None:
    made: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for seed in range(PROGRAMS):
        generated = generate(seed)
        found = Reading(generated.source).rows()
        assert set(generated.rows) <= found, f"seed {seed} says more than is there: {set(generated.rows) - found}"
        made.update(set(generated.rows))
        read.update(found)
    assert {row: made[row] for row in ROWS if made[row] < LEAST} == {}
    assert {row: read[row] for row in ROWS if read[row] < LEAST} == {}


def test_a_reader_that_finds_no_rows_would_be_noticed() -> None:
    assert Reading("def execute_command(image):\n    return 1\n").rows() == set()


def test_a_seed_is_a_program_in_every_process() -> None:
    code = (
        "import hashlib; from tests.codegen.generator import generate;"
        "print(hashlib.sha256(''.join(generate(s).source for s in range(40)).encode()).hexdigest())"
    )
    here = hashlib.sha256("".join(generate(seed).source for seed in range(40)).encode()).hexdigest()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def test_programs_are_neither_short_nor_long() -> None:
    counts = [generate(seed).source.count("\n") for seed in range(500)]
    assert min(counts) >= 4
    assert max(counts) <= 100
    assert len({generate(seed).source for seed in range(500)}) == 500


@pytest.mark.parametrize("seed", range(0, 60, 7))
def test_less_room_gives_a_smaller_program(seed: int) -> None:
    whole, part = generate(seed), generate(seed, size=8)
    assert part.source.count("\n") <= max(whole.source.count("\n"), 40)
    assert ast.parse(part.source)
    assert generate(seed, size=8) == part


def test_programs_run(verifier: Verifier) -> None:
    """Most complete where no call fails, nearly all ask something, and all come to an end within the limits."""
    count, completed, asked = 150, 0, 0
    for seed in range(count):
        job = Job(generate(seed).source)
        for _, seen in verifier.oracle.run([job], worlds_of(seed, 1)):
            assert not isinstance(seen, OracleTrouble), f"seed {seed}: {seen}"
            error = seen.observed[0].error
            assert error is None or error.origin in ("raise", "interpreter", "call"), f"seed {seed}: {error}"
            completed += error is None
            asked += bool(seen.observed[0].calls)
    assert completed >= 0.7 * count
    assert asked >= 0.9 * count


# The compiler


@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_a_compiled_program_means_the_same(verifier: Verifier, first: int) -> None:
    for _, trouble in troubles(verifier, map(generate, range(first, first + CHUNK))):
        if trouble is not None:
            pytest.fail(report(verifier, trouble), pytrace=False)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(generated=programs())
def test_any_compiled_program_means_the_same(verifier: Verifier, generated: Generated) -> None:
    trouble = trouble_with(verifier, generated)
    if trouble is not None:
        pytest.fail(f"{trouble.what}\n\n{generated.source}", pytrace=False)


def test_what_is_wrong_is_reported_with_a_small_program(verifier: Verifier) -> None:
    """A program that cannot be compiled stands for all trouble."""
    generated = generate(3)
    wrong = Generated(generated.source.replace("(image", "(image, more", 1) + "\nyield 1\n", generated.rows, 3, "viper")
    trouble = trouble_with(verifier, wrong)
    assert isinstance(trouble, Trouble)
    assert trouble.kind.startswith("not compiled")
    text = report(verifier, trouble)
    assert text.startswith("seed 3 (viper): not compiled")
    assert len(text) < len(wrong.source)
