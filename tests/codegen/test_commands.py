"""`dicem compile` as people and machines use it, and everything bad that can be handed to it."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from dicem_codegen import compile_program
from dicem_codegen.commands import register
from dicem_codegen.compile import PASSES
from dicem_codegen.explain import critical_path, explain
from dicem_codegen.types import CompiledProgram
from dicem_shared.catalog import catalog, depth, llm
from dicem_shared.errors import CompileError, ConfigError
from dicem_shared.functions import Registry

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "configs" / "programs"
SAME = settings(derandomize=True, deadline=None, database=None)

# Figure 2 of DiCE-C, as printed.
ACCIDENT = """import asyncio
import hermod
from PIL import Image


async def execute_query(image_filename):
    image = Image.open(image_filename)
    # Detecting cars in the image
    cars = await hermod.call("glip", image=image, object_name="car")
    if not cars:
        print("No cars detected in the image.")
        return
    for i, car in enumerate(cars):
        # Crop the image to the bounding box of each detected car
        car_patch = image.crop((car["x"], car["y"],
                                car["x"] + car["width"],
                                car["y"] + car["height"]))
        # Query for the color of the car
        car_color = await hermod.call("blip", image=car_patch, question="What is the color of the car?")
        # Query for the model of the car
        car_model = await hermod.call("blip", image=car_patch, question="What is the model of the car?")
        # Check if the car is damaged
        car_damaged = await hermod.call("xvlm", image=car_patch, object_name="car", property="damaged")
        # Check if the car is overturned
        car_overturned = await hermod.call("xvlm", image=car_patch, object_name="car", property="overturned")
        # Compile the information
        car_info = f"Car {i+1}: Color - {car_color.get('answer', 'Unknown')}, " \\
                   f"Model - {car_model.get('answer', 'Unknown')}, " \\
                   f"Damaged - {car_damaged.get('result', False)}, " \\
                   f"Overturned - {car_overturned.get('result', False)}"
        print(car_info)

image_filename = "accident_scene.jpg"
asyncio.run(execute_query(image_filename))
"""
# The serial program of DiCE and DiCE-M.
LITTER = """def execute_command(image):
    image_patch = ImagePatch(image)
    litter_patches = image_patch.find("litter")
    if not litter_patches:
        return "No litter found in the image."
    # Find the closest piece of litter
    closest_litter_patch = min(litter_patches, key=lambda patch: patch.compute_depth())
    closest_depth = closest_litter_patch.compute_depth()
    if closest_depth < 5:
        object_name = closest_litter_patch.simple_query("What is this?")
        material = closest_litter_patch.simple_query("What material is this made of?")
        return f"Object: {object_name}, Material: {material}, Depth: {closest_depth} meters"
    else:
        return "No litter found within five meters of depth."
