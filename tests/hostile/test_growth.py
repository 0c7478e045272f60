"""The host's memory, in a process of its own: no program makes it grow by 50 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["memory", "text", "depth", "tampering", "sources"]
"""Those that can: the others compute, or hand over little."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory can be measured on Linux only")
def test_no_program_makes_the_host_grow() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/confinement.py", "--json", "--kinds", *KINDS],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert [row["kind"] for row in rows] == [*sorted(KINDS[:-1]), "sources", "all"]
    grown = {row["kind"]: (row["growth_mb"], row["worst"]) for row in rows}
    assert max(mb for mb, _ in grown.values()) < 50, grown
    assert grown["memory"][0] > 1, "nothing was measured"
