"""From a sentence to the first answer, as a process: our own time, with a model that answers at once.

python benchmarks/ask.py            (`make bench-ask`)
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.codegen.generate.endpoint_server import ScriptedEndpoint, says  # noqa: E402

RUNS = 3
PROGRAM = (ROOT / "configs/programs/nearest_litter.py").read_text(encoding="utf-8")


def main() -> None:
    """Print seconds to the first answer and to the end, of each run."""
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; shipped recording, 5 frames"
    )
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            first, whole = ask(Path(folder))
            print(f"first answer after {first:.2f} s, done after {whole:.2f} s")


def ask(folder: Path) -> tuple[float, float]:
    """Seconds from the start of the process to its first answer, and to its end."""
    with ScriptedEndpoint([says(PROGRAM)]) as server:
        config = server.write_config(folder / "endpoint.yaml")
        command = [sys.executable, "-m", "dicem_shared.cli", "ask", "Is there litter near?", "--frames", "5"]
        began, first = time.monotonic(), 0.0
        environment = os.environ | {"DICEM_PROGRAMS": str(folder / "programs")}
        with subprocess.Popen(
            [*command, "--endpoint", str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment, cwd=ROOT,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("frame ") and not first:
                    first = time.monotonic() - began
        if process.returncode or not first:
            sys.exit("dicem ask failed: run it by hand to see why")
        return first, time.monotonic() - began


if __name__ == "__main__":
    main()
