"""`make bench-compiler` on a few programs: it runs, and what it says of few workers holds."""

from __future__ import annotations

import importlib
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
BATCH = 26
"""each GQA-shaped program once"""


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("compiler")


@pytest.fixture(scope="module")
def found(benchmark: ModuleType) -> dict[str, list[Any]]:
    """Everything but compiling, in this process."""
    done: dict[str, list[Any]] = defaultdict(list)
    for kind, do, given in benchmark.tasks(1, BATCH, 6, 1):
        done[kind].append(do(*given))
    return done


def test_the_table(benchmark: ModuleType, found: dict[str, list[Any]]) -> None:
    row = benchmark.parts.compile_time(100, repeats=1)
    assert row["lines"] == 100
    gqa = [path.read_text(encoding="utf-8") for path in sorted(benchmark.parts.FOLDERS["gqa"].glob("*.py"))]
    ordinary = benchmark.parts.compile_time(0, repeats=1, source=benchmark.parts.joined_program(gqa, 100))
    assert 80 <= ordinary["lines"] <= 100
    head = {
        "machine": "here", "seconds": benchmark.parts.SECONDS, "frames": 1, "batch": BATCH, "compile": [row, row],
        "compile_ordinary": ordinary,
    }  # fmt: skip
    text = benchmark.table(head | benchmark._gathered(found))
    for group, folder in benchmark.parts.FOLDERS.items():
        assert f"-- {group}\n" in text
        for path in folder.glob("*.py"):
            assert f"\n{path.stem} " in text
    assert "makespan at most work/P + critical path: meets it" in text
    assert "a line at 100 lines costs 1.00 times" in text


def test_dices_experiment(found: dict[str, list[Any]]) -> None:
    for setting in found["workers"]:
        assert setting["programs"] == BATCH
        assert 0 < setting["wide"] < BATCH
        for row in setting["rows"]:
            assert row["alone"] >= 0.97 * row["alone_best"]
            assert row["wide"] >= 0.97 * row["wide_best"]
            assert row["alone"] < row["wide"] < row["together"] * 1.01
            assert 0.8 * row["workers"] < row["together_work"] <= row["workers"] + 1e-9
            assert row["over_bound"] == []


def test_most_are_near_the_optimum_and_the_others_say_why(benchmark: ModuleType, found: dict[str, list[Any]]) -> None:
    rows = [row for rows in found["optimum"] for row in rows]
    ready = [row for row in rows if not row.get("why", "").startswith(benchmark.parts.LATE)]
    assert len(ready) >= 20
    assert sum("why" not in row for row in ready) >= 0.9 * len(ready)
    assert all(("why" in row) == (row["looking ahead"] > 1.05) for row in rows)
    mean = {way: math.prod(row[way] for row in ready) for way in ("looking ahead", "first come")}
    assert mean["looking ahead"] <= mean["first come"]


def test_a_line_for_who_misses_a_bar(benchmark: ModuleType, found: dict[str, list[Any]]) -> None:
    gathered = benchmark._gathered(found)
    gathered["over_path"] = {"slow": 1.5}
    case = {"program": "slow", "seed": 1, "workers": 2, "over_bound": True, "why": "because"}
    gathered["optimum"] = [case | dict.fromkeys(benchmark.POLICIES, 1.25)]
    assert "MISSES 1.02\n    slow: 1.500\n" in "\n".join(benchmark.path_lines(gathered))
    assert "MISSES it\n    slow\n" in "\n".join(benchmark.worker_lines(gathered))
    said = "MISSES 1.05 (1 over, 0 of them because calls start late)\n    slow: because (P = 2, seed 1: 1.25)"
    assert said in "\n".join(benchmark.optimum_lines(gathered))
