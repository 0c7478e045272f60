"""The oracle's graph, against graphs drawn by hand, and against the programs' own runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dicem_codegen.verify.barriers import barriers_in
from dicem_codegen.verify.naive import naive_seconds
from dicem_codegen.verify.trace import TraceError, critical_path, trace_program
from dicem_codegen.verify.trace_builtins import Machine
from dicem_codegen.verify.trace_values import Box
from dicem_codegen.verify.world import World
from dicem_shared.errors import ProgramError

from .generator import generate
from .scripted import Answers, Scripted, edges

ROOT = Path(__file__).resolve().parents[2]
GRAPHS = Path(__file__).with_name("graphs.txt")
GENERATED = 150


def program(body: str) -> str:
    """A whole program with this body; asynchronous where it awaits."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    word = "async def" if "await " in body else "def"
    return f"import asyncio\nimport hermod\n\n\n{word} execute_command(image):\n    p = ImagePatch(image)\n{lines}"


def cases() -> list[tuple[str, str, Answers, dict[str, str]]]:
    """Name, body, answers, graph; as `graphs.txt` says."""
    text = "\n".join(line for line in GRAPHS.read_text(encoding="utf-8").split("\n") if not line.startswith("#"))
    found = []
    for block in ("\n" + text).split("\n[")[1:]:
        name, _, rest = block.partition("]\n")
        head, _, graph = rest.partition("\n=>\n")
        body = "\n".join(line for line in head.split("\n") if not line.startswith("--- "))
        said = [line[4:].rpartition(" = ") for line in head.split("\n") if line.startswith("--- ")]
        wanted = {call: needs for call, _, needs in (line.partition(" <- ") for line in graph.split("\n") if line)}
        found.append((name, body, {call: answer(value) for call, _, value in said}, wanted))
    return found


def answer(text: str) -> object:
    """A literal, or `RuntimeError('text')`."""
    if text.startswith("RuntimeError("):
        return RuntimeError(ast.literal_eval(text.removeprefix("RuntimeError")))
    return ast.literal_eval(text)


CASES = cases()


