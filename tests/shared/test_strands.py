"""Strands, which run beside a program, in both interpreters: when they ask, what nobody sees of them, how they end."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hermod
from dicem_shared.program import prepare
from dicem_shared.runner import Finished, Outcome, RunLimits

HEAD = "import asyncio\nimport hermod\n"


def program(body: str) -> str:
    return HEAD + "async def execute_command(image):\n" + "".join(f"    {x}\n" for x in body.strip("\n").split("\n"))


def shared(body: str) -> str:
    return program("hermod.share_calls()\n" + body.strip("\n"))


def prompts(calls: Any) -> list[str]:
    return [params["prompt"] for _, params in calls]


def said(text: str) -> Outcome:
    return Outcome(result={"output": text})


def by_prompt(asked: Any) -> int:
    return min(range(len(asked)), key=lambda i: prompts(asked)[i])


def test_a_strand_asks_in_the_same_step_as_the_program(desk: Any) -> None:
    body = """
async def strand(name):
    with hermod.ahead():
        job = hermod.call('llm', prompt=name)
    hermod.spawn(deeper(name))
    answer = (await job)['output']
    with hermod.ahead():
        hermod.call('llm', prompt='after ' + answer)
async def deeper(name):
    with hermod.ahead():
        hermod.call('llm', prompt=name + ' deeper')
hermod.spawn(strand('x'))
hermod.spawn(strand('y'))
first = await hermod.call('llm', prompt='main')
hermod.spawn(deeper('late'))
return [(await hermod.call('llm', prompt=p))['output'] for p in ['x', 'after x', 'x']]"""
    order = ["y", "x", "main", "after x", "x deeper", "y deeper", "after y", "late deeper"]
    told, waves = desk.waves(
        shared(body), lambda asked: min(range(len(asked)), key=lambda i: order.index(asked[i][1]["prompt"]))
    )
    assert told.value == ["x", "after x", "x"]
    assert [prompts(wave) for wave in waves] == [
        ["main", "x", "y", "x deeper", "y deeper"], ["after y"], ["after x"], ["late deeper"],
    ]  # fmt: skip


def test_nothing_that_a_strand_does_is_the_programs(desk: Any) -> None:
    body = """
async def fails(error):
    await hermod.call('llm', prompt='in a strand')
    raise error
async def asks_wrongly():
    await hermod.call('nothing')
async def leaves():
    raise SystemExit
for error in [ValueError('x'), KeyError('y'), RuntimeError()]:
    hermod.spawn(fails(error))
hermod.spawn(asks_wrongly())
hermod.spawn(leaves())
await hermod.call('llm', prompt='a')
await hermod.call('llm', prompt='in a strand')
return (await hermod.call('llm', prompt='b'))['output']"""
    assert desk.waves(shared(body), by_prompt)[0].value == "b"


ENDLESS = """
async def waits_for_nothing():
    number, promised = hermod.promise()
    await promised
async def asks(prompt):
    await hermod.call('llm', prompt=prompt)
    await promised
    print('never')
_, promised = hermod.promise()
hermod.spawn(waits_for_nothing())
hermod.spawn(asks('b'))
await hermod.call('llm', prompt='a')
hermod.spawn(asks('c'))
"""


@pytest.mark.parametrize(
    ("end", "value", "error"),
    [
        ("return 5", 5, None),
        ("return [lambda: 1]", None, ("TypeError", "the program returned a function, which cannot be stored")),
        ("raise KeyError('mine')", None, ("KeyError", "'mine'")),
        ("raise RuntimeError('hermod.run: the program has returned')", None,
         ("RuntimeError", "hermod.run: the program has returned")),
        ("(await hermod.call('llm', prompt='b'))['nothing']", None, ("KeyError", "'nothing'")),
    ],
)  # fmt: skip
def test_the_program_ends_whatever_its_strands_wait_for(desk: Any, end: str, value: Any, error: Any) -> None:
    told, _ = desk.waves(shared(ENDLESS + end), by_prompt)
    assert (told.value, told.error, told.printed) == (value, error, "")


def test_strands_that_are_left_are_dropped(desk: Any) -> None:
    run = desk.start(shared(ENDLESS + "return 5"))
    assert run.resume([(1, said("a"))]) == Finished(5, "")
    assert prompts((c.function, c.params) for c in run.calls) == ["a", "b"]  # the last strand never began
    assert run.pending == {2}
    assert run.resume([(2, said("b"))]) == Finished(5, "")


def test_errors_name_their_line_also_beside_strands(desk: Any) -> None:
    body = "async def strand():\n    pass\nhermod.spawn(strand())\nawait hermod.call('llm', prompt='a')\n1 / 0"
    assert str(desk.error(program(body))) == "p:8: ZeroDivisionError: division by zero"


def test_run_gives_and_raises_what_the_program_does(desk: Any) -> None:
    source = f"""{HEAD}
error = ValueError('mine')
async def strand():
    await hermod.call('llm', prompt='b')
async def raises():
    hermod.spawn(strand())
    await hermod.call('llm', prompt='a')
    raise error
