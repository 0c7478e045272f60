"""What a program may use and what it may return: limits that cannot be caught, values that can be stored."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dicem_shared.errors import ProgramError, ProgramLimitError
from dicem_shared.runner import Failed, Finished, RunLimits

HEAD = "import asyncio\nimport hermod\n"


def program(body: str) -> str:
    return HEAD + "async def execute_command(image):\n" + "".join(f"    {x}\n" for x in body.strip("\n").split("\n"))


# Limits: each ends the run with its name, and cannot be caught

CATCH = "try:\n    {}\nexcept BaseException:\n    return 'caught'\nfinally:\n    print('finally')"


@pytest.mark.parametrize(
    ("limit", "limits", "greedy"),
    [
        ("cpu_s", RunLimits(cpu_s=0.05), "while True: pass"),
        ("cpu_s", RunLimits(cpu_s=0.05), "sum(range(10 ** 12))"),
        ("memory_mb", RunLimits(memory_mb=8), "x = [0] * 10 ** 9"),
        ("memory_mb", RunLimits(memory_mb=8), "x = 'a' * 10 ** 10"),
        ("memory_mb", RunLimits(memory_mb=8), "x = 2 ** 10 ** 9"),
        ("memory_mb", RunLimits(memory_mb=8), "x = [str(i) * 100 for i in range(10 ** 6)]"),
        ("calls", RunLimits(calls=3), "jobs = [hermod.call('llm', prompt='x') for _ in range(4)]"),
        ("calls", RunLimits(calls=3), "while True: hermod.functions()"),
        ("output_kb", RunLimits(output_kb=1), "print('é' * 600)\n    return 1"),
        ("output_kb", RunLimits(cpu_s=0.05, output_kb=1), "while True: print('a')"),
    ],
)  # fmt: skip
def test_limits(desk: Any, limit: str, limits: RunLimits, greedy: str) -> None:
    step = desk.run(program(CATCH.format(greedy)), limits=limits)
    assert isinstance(step, Failed)
    assert isinstance(step.error, ProgramLimitError), step.error
    assert step.error.limit == limit
    assert f"limits.program.{limit}" in step.error.todo
    assert "finally" not in step.printed


@pytest.mark.parametrize(
    "value", ["'é' * 600", "['a'] * 200", "{str(i): i for i in range(200)}", "{'a' * 2000: 1}", "[[1] * 10] * 20"]
)
def test_the_returned_value_is_limited_too(desk: Any, value: str) -> None:
    assert desk.value(program(f"return {value}"), limits=RunLimits(output_kb=4))
    error = desk.error(program(f"return {value}"), limits=RunLimits(output_kb=0.5))
    assert (type(error), error.limit) == (ProgramLimitError, "output_kb")


def test_recursion_is_limited_but_catchable_as_in_cpython(desk: Any) -> None:
    endless = HEAD + "def deep(n):\n    return deep(n + 1)\ndef execute_command(image):\n    return deep(0)\n"
    error = desk.error(endless)
    assert (type(error), error.limit) == (ProgramLimitError, "recursion")
    assert str(error).startswith("p:4: ")
    caught = endless.replace(
        "    return deep(0)", "    try:\n        deep(0)\n    except RecursionError:\n        return 1"
    )
    assert desk.both(caught).value == 1


def test_computing_is_counted_over_the_whole_run_and_waiting_is_not(desk: Any) -> None:
    body = program("""
for i in range(40):
    await hermod.call('llm', prompt='x')
    sum(range(20_000))
return 1""")
    assert desk.value(body) == 1
    error = desk.error(body, limits=RunLimits(cpu_s=0.005))
    assert error.limit == "cpu_s"


def test_a_value_that_holds_itself_a_million_times_costs_the_program_not_the_host(desk: Any) -> None:
    body = "x = [1]\nfor _ in range(30): x = [x, x]\n"
    limits = RunLimits(cpu_s=0.05, memory_mb=8)
    for use in ("return x", "hermod.call('llm', prompt=x)", "hermod.resolve(hermod.promise()[0], x)\nreturn 1"):
        assert isinstance(desk.error(program(body + use), limits=limits), ProgramLimitError)
    past = "import _hermod_host\n_hermod_host.call('llm', {'prompt': x}, None, None)"
    assert str(desk.error(program(body + past))).startswith("the program hands too much to its host")


def test_the_host_module_is_robust(desk: Any) -> None:
    """A program can reach it; whatever it says to it comes back as an exception of its own."""
    values = ["None", "5", "'llm'", "[]", "{}", "{'prompt': 'x'}", "{1: 2}", "float('inf')", "image", "print"]
    lines = []
    for name in ("call", "call_sync", "functions", "new_promise", "await_promise", "resolve", "reject", "other"):
        for arity in range(4):
            for arguments in itertools.islice(itertools.product(values, repeat=arity), 0, None, 7 if arity == 3 else 1):
                lines.append(f"lambda h: h.{name}({', '.join(arguments)})")
    names = f"import _hermod_host\ntries = [{', '.join(lines)}]"
    body = f"""
{names}
kinds = {{}}
for go in tries:
    try:
        go(_hermod_host)
        kind = 'fine'
    except Exception as error:
        kind = type(error).__name__
    kinds[kind] = kinds.get(kind, 0) + 1