"""
MUFFINS = """def execute_command(image):
    image_patch = ImagePatch(image)
    muffin_patches = image_patch.find("muffin")
    kid_patches = image_patch.find("kid")
    return str(len(muffin_patches) // len(kid_patches))
"""
MODULE = """# dicem: name=top
import hermod
from PIL import Image
image = Image.open("a.jpg")
boats = await hermod.call("glip", image=image, object_name="boat")
print(len(boats))
"""
VIDEO = """def execute_command(video, possible_answers, question) -> str:
    video_segment = VideoSegment(video)
    info = {}
    for i, frame in enumerate(video_segment.frame_iterator()):
        if frame.exists("boat"):
            info[f"boat in frame {i}"] = frame.simple_query("What is the boat doing?")
    return video_segment.select_answer(info, question, possible_answers)
"""
GOOD = {"accident": ACCIDENT, "litter": LITTER, "muffins": MUFFINS, "module": MODULE, "video": VIDEO}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)  # with one command only, its name would not be wanted
    return app


def run(app: typer.Typer, *arguments: str | Path, source: str | bytes | None = None) -> Result:
    text = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, ["compile", *text], input=source, env={"COLUMNS": "200"})


def lines(result: Result) -> list[str]:
    return result.stderr.splitlines()


# Good programs


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD.keys())
def test_good_programs_compile(app: typer.Typer, source: str) -> None:
    result = run(app, "-", source=source)
    assert result.exit_code == 0, result.output
    assert result.exception is None
    assert "site=" in result.stdout
    ast.parse(result.stdout)
    assert all(re.fullmatch(r"<stdin>:\d+:\d+: (warning|note): .+", line) for line in lines(result))
    assert run(app, "-", source=source).stdout == result.stdout


@pytest.mark.parametrize("name", ["litter", "litter_best"])
def test_files_are_read_by_name(app: typer.Typer, name: str) -> None:
    path = PROGRAMS / f"{name}.py"
    result = run(app, path)
    assert result.exit_code == 0, result.output
    assert result.stdout == compile_program(path.read_text(encoding="utf-8"), name=name).source
    assert all(line.startswith(f"{path}:") for line in lines(result))


def test_directives_survive(app: typer.Typer) -> None:
    result = run(app, PROGRAMS / "litter.py")
    assert result.stdout.splitlines()[:2] == ["# dicem: name=litter", "# dicem: crop-origin=top-left"]
    again = run(app, "-", source=result.stdout)
    assert (again.exit_code, again.stdout.splitlines()[:2]) == (0, result.stdout.splitlines()[:2])


def test_into_a_file(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "out.py"
    out.write_text("old")
    result = run(app, "-", "-o", out, source=MUFFINS)
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text() == compile_program(MUFFINS).source
    assert list(tmp_path.iterdir()) == [out]


def test_a_refused_program_leaves_the_file_alone(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "out.py"
    out.write_text("old")
    assert run(app, "-", "-o", out, source="x = (").exit_code == 2
    assert (out.read_text(), list(tmp_path.iterdir())) == ("old", [out])


def test_not_over_the_program_itself(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(MUFFINS)
    (tmp_path / "link.py").symlink_to(path)
    for other in (path, tmp_path / "link.py"):
        result = run(app, path, "-o", other)
        assert isinstance(result.exception, ConfigError)
        assert "is the program itself" in str(result.exception)
    assert path.read_text() == MUFFINS


@pytest.mark.parametrize("stage", PASSES)
def test_each_pass_can_be_printed(app: typer.Typer, stage: str) -> None:
    result = run(app, "-", "--stage", stage, source=LITTER)
    assert result.exit_code == 0, result.output
    assert result.stdout == compile_program(LITTER, where="<stdin>", stages=True).stages[stage]
    assert result.stdout.endswith("\n") or stage in ("check", "parse")


def test_as_json(app: typer.Typer) -> None:
    result = run(app, "-", "--json", "--link", "satellite", source=LITTER)
    document = json.loads(result.stdout)
    assert [*document] == ["source", "calls", "plan", "diagnostics"]
    assert document["source"] == compile_program(LITTER, link="satellite").source
    assert document["plan"]["link"] == "satellite"
    assert {"number", "line", "column", "functions", "pure", "text", "placement"} <= document["calls"][0].keys()
    assert [call["number"] for call in document["calls"]] == sorted(call["number"] for call in document["calls"])
    placed = [call for call in document["calls"] if call["placement"] and call["placement"]["site"]]
    assert placed[0]["placement"]["alternatives"][0].keys() >= {"site", "latency_s", "cost_usd", "bytes_up"}


def test_refusals_as_json(app: typer.Typer) -> None:
    result = run(app, "-", "--json", source="import hermod\nhermod.call('glp')\nhermod.call('dept')")
    assert result.exit_code == 2
    said = json.loads(result.stdout)["diagnostics"]
    assert [(each["line"], each["column"], each["code"]) for each in said] == [
        (2, 13, "unknown-function"), (3, 13, "unknown-function"),
    ]  # fmt: skip
    assert len(lines(result)) == 2


def test_profiles_and_objective(app: typer.Typer) -> None:
    for arguments in (
        ("--profile", "edge=raspberry-pi-4", "--profile", "cloud=cloud-a100"),
        ("--profile", "cloud-a100", "--profile", "raspberry-pi-4"),
        ("--profile", "raspberry-pi-4"),
    ):
        result = run(app, "-", "--json", "--objective", "cost", *arguments, source=LITTER)
        plan = json.loads(result.stdout)["plan"]
        assert (plan["edge_profile"], plan["cloud_profile"]) == ("raspberry-pi-4", "cloud-a100")
        assert plan["objective"] == "cost"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--profile", "a100"), "profile a100 is not there"),
        (("--profile", "cloud-a100", "--profile", "cloud-a100"), "--profile: two for the cloud"),
        (("--profile", "edge=cloud-a100", "--profile", "jetson-nano"), "--profile: two for the edge"),
        (("--link", "5g"), "link 5g is not there"),
        (("--functions", "nothing.yaml"), "functions nothing.yaml cannot be read"),
        (("-o", "no/such/folder.py"), "no/such/folder.py cannot be written"),
    ],
)
def test_options_that_cannot_be_used(app: typer.Typer, arguments: tuple[str, ...], said: str) -> None:
    result = run(app, "-", *arguments, source=MUFFINS)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(said)


@pytest.mark.parametrize("arguments", [("--speculate", "-1"), ("--objective", "speed"), ("--stage", "link"), ("--no",)])
def test_options_out_of_bounds(app: typer.Typer, arguments: tuple[str, ...]) -> None:
    assert run(app, "-", *arguments, source=MUFFINS).exit_code == 2


def test_other_functions(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "functions.json"
    path.write_text(json.dumps([depth.resource(), llm.resource()]))
    good = "def execute_command(image_patch):\n    return llm_query('how far is far?'), image_patch.compute_depth()\n"
    assert run(app, "-", "--functions", path, source=good).exit_code == 0
    result = run(app, "-", "--functions", path, source=good.replace("compute_depth()", "simple_query('what?')"))
    assert result.exit_code == 2
    (only,) = [line for line in lines(result) if ": error: " in line]
    assert only.startswith("<stdin>:2:42: error: simple_query asks blip2, which is not among the functions")


# What it explains


def explained(source: str, *arguments: str) -> str:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    result = run(app, "-", "--explain", *arguments, source=source)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_explains() -> None:
    text = explained(MUFFINS)
    for part in (
        "dataflow: each call",
        "critical path: ",
        "left serial",
        "merged",
        "plan for low latency",
        "assumed: ",
    ):
        assert part in text
    assert 'line 3: image_patch.find("muffin")' in text.replace("'", '"')
    assert text == explained(MUFFINS)
    assert text != explained(MUFFINS, "--link", "satellite")


def test_it_explains_to_people_in_tables() -> None:
    console = Console(force_terminal=True, width=160, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    explain(compile_program(MUFFINS), console)
    text = console.export_text()
    for part in ("dataflow", "placement", "critical path", "left serial", "merged", "yolov8 edge", "glip cloud"):
        assert part in text


def test_the_critical_path_is_a_chain() -> None:
    for source in GOOD.values():
        compiled = compile_program(source)
        path = critical_path(compiled)
        after = {node.site.number: node.after for node in compiled.nodes}
        assert path
        assert all(before in after[number] for before, number in pairwise(path))


def test_no_calls_no_path() -> None:
    compiled = compile_program("def execute_command(image):\n    return 1\n")
    assert (critical_path(compiled), compiled.sites, compiled.nodes) == ((), (), ())
    assert "critical path: none" in explained("def execute_command(image):\n    return 1\n")


# Bad input: every case of the issue, and what people will try

DEEP = "[" * 130 + "]" * 130
BAD: dict[str, tuple[str | bytes, str]] = {
    "a syntax error": ("def execute_command(image)\n    return 1\n", "1:27: error: expected ':'"),
    "no entry": ("def main(image):\n    return 1\n", "1:1: error: no entry function"),
    "nothing": ("", "1:1: error: no entry function"),
    "two entries": (f"{MUFFINS}\n{MUFFINS}", "7:1: error: two entry functions"),
    "a wrong signature": ("def execute_command():\n    pass", "1:1: error: execute_command cannot be called"),
    "an unknown function": (
        ACCIDENT.replace('"blip"', '"blop"'),
        "19:39: error: no function is called 'blop'. Did you",
    ),
    "a wrong parameter": (
        ACCIDENT.replace("question=", "query="),
        "19:64: error: blip has no parameter query. Did you",
    ),
    "a missing parameter": (ACCIDENT.replace(', object_name="car")', ")", 1), "9:18: error: glip needs object_name"),
    "a value of a wrong type": (ACCIDENT.replace('"overturned"', "3"), "25:97: error: xvlm: property: Input should be"),
    "20,000 lines": ("x = 1\n" * 20_000, "3001:1: error: too long: 20,000 lines"),
    "2 MB": (b"# " + b"x" * 2_000_000, "1:1: error: too long"),
    "deep nesting": (f"def execute_command(image):\n    return {DEEP}", "2:5: error: nested more than 120 deep"),
    "very deep nesting": ("x = 1\n" + "-" * 150_000 + "1", "2:1: error: nested more than 120 deep"),
    "a sum of 5,000 terms": ("def execute_command(image):\n    return 1" + "+1" * 5000, "2:5: error: nested more than"),
    "recursion": ("def execute_command(i):\n    return execute_command(i)", "2:12: error: recursion without an end"),
    "a null byte": ("def execute_command(image):\n    return '\0'", "2:13: error: a null byte"),
    "a huge constant": (
        "def execute_command(i):\n    return 9**9**9",
        "2:12: error: a constant too large: about 154 MB",
    ),
    "a huge text": ("def execute_command(i):\n    return 'a'*10**10", "2:12: error: a constant too large"),
    "a number without end": ("x = " + "9" * 100_000, "1:1: error: a whole number of more than 4,300 digits"),
    "bytes": (b"\x93NUMPY\x01\x00v\x00", "1:1: error: not UTF-8 text"),
    "UTF-16": ("x = 1".encode("utf-16"), "1:1: error: not UTF-8 text: invalid start byte. Save it as UTF-8, not UTF"),
    "an encoding of its own": (b"# coding: rot13\nx = 1", "1:1: error: encoding rot13 is not read"),
    "orders to the terminal": ("def execute_command(i):\n    \x1b[2J", "2:5: error: invalid non-printable character"),
    "a terminal's name": ("import hermod\nhermod.call('\x1b[2J')", "2:13: error: no function is called '\\x1b[2J'"),
    "a directive": ("# dicem: crop-orign=top-left\n" + MUFFINS, "1:1: error: # dicem: crop-orign: expected"),
    "tabs and spaces": ("def f():\n\tif 1:\n        pass", "3:1: error: inconsistent use of tabs and spaces"),
    "windows": (MUFFINS.replace("\n", "\r\n").replace("(image):", "(image)"), "1:27: error: expected ':'"),
    "a lone await": ("def execute_command(i):\n    é = 1; await f()", "2:12: error: 'await' outside async"),
    "loops": ("def execute_command(i):\n    return [1" + " for x in i" * 11 + "]", "2:5: error: more than 10 loops"),
    "a long call": ("f(" + "a=1," * 5_000 + ")", "1:4003: error: more than 1000 keywords"),
    "a long list": ("x = [" + "1," * 60_000 + "]", "1:1: error: too long: 120,001 names, numbers"),
    "open brackets": ("(" * 100_000, "1:"),
    "only quotes": ("'" * 99_999, "1:"),
    "backslashes": ("x = 1" + "\\\n" * 2500, "2"),
}


@pytest.mark.parametrize(("source", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input(app: typer.Typer, tmp_path: Path, source: str | bytes, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    result = run(app, path)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert lines(result)[0].startswith(f"{path}:{said}"), lines(result)[0][:300]
    for line in lines(result):
        assert re.fullmatch(r".*/bad\.py:\d+:\d+: (error|warning|note): .+", line)
        assert line.isprintable()
        assert len(line) < 600
    assert "Traceback" not in result.output


def test_a_compiler_that_does_not_end(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicem_codegen.compile.check", lambda *_: signal.raise_signal(signal.SIGALRM))
    before = signal.getsignal(signal.SIGALRM)
    result = run(app, "-", source=MUFFINS)
    assert result.exit_code == 2
    assert lines(result) == [
        "<stdin>:1:1: error: given up: compiling took longer than 60 s. Split the program, or nest less"
    ]
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("broken", [KeyError("a\nb"), AssertionError(), RecursionError(), MemoryError()])
def test_a_compiler_that_stumbles(app: typer.Typer, monkeypatch: pytest.MonkeyPatch, broken: Exception) -> None:
    def stumble(*_: object) -> None:
        raise broken

    monkeypatch.setattr("dicem_codegen.compile.check", stumble)
    result = run(app, "-", source=MUFFINS)
    (only,) = lines(result)
    assert result.exit_code == 2
    assert re.match(r"<stdin>:1:1: error: (the compiler stumbled in its pass check: |too large or too deeply)", only)


def test_too_many_calls() -> None:
    source = "def execute_command(image_patch):\n    return [" + "image_patch.find('a'), " * 2001 + "]\n"
    with pytest.raises(CompileError, match=r"^p:2:46013: error: too long: calls in 2,001 places, at most 2,000"):
        compile_program(source, name="p")


def dicem(*arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "dicem_shared.cli", "compile", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "data", "code", "said"),
    [
        (("-",), b"x = (", 2, b"<stdin>:1:5: error: '(' was never closed\n"),
        (("-",), b"\xff", 2, b"<stdin>:1:1: error: not UTF-8 text: invalid start byte. Save it as UTF-8\n"),
        (("/no/such.py",), b"", 2, b"dicem: program /no/such.py cannot be read (got No such file or directory)\n"),
        (("/",), b"", 2, b"dicem: program / cannot be read (got Is a directory)\n"),
        (("-", "--link", "5g"), b"x", 2, b"dicem: link 5g is not there"),
    ],
)  # fmt: skip
def test_the_real_command_line(arguments: tuple[str, ...], data: bytes, code: int, said: bytes) -> None:
    done = dicem(*arguments, data=data)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(said)
    assert done.stderr.count(b"\n") == 1


def test_the_real_command_line_compiles() -> None:
    done = dicem("-", data=MUFFINS.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == compile_program(MUFFINS).source


# As a function


def test_compiling_as_a_function() -> None:
    how: dict[str, Any] = {"name": "muffins", "where": "m.py", "link": "harbour-wifi", "speculate": 0.001}
    compiled = compile_program(MUFFINS, catalog(), **how)
    assert isinstance(compiled, CompiledProgram)
    assert compiled.stages == {}
    with_stages = compile_program(MUFFINS, catalog(), **how, stages=True)
    assert tuple(with_stages.stages) == PASSES
    assert with_stages.source == compiled.source
    assert compiled.plan.link == "harbour-wifi"
    assert compiled.diagnostics == tuple(sorted(compiled.diagnostics))
    assert [site.name for site in compiled.sites] == ["find", "find"]


@pytest.mark.parametrize(
    "how", [{"objective": "speed"}, {"speculate": -1}, {"speculate": float("nan")}, {"link": "5g"}]
)
def test_arguments_out_of_bounds(how: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        compile_program(MUFFINS, **how)  # type: ignore[arg-type]


def test_no_functions_at_all() -> None:
    with pytest.raises(CompileError, match="find asks yolov8 or glip, which is not among the functions"):
        compile_program(MUFFINS, Registry())


def test_all_that_is_wrong_is_said_errors_first() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program("import numpy, hermod\nhermod.call('a')\nhermod.call('b')\n", where="p.py")
    said = caught.value.diagnostics
    assert [(each.severity, each.line) for each in said] == [("error", 2), ("error", 3), ("warning", 1)]
    assert str(caught.value) == said[0].text("p.py")


# Whatever comes: a program, or a diagnostic

PIECES = [
    "(", ")", "[", "]", "{", "}", ":", ",", ".", "=", "\n", "\n    ", "\n        ", "'", '"', "f'{", "await ", "async ",
    "for x in ", "if ", "else", "return ", "lambda: ", "yield ", "del ", "global x", "nonlocal x", "*", "**", "not ",
    "image_patch", ".find('a')", ".compute_depth()", "hermod.call('glip')", "try:", "except:", "while 1:", "class A:",
    "with ", "import os", "\0", "\t", "é", "9**9**9", "#", "\\\n", "x := ", "raise ", "break", "continue", "@",
]  # fmt: skip


def compiled_or_refused(source: str) -> None:
    try:
        compiled = compile_program(source, where="p.py")
    except CompileError as cause:
        said = cause.diagnostics
    else:
        ast.parse(compiled.source)
        said = compiled.diagnostics
    assert not [each for each in said if each.code == "internal"], said[0].text("p.py")
    assert all(each.text("p.py").isprintable() for each in said)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A good program with some pieces cut out, doubled, moved or put in."""
    source = draw(st.sampled_from(sorted(GOOD.values())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(source)))
        end = min(len(source), start + draw(st.integers(0, 40)))
        middle = draw(st.sampled_from(["", source[start:end] * 2, *PIECES]))
        source = source[:start] + middle + source[end:]
    return source


@st.composite
def shuffled(draw: st.DrawFn) -> str:
    """Lines of good programs in any order, which often still are one."""
    entry = "def execute_command(image_patch):\n"
    body = [line for line in (LITTER + VIDEO).splitlines() if line.startswith("    ")]
    return entry + "\n".join(draw(st.lists(st.sampled_from(body), min_size=1, max_size=8))) + "\n"


@settings(SAME, max_examples=200)
@given(mutations())
def test_mutated_programs(source: str) -> None:
    compiled_or_refused(source)


@settings(SAME, max_examples=150)
@given(shuffled())
def test_shuffled_programs(source: str) -> None:
    compiled_or_refused(source)


@settings(SAME, max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@example("execute_command = 1\nlambda: (yield)")
def test_rubbish(source: str) -> None:
    compiled_or_refused(source)
    compiled_or_refused(f"def execute_command(image):\n    image_patch = ImagePatch(image)\n    {source}\n")


@settings(SAME, max_examples=60)
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    result = run(app, "-", source=data)
    assert result.exit_code == 2
    assert re.match(r"<stdin>:\d+:\d+: error: ", result.stderr)
    assert "Traceback" not in result.output