async def returns():
    hermod.spawn(strand())
    return error
async def execute_command(image):
    try:
        await raises()
    except ValueError as caught:
        return caught
for main in (raises(), returns(), execute_command(None)):
    try:
        print(asyncio.run(hermod.run(main)) is error)
    except ValueError as caught:
        print('raised', caught is error)
"""
    assert desk.both(source).printed == "raised True\nTrue\nTrue\n"


def test_a_deadlock_of_the_program_and_its_strands(desk: Any) -> None:
    body = """
async def strand(promised):
    await promised
async def keeps(number, promised):
    try:
        await promised
    except RuntimeError as error:
        hermod.resolve(number, str(error))
_, older = hermod.promise()
number, promised = hermod.promise()
hermod.spawn({})
return await promised"""
    deadlock = "deadlock: only promises are pending"
    assert desk.both(shared(body.format("strand(older)"))).error == ("RuntimeError", deadlock)
    assert desk.both(shared(body.format("keeps(number, older)"))).value == deadlock


def test_a_strand_may_keep_the_programs_promise(desk: Any) -> None:
    body = """
async def keeps(number):
    hermod.resolve(number, (await hermod.call('llm', prompt='a'))['output'])
number, promised = hermod.promise()
hermod.spawn(keeps(number))
return await promised"""
    assert desk.both(shared(body)).value == "a"


def test_a_run_in_a_run_is_what_it_runs(desk: Any) -> None:
    body = """
async def inner():
    hermod.spawn(strand())
    return (await hermod.call('llm', prompt='a'))['output']
async def strand():
    with hermod.ahead():
        hermod.call('llm', prompt='b')
value = await hermod.run(inner())
hermod.spawn(strand())
return [value, (await hermod.call('llm', prompt='b'))['output']]"""
    told, waves = desk.waves(shared(body), by_prompt)
    assert (told.value, [prompts(wave) for wave in waves]) == (["a", "b"], [["a", "b"], []])


@pytest.mark.parametrize("given", ["5", "None", "[1]", "strand"])
def test_what_is_no_coroutine(desk: Any, given: str) -> None:
    told = desk.both(program(f"async def strand():\n    pass\nhermod.spawn({given})"))
    assert told.error is not None
    assert (told.error[0], told.error[1].split(", not a")[0]) == ("TypeError", "hermod.spawn: a coroutine is wanted")


def test_outside_a_run(desk: Any) -> None:
    source = HEAD + "async def strand():\n    pass\ndef execute_command(image):\n    hermod.spawn(strand())\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = desk.both(source)
    message = "hermod.spawn: only a program inside `await hermod.run(...)` has strands"
    assert told.error == ("RuntimeError", message)


def test_a_module_that_runs_its_own_entry(desk: Any) -> None:
    source = HEAD + (
        "async def strand():\n    await hermod.call('llm', prompt='b')\n"
        "async def execute_command(image):\n    hermod.spawn(strand())\n"
        "    return (await hermod.call('llm', prompt='a'))['output']\n"
        "print(asyncio.run(hermod.run(execute_command('x'))))\n"
    )
    assert prepare(source).form == "module"
    run = desk.start(source)
    assert len(run.step.calls) == 2
    assert run.resume([(1, said("A"))]) == Finished(None, "A\n")


def test_many_strands_in_many_steps(desk: Any) -> None:
    body = """
async def strand(i):
    with hermod.ahead():
        hermod.call('llm', prompt=str(i) + '?')
for i in range(300):
    hermod.spawn(strand(i))
    await hermod.call('llm', prompt=str(i))
    await hermod.call('llm', prompt=str(i) + '?')
return i"""
    run = desk.start(shared(body), limits=RunLimits(calls=600, recursion=50))
    assert desk.drive(run, lambda n, p: {"output": ""}) == Finished(299, "")
    assert (len(run.calls), run.surplus) == (600, frozenset())


def test_what_is_asked_ahead_uses_up_no_limit_of_the_programs_own(desk: Any) -> None:
    body = """
async def strand(i):
    with hermod.ahead():
        job = hermod.call('llm', prompt=str(i))
    await job
    with hermod.ahead():
        hermod.call('llm', prompt=str(i))
for i in range(200):
    hermod.spawn(strand(i))
    with hermod.ahead():
        hermod.call('llm', prompt=str(i))
    await hermod.call('llm', prompt=str(i))
