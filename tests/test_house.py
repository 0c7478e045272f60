"""The house: imports run one way, the vehicle stays light, files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "hermod": "shared/hermod",
    "dicem_shared": "shared/dicem_shared",
    "dicem_codegen": "codegen/dicem_codegen",
    "dicem_edge": "edge/dicem_edge",
    "dicem_cloud": "cloud/dicem_cloud",
    "dicem_simulators": "simulators/dicem_simulators",
}
MAY_IMPORT = {
    "hermod": set(),
    "dicem_shared": {"hermod"},
    "dicem_codegen": {"hermod", "dicem_shared"},
    "dicem_edge": {"hermod", "dicem_shared"},
    "dicem_cloud": {"hermod", "dicem_shared"},
    "dicem_simulators": {"hermod", "dicem_shared", "dicem_codegen", "dicem_edge", "dicem_cloud"},
}
HEAVY = {
    "torch",
    "transformers",
    "fastapi",
    "uvicorn",
    "starlette",
    "openai",
    "ultralytics",
    "matplotlib",
    "ray",
    "sqlalchemy",
}
MAX_LINES = 600
LONGER = {
    "codegen/dicem_codegen/lower/kinds.py": "one analysis, with a case for each kind of node",
    "codegen/dicem_codegen/lower/models.py": "one table: what each builtin and method gives",
}
"""Files that are longer, and why; up to half as long again."""


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every absolute import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("part", PARTS)
def test_imports_run_one_way(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / PARTS[part]).rglob("*.py"))
        for line, name in imports_of(path)
        if name in PARTS and name not in allowed
    ]
    assert not wrong


def test_every_package_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PARTS.values())


def test_a_vehicle_loads_nothing_heavy() -> None:
    code = (
        "import sys, dicem_edge.daemon, dicem_edge.commands, dicem_shared.cli, hermod\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_core_names_no_heavy_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    core = " ".join(project["project"]["dependencies"]).lower()
    assert not [name for name in HEAVY if name in core]


def test_files_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count}"
        for folder in (*PARTS.values(), "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (count := len(path.read_text(encoding="utf-8").splitlines()))
        > MAX_LINES * (1.5 if str(path.relative_to(ROOT)) in LONGER else 1)
    ]
    assert not long


def test_vehicle_code_is_python_310() -> None:
    for part in ("hermod", "dicem_shared", "dicem_edge"):
        for path in sorted((ROOT / PARTS[part]).rglob("*.py")):
            ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 10))