return kinds"""
    kinds = desk.value(program(body), limits=RunLimits(calls=1000))
    assert set(kinds) == {"fine", "TypeError", "ValueError", "RuntimeError", "AttributeError"}
    assert sum(kinds.values()) == len(lines)


# What a program returns


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("None", None), ("True", True), ("-3", -3), ("2 ** 63 - 1", 2**63 - 1), ("1.5", 1.5), ("'ü'", "ü"),
        ("(1, [2, (3,)])", [1, [2, [3]]]), ("{2}", [2]), ("{'a': {1: None}}", {"a": {"1": None}}),
        ("image", {"patch": {"blob": "ab" * 32, "box": [0, 0, 120, 80]}}),
        ("[ImagePatch(image, 0, 0, 3, 4)]", [{"patch": {"blob": "ab" * 32, "box": [0, 76, 3, 4]}}]),
    ],
)  # fmt: skip
def test_values_that_can_be_stored(desk: Any, value: str, stored: Any) -> None:
    assert desk.value(program(f"return {value}")) == stored


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("lambda: 1", "a function"), ("print", "a builtin_function_or_method"), ("hermod", "a Hermod"),
        ("execute_command(image)", "a coroutine"), ("[hermod.call('llm', prompt='x')]", "a coroutine"),
        ("ValueError('x')", "a ValueError"), ("ValueError", "a type"), ("b'x'", "a bytes"),
        ("{'a': [hermod]}", "a Hermod"),
        ("VideoSegment([image])", "a VideoSegment"), ("float('nan')", "float"), ("[1e400]", "float"),
        ("2 ** 63", "int"), ("10 ** 6000", "int"), ("{10 ** 6000: 1}", "int"), ("{(1, 2): 3}", "dict"),
        ("{1: 'a', '1': 'b'}", "dict"),
        ("ImagePatch({'blob': 'cd' * 32, 'box': [0, 0, 5, 5]})", "patch of another frame"),
        ("ImagePatch({'blob': 'ab' * 32, 'box': [0, 0, 121, 5]})", "a patch leaves its frame"),
    ],
)  # fmt: skip
def test_values_that_cannot(desk: Any, value: str, got: str) -> None:
    error = desk.error(program(f"return {value}"))
    assert isinstance(error, ProgramError)
    assert got in str(error)
    assert "\n" not in str(error)


def test_nesting_of_values_is_bounded(desk: Any) -> None:
    body = "x = 1\nfor _ in range({}): x = [x]\nreturn x"
    assert desk.value(program(body.format(31)))
    assert "cannot be stored" in str(desk.error(program(body.format(40))))
    assert "cannot be stored" in str(desk.error(program("x = []\nx.append(x)\nreturn x")))


def test_a_module_returns_nothing_and_prints(desk: Any) -> None:
    body = "async def execute_query(image_filename):\n    print(await hermod.call('llm', prompt='x'))\n"
    step = desk.run(HEAD + body + "asyncio.run(execute_query('a.jpg'))\n")
    assert step == Finished(None, "{'output': 'x'}\n")


HOSTILE_TO_READ = [
    # what a host must never hash, print or count without looking first
    "big = 10 ** 6000\n    return _hermod_host.resolve(big, 1)",
    "big = 10 ** 6000\n    return _hermod_host.reject(big, 'ValueError', 'x')",
    "big = 10 ** 6000\n    return hermod.call_sync('depth', image={'blob': 'ab' * 32, 'box': [0, 0, big, 1]})",
    "image.handle = {'blob': 'ab' * 32, 'box': [0, 0, 10 ** 6000, 1]}\n    return image",
    "x = [1]\n    for _ in range(60):\n        x = [x, x]\n    return hermod.call_sync(x)",
    "x = [1]\n    for _ in range(60):\n        x = [x, x]\n    image.handle = {'blob': x, 'box': x}\n    return image",
    "class H:\n        pass\n    return {H(): 1}",
    "class H:\n        pass\n    return hermod.call_sync('llm', prompt={H()})",
    "return hermod.call_sync('llm', prompt=chr(0xD800))",
    "return chr(0xD800)",
    "return hermod.call_sync('x' * 900000)",
    "while True:\n        try: hermod.call_sync('llm', prompt='x' * 3000000)\n        except ValueError: pass",
]


@pytest.mark.parametrize("body", HOSTILE_TO_READ)
def test_what_is_hostile_to_read_ends_the_run_and_nothing_else(desk: Any, body: str) -> None:
    source = f"import hermod\nimport _hermod_host\ndef execute_command(image):\n    {body}\n"
    assert isinstance(desk.error(source), ProgramError)
