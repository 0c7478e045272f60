"""`dicem verify` as people meet it, and the reducer behind it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import dicem_codegen
from dicem_codegen.types import CompiledProgram
from dicem_codegen.verify import OracleTrouble, smaller
from dicem_codegen.verify.commands import register
from dicem_shared.cli import app as dicem_app
from dicem_shared.cli import options
from dicem_shared.errors import CompileError, ConfigError, DicemError, ProgramError

PUBLISHED = Path(__file__).parent / "published"
SERIAL = """import hermod


def execute_command(image):
    p = ImagePatch(image)
    cars = p.find("car")
    names = []
    for car in cars:
        names.append(car.simple_query("What is this?"))
    metres = p.compute_depth()
    if metres < 3:
        print("near")
    return [len(cars), names]
"""
COMPILED = """import hermod


async def execute_command(image):
    p = ImagePatch(image)
    cars = p.find_finish(await p.find_start("car"))
    names = []
    for car in cars:
        names.append(car.simple_query_finish(await car.simple_query_start("What is this?")))
    metres = p.compute_depth_finish(await p.compute_depth_start())
    if metres < 3:
        print("near")
    return [len(cars), names]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "cars.py"
    path.write_text(SERIAL, encoding="utf-8")
    return path


def dicem(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(options)
    register(app)
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def rewrite(program: Path, source: str) -> Path:
    path = program.with_name("rewrite.py")
    path.write_text(source, encoding="utf-8")
    return path


def test_the_same(program: Path) -> None:
    told = dicem(program, "--candidate", rewrite(program, COMPILED), "--seeds", "20")
    assert told.exit_code == 0, told.output
    assert re.search(
        r"20 seeds, in \d+ of which the original raises\n\d+ calls, \d+ compiled, 0 of them surplus", told.stdout
    )
    assert "cars.py: the same\n" in told.stdout


def test_different(program: Path) -> None:
    worse = rewrite(program, COMPILED.replace("metres < 3", "metres <= 3"))
    told = dicem(program, "--candidate", worse, "--seeds", "60")
    assert told.exit_code == 1
    assert re.search(r"different at \d+ of 60 seeds\nseed \d+, frame \d+ x \d+, the detector knows ", told.stdout)
    assert "  printed\n    expected  ''\n    got       'near\\n'\n" in told.stdout
    assert "      10 |     metres = p.compute_depth()\n" in told.stdout
    seed = re.search(r"seed (\d+),", told.stdout)
    assert seed is not None
    again = dicem(program, "--candidate", worse, "--first-seed", seed.group(1), "--seeds", "1")
    assert again.exit_code == 1
    assert f"different at 1 of 1 seeds\nseed {seed.group(1)}," in again.stdout


def test_as_json(program: Path) -> None:
    told = dicem(
        program, "--candidate", rewrite(program, COMPILED.replace('"near"', '"far"')), "--seeds", "60", "--json"
    )
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert (document["verdict"], document["seeds"], document["trouble"]) == ("different", 60, None)
    assert 0 < document["differing"] < 60
    difference = document["difference"]
    assert difference["aspects"] == [{"kind": "printed", "expected": "'near\\n'", "got": "'far\\n'"}]
    assert difference["expected"]["printed"] == "near\n"
    assert {call["name"] for call in difference["expected"]["calls"]} <= {"glip", "yolov8", "blip2", "depth"}
    fine = json.loads(dicem(program, "--candidate", rewrite(program, COMPILED), "--seeds", "9", "--json").stdout)
    assert (fine["verdict"], fine["difference"], fine["calls"]) == ("same", None, fine["compiled_calls"])


def test_the_published_accident(program: Path) -> None:
    told = dicem(
        PUBLISHED / "accident_serial.py", "--candidate", PUBLISHED / "accident_distributed.py", "--seeds", "40"
    )
    assert told.exit_code == 1
    assert "  ending\n    expected  raises " in told.stdout
    assert "    got       returns null\n" in told.stdout


# The compiler's own


class Compiler:
    """Stands in for the compiler: what it makes of a program, and what it was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
        self.told: list[dict[str, Any]] = []
        self._make = make
        monkeypatch.setattr(dicem_codegen, "compile_program", self.compile)

    def compile(self, source: str, functions: Any, **how: Any) -> CompiledProgram:
        self.told.append(how | {"functions": functions})
        return CompiledProgram(self._make(source), (), None, (), {})  # type: ignore[arg-type]


def compiled_wrongly(source: str) -> str:
    """By hand: awaits where a method is called, and one guard turned round."""
    for name in ("find", "simple_query", "compute_depth"):
        source = re.sub(rf"(\w+)\.{name}\(([^()]*)\)", rf"\1.{name}_finish(await \1.{name}_start(\2))", source)
    return source.replace("def execute", "async def execute").replace("< 3", "> 3")


def test_a_wrong_compiler_is_shown_with_a_small_program(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    compiler = Compiler(monkeypatch, compiled_wrongly)
    told = dicem(program, "--seeds", "40", "--link", "satellite", "--speculate", "0.5")
    assert told.exit_code == 1, told.output
    assert compiler.told[0]["link"] == "satellite"
    assert compiler.told[0]["speculate"] == 0.5
    assert "log_event" in compiler.told[0]["functions"]
    shown = told.stdout.split("the program, as far as it is needed\n")[1]
    lines = [line.split(" | ")[1] for line in shown.strip("\n").split("\n")]
    assert len(lines) <= 6
    ast.parse("\n".join(lines))
    assert "    if metres < 3:" in lines
    assert "simple_query" not in shown


def test_functions_from_a_file(monkeypatch: pytest.MonkeyPatch, program: Path, tmp_path: Path) -> None:
    from dicem_shared.catalog import catalog

    listed = tmp_path / "functions.json"
    one = [spec.resource() for spec in catalog() if spec.name == "llm"]
    listed.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": one}), encoding="utf-8")
    asking = "return (await hermod.call('llm', prompt='x'))['output']"
    program.write_text(f"import hermod\nasync def execute_command(image):\n    {asking}\n", encoding="utf-8")
    compiler = Compiler(monkeypatch, lambda source: source)
    assert dicem(program, "--functions", listed, "--seeds", "5").exit_code == 0
    assert sorted(spec.name for spec in compiler.told[0]["functions"]) == ["counter", "llm", "log_event"]


def test_what_the_compiler_refuses(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    from dicem_codegen.types import Diagnostic

    def refuse(_: str) -> str:
        raise CompileError([Diagnostic(3, 4, "error", "serial", "no")], where="cars.py")

    Compiler(monkeypatch, refuse)
    told = dicem(program)
    assert isinstance(told.exception, CompileError)
    assert str(told.exception) == "cars.py:3:4: error: no"


# Bad input: one line, exit code 2, no traceback


@pytest.mark.parametrize(
    ("source", "candidate", "says"),
    [
        ("def execute_command(:\n", COMPILED, r"cars\.py:1:21: "),
        ("x = 1\n", COMPILED, r"cars\.py:1:1: no entry function"),
        (SERIAL, "x = \n", r"rewrite\.py:1:\d+: "),
        (SERIAL, "x = 1\n", r"rewrite\.py:1:1: no entry function"),
        (SERIAL, "def execute_command(image):\n    x = 1\n    global x\n", r"rewrite\.py:3:1: name 'x' is assigned"),
        ("import os\n" + SERIAL, COMPILED, r"oracle: the module os cannot be used"),
        ("def execute_command(image):\n    while 1: llm_query('x')\n", COMPILED, r"oracle: it made too many calls"),
    ],
)  # fmt: skip
def test_bad_input(program: Path, source: str, candidate: str, says: str) -> None:
    program.write_text(source, encoding="utf-8")
    told = dicem(program, "--candidate", rewrite(program, candidate), "--seeds", "3")
    assert isinstance(told.exception, DicemError), told.output
    assert re.search(says, str(told.exception)), told.exception


def test_files_that_are_not_there(program: Path) -> None:
    assert isinstance(dicem(program.with_name("none.py")).exception, ProgramError)
    assert isinstance(dicem(program, "--candidate", program.with_name("none.py")).exception, ProgramError)
    assert isinstance(dicem(program, "--functions", program.with_name("none.yaml")).exception, ConfigError)
    assert dicem(program, "--seeds", "0").exit_code == 2
    assert dicem(program, "--speculate", "-1").exit_code == 2


def test_the_real_command_line_ends_well(program: Path) -> None:
    """Through `dicem` itself: exit codes, and not a word too many."""
    worse = rewrite(program, COMPILED.replace("len(cars)", "0"))
    code = "from dicem_shared.cli import main\nmain()"

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "verify", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    different = run(program, "--candidate", worse, "--seeds", "20")
    assert (different.returncode, "Traceback" in different.stderr) == (1, False)
    program.write_text("import os\n" + SERIAL, encoding="utf-8")
    trouble = run(program, "--candidate", worse, "--seeds", "2")
    assert trouble.returncode == 2
    assert trouble.stderr.strip().split("\n")[-1].startswith("dicem: oracle: the module os")
    assert "Traceback" not in trouble.stderr


# The reducer


def test_the_reducer_keeps_what_matters() -> None:
    source = "# dicem: name=x\n# dicem: crop-origin=top-left\n# a word\n" + SERIAL
    attempts = []

    def still(candidate: str) -> bool:
        attempts.append(candidate)
        return "metres < 3" in candidate and "def execute_command" in candidate

    small = smaller(source, still)
    assert small == (
        "# dicem: name=x\n# dicem: crop-origin=top-left\n"
        "def execute_command(image):\n    if metres < 3:\n        pass\n"
    )
    assert len(attempts) < 100
    for candidate in attempts:
        ast.parse(candidate)


def test_the_reducer_gives_up() -> None:
    asked = []

    def never(candidate: str) -> bool:
        asked.append(candidate)
        return False

    assert smaller(SERIAL, never, attempts=7) == SERIAL
    assert len(asked) == 7
    assert smaller("x = 1\n", lambda _: True) == "\n"


def test_the_reducer_unwraps_blocks() -> None:
    inside = "if c:\n            try:\n                wanted()\n            finally:\n                d()\n"
    small = smaller(f"def f():\n    for a in b:\n        {inside}", lambda source: "wanted()" in source)
    assert small == "def f():\n    wanted()\n"


def test_register_adds_one_command() -> None:
    app = typer.Typer()
    register(app)
    assert [command.name for command in app.registered_commands] == ["verify"]
    assert dicem_app is not app
    assert issubclass(OracleTrouble, DicemError)