return len([hermod.call('llm', prompt=str(i)) for i in range(200)])"""
    assert desk.value(shared(body), limits=RunLimits(calls=200)) == 200


def test_only_a_program_with_strands_is_run_with_room_for_them() -> None:
    plain = "async def execute_command(image):\n    return 1\n"
    assert prepare(plain).runnable.endswith("\n_returned(await execute_command(PILImage(_frame)))\n")
    spawning = "import hermod\n" + plain.replace("return 1", "hermod.spawn(None)")
    assert prepare(spawning).runnable.endswith("\nawait hermod.run(execute_command(PILImage(_frame)), _returned)\n")


def test_a_program_with_strands_returns_what_others_may_and_nothing_else(desk: Any) -> None:
    body = "'spawn'\nreturn {}"
    assert desk.value(program(body.format("[ImagePatch(image), (1, {2})]"))) == [{"patch": desk.handle}, [1, [2]]]
    for value in ("{hermod: 1}", "'x' * 70000", "float('nan')", "10 ** 6000", "{(1, 2): 3}"):
        assert str(desk.error(program(body.format(value)))) == str(desk.error(program(f"return {value}")))


# Random trees of strands

LETTERS = "abcdef"
letters = st.sampled_from(LETTERS)
acts: Any = st.one_of(
    st.tuples(st.sampled_from(["start", "ask", "raise"]), letters), st.tuples(st.just("spawn"), st.integers(0, 5))
)  # fmt: skip
lines: Any = st.one_of(
    st.tuples(st.sampled_from(["start", "line", "job"]), letters), st.tuples(st.just("spawn"), st.integers(0, 5))
)  # fmt: skip
STRAND = {
    "start": "    with hermod.ahead():\n        hermod.call('llm', prompt='{}')\n",
    "ask": "    with hermod.ahead():\n        job = hermod.call('llm', prompt='{}')\n    await job\n",
    "spawn": "    if depth < 3:\n        hermod.spawn(s{}(depth + 1))\n",
    "raise": "    raise ValueError('{}')\n",
}
MAIN = STRAND | {
    "spawn": "    hermod.spawn(s{}(0))\n",
    "line": "    try:\n        seen.append((await hermod.call('llm', prompt='{}'))['output'])\n"
            "    except RuntimeError as error:\n        seen.append(str(error))\n",
    "job": "    jobs.append(hermod.call('llm', prompt='{}'))\n",
}  # fmt: skip


def woven(strands: list[list[tuple[str, Any]]], main: list[tuple[str, Any]]) -> str:
    parts = [HEAD]
    for number, strand in enumerate(strands):
        parts.append(
            f"async def s{number}(depth):\n    job = None\n" + "".join(STRAND[act].format(x) for act, x in strand)
        )
    parts.append("async def execute_command(image):\n    hermod.share_calls()\n    seen, jobs = [], []\n")
    parts += [MAIN[act].format(x) for act, x in main]
    parts.append("    for job in jobs:\n        seen.append((await job)['output'])\n    return seen\n")
    return "\n".join(parts)


@settings(max_examples=150)
@given(
    st.lists(st.lists(acts, max_size=5), min_size=6, max_size=6), st.lists(lines, min_size=1, max_size=12),
    st.permutations(LETTERS), st.sets(letters, max_size=2),
)  # fmt: skip
def test_trees_of_strands_make_the_same_calls_in_both(
    desk: Any, strands: Any, main: Any, order: Any, failing: set[str]
) -> None:
    def answer(_name: str, params: dict[str, Any]) -> Any:
        return RuntimeError("no " + params["prompt"]) if params["prompt"] in failing else {"output": params["prompt"]}

    def pick(asked: Any) -> int:
        return min(range(len(asked)), key=lambda i: order.index(prompts(asked)[i]))

    told, _ = desk.waves(woven(strands, main), pick, lambda: answer)
    alone = woven([[]] * 6, [(act, x) for act, x in main if act in ("line", "job")])
    alone = desk.sandboxed(alone.replace("    hermod.share_calls()\n", ""), answer)
    assert (told.value, told.error) == (alone.value, alone.error)  # strands and blocks are never seen


# CPython: nothing is left over, and nothing is said about it


class Slow:
    """Calls that end when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def start(self, _name: str, _params: dict[str, Any], _options: dict[str, Any]) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]

    def functions(self) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def slow(caplog: Any) -> Iterator[Slow]:
    backend = Slow()
    with warnings.catch_warnings(), hermod.connect(backend), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        yield backend
    assert [r.message for r in caplog.get_records("call") if r.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("wrapped", [True, False])  # without `run`, asyncio.run ends them
def test_strands_in_cpython_end_with_the_program(slow: Slow, wrapped: bool) -> None:
    ended = []

    async def strand(fails: bool) -> None:
        try:
            if fails:
                raise ValueError("nobody's")
            await hermod.call("llm", prompt="x")
        finally:
            ended.append(fails)

    async def main() -> int:
        hermod.spawn(strand(True))
        hermod.spawn(strand(False))
        await asyncio.sleep(0)
        if wrapped:
            hermod.spawn(strand(False))  # never begins
        return 7

    assert asyncio.run(hermod.run(main()) if wrapped else main()) == 7
    assert (sorted(ended), len(slow.futures)) == ([False, True], 1)
    slow.futures[0].set_result({"output": "late"})  # the loop is closed, and nobody says so


def test_run_leaves_other_strands_alone(slow: Slow) -> None:
    seen = []

    async def strand(name: str) -> None:
        await asyncio.sleep(0.001)
        seen.append(name)

    async def main() -> None:
        hermod.spawn(strand("inner"))

    async def outer() -> None:
        hermod.spawn(strand("outer"))
        await hermod.run(main())
        await asyncio.sleep(0.01)

    asyncio.run(outer())
    assert seen == ["outer"]