@pytest.mark.parametrize(("body", "answers", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_graph(body: str, answers: Answers, wanted: dict[str, str]) -> None:
    assert edges(trace_program(program(body), Scripted(answers)).graph) == wanted


def test_every_case_is_read() -> None:
    text = GRAPHS.read_text(encoding="utf-8")
    assert len(CASES) == text.count("\n=>\n") >= 90
    assert len({name for name, *_ in CASES}) == len(CASES)


# What the graph comes to


def seconds(name: str) -> float:
    """Depths take 1, 2 and 3 seconds, questions 10, everything else 100."""
    kind, _, rest = name.partition(" ")
    return int(rest) / 100 if kind == "depth" and rest else 10.0 if kind == "ask" else 100.0


LITTER = program(
    """
patches = p.find('litter')
depths = [q.compute_depth() for q in patches]
nearest = patches[depths.index(min(depths))]
if nearest.compute_depth() < 8:
    return [nearest.simple_query('what?'), nearest.simple_query('material?')]
"""
)


def test_the_critical_path_of_the_litter_program() -> None:
    path = critical_path(LITTER, Scripted({"depth 200": 2.0}, seconds))
    assert path.seconds == 100 + 3 + 10
    assert [path.graph.nodes[number - 1].function for number in path.nodes] == ["glip", "depth", "blip2"]
    assert path.work_seconds == 100 + 1 + 2 + 3 + 10 + 10  # one depth a patch, though the closest is asked twice
    assert path.serial_seconds == path.work_seconds + 2
    assert path.barriers == frozenset()
    assert naive_seconds(path.graph) == 100 + 3 + 2 + 10


def test_equal_calls_are_one_whichever_can_be_made_first() -> None:
    body = "patches = p.find('car')\nif patches:\n    p.simple_query('a')\np.simple_query('a')"
    path = critical_path(program(body), Scripted(seconds=seconds))
    assert path.seconds == 100  # the second question waits for nothing, and its answer is that of the first
    assert path.graph.jobs[1:] == path.graph.calls[1:2]


def test_a_failed_call_is_made_again() -> None:
    body = "for n in (1, 2):\n    try:\n        p.simple_query('a')\n    except RuntimeError:\n        pass"
    path = critical_path(program(body), Scripted({"ask a": RuntimeError("no")}))
    assert [node.same_as for node in path.graph.calls] == [None, None]
    assert path.work_seconds == 2


def test_helpers_run_side_by_side_when_gathered_statement_by_statement() -> None:
    body = (
        "def both(q):\n    a = q.simple_query('a')\n    b = q.simple_query('b')\n    return a, b\n"
        "patches = p.find('car')\nreturn [both(q) for q in patches]"
    )
    graph = critical_path(program(body), Scripted(seconds=seconds)).graph
    assert graph.serial_seconds == 100 + 6 * 10
    assert naive_seconds(graph) == 100 + 10 + 10
    assert graph.run().makespan_s == 100 + 10


@pytest.mark.parametrize(("workers", "makespan"), [(1, 6.0), (2, 4.0), (3, 3.0), (None, 3.0)])
def test_on_so_many_workers(workers: int | None, makespan: float) -> None:
    body = "patches = p.find('car')\nfor q in patches:\n    q.compute_depth()\nreturn p.simple_query(str(len(patches)))"
    times = {"find car": 1.0, "depth 100": 1.0, "depth 200": 1.0, "depth 300": 1.0, "ask 3": 2.0}
    graph = critical_path(program(body), Scripted(seconds=times.__getitem__)).graph
    levels = graph.bottom_levels()
    assert graph.run(workers, lambda node: levels[node.number]).makespan_s == makespan


# What a trace is worth


@pytest.mark.parametrize("first", range(0, GENERATED, 10))
def test_generated_programs_are_traced_as_they_run(first: int) -> None:
    """`trace_program` compares calls, value, prints and error with the program's own run."""
    for seed in range(first, first + 10):
        trace = trace_program(generate(seed).source, World(seed))
        played = trace.graph.run()
        assert played.makespan_s <= trace.graph.serial_seconds + 1e-9
        for node in trace.graph.nodes:
            assert all(number < node.number for number in node.after)
            assert all(played.ended[number] <= played.ended[node.number] for number in node.after)


@pytest.mark.parametrize("name", ["litter", "litter_best"])
def test_the_programs_of_the_configs_are_traced(name: str) -> None:
    source = (ROOT / "configs" / "programs" / f"{name}.py").read_text(encoding="utf-8")
    for seed in range(5):
        assert critical_path(source, World(seed)).seconds > 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return globals()", "globals"),
        ("return ().__class__.__bases__", "__class__"),
        ("import subprocess", "subprocess"),
        ("while True:\n    pass", "statements"),
        ("while True:\n    try:\n        globals()\n    except:\n        break", "globals"),
        ("return [x async for x in p]", "async"),
        ("match p.simple_query('a'):\n    case [a, b]:\n        pass", "pattern"),
        ("return hermod.promise()", "hermod.promise"),
    ],
)
def test_what_it_does_not_follow_is_refused(body: str, said: str) -> None:
    with pytest.raises(TraceError, match=said):
        trace_program(program(body), Scripted())


def test_what_is_no_program_is_said_so() -> None:
    with pytest.raises(ProgramError, match="no entry function"):
        trace_program("x = 1\n", Scripted())
    with pytest.raises(ProgramError, match="program:1:"):
        trace_program("def execute_command(image:\n", Scripted())


def test_a_run_that_is_not_the_programs_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer that goes wrong is found out, not believed."""
    monkeypatch.setattr(Machine, "text", lambda self, parts: Box("wrong"))
    with pytest.raises(TraceError, match="its value"):
        trace_program(program("return f'{p.width}'"), Scripted())
    with pytest.raises(TraceError, match="its calls"):
        trace_program(program("return p.simple_query(f'{p.width}')"), Scripted())


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("return [q.compute_depth() for q in p.find('a')]", set()),
        ("for q in p.find('a'):\n    if q.left > 3:\n        continue\n    q.compute_depth()", set()),
        ("while p.exists('a'):\n    break", {"while", "early exit"}),
        ("for q in p.find('a'):\n    for r in q.find('b'):\n        return 1", {"early exit"}),
        ("try:\n    p.find('a')\nexcept ValueError:\n    pass", {"try"}),
        ("return any(q.exists('b') for q in p.find('a'))", {"lazy"}),
        ("p.x = 1", {"attributes"}),
        ("def f():\n    yield 1", {"generator"}),
    ],
)
def test_rows_with_a_barrier(body: str, rows: set[str]) -> None:
    assert barriers_in(program(body)) == rows
