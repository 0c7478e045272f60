"""Promises: graphs that are not series-parallel, and what happens when nobody keeps one."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_shared.runner import Failed, Finished, Outcome

HEAD = "import asyncio\nimport hermod\n"


def program(body: str) -> str:
    return HEAD + "async def execute_command(image):\n" + "".join(f"    {x}\n" for x in body.strip("\n").split("\n"))


def said(text: str) -> Outcome:
    return Outcome(result={"output": text})


DIAMOND = program("""
n1, a_done = hermod.promise()
n2, b_done = hermod.promise()
async def a():
    hermod.resolve(n1, (await hermod.call('llm', prompt='A'))['output'])
async def b():
    hermod.resolve(n2, (await hermod.call('llm', prompt='B'))['output'])
async def c():
    return await hermod.call('llm', prompt='C after ' + await a_done)
async def d():
    return await hermod.call('llm', prompt='D after ' + await b_done)
results = await asyncio.gather(a(), b(), c(), d())
return [result['output'] for result in results[2:]]""")


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (2, 1, 3, 4), (1, 3, 2, 4), (2, 3, 1, 4)])
def test_graphs_that_are_not_series_parallel(desk: Any, order: tuple[int, ...]) -> None:
    run = desk.start(DIAMOND)
    assert [c.params["prompt"] for c in run.step.calls] == ["A", "B"]
    for number in order:
        assert number in run.pending  # C is asked as soon as A is there, whatever B does
        run.resume([(number, said(run.calls[number - 1].params["prompt"].lower()))])
    assert run.step == Finished(["c after a", "d after b"], "")


def test_promises_in_cpython(desk: Any) -> None:
    assert desk.both(DIAMOND).value == ["C after A", "D after B"]


def test_a_promise_keeps_what_it_was_given(desk: Any) -> None:
    body = """
number, promised = hermod.promise()
mine = [1, (2, {3}), {'p': ImagePatch(image, 0, 0, 5, 6)}]
def give():
    hermod.resolve(number, mine + [ImagePatch(image, 0, 0, 7, 8)])
give()
mine.append('later')
mine[2]['p'].mark = 'seen'
first, second = await promised, await promised
first.append('x')
return [len(second), first[1] == (2, {3}), first[2]['p'].height, first[2]['p'] is mine[2]['p'], first[2]['p'].mark,
        first[3].image.width, first[3]]"""
    told = desk.both(program(body))
    assert told.value == [5, True, 6, True, "seen", 7, {"patch": {"blob": desk.frame.blob, "box": [0, 72, 7, 8]}}]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("hermod.reject(n, KeyError('k'))\nawait p", ("KeyError", "'k'")),
        ("hermod.reject(n, ValueError())\nawait p", ("ValueError", "")),
        ("hermod.reject(n, 'no')\nawait p", ("TypeError", "hermod.reject: an exception is wanted, not a str")),
        ("hermod.resolve(n, 1)\nhermod.resolve(n, 2)", ("RuntimeError", "promise 1 is not open")),
        ("hermod.reject(n, ValueError('x'))\nhermod.resolve(n, 2)", ("RuntimeError", "promise 1 is not open")),
        ("hermod.resolve(5, 2)", ("RuntimeError", "promise 5 is not open")),
        ("hermod.resolve(n, print)", ("ValueError", "a builtin_function_or_method cannot be the value of a promise")),
        ("hermod.resolve(n, [lambda: 1])", ("ValueError", "a function cannot be the value of a promise")),
        ("await p", ("RuntimeError", "deadlock: only promises are pending")),
    ],
)
def test_what_promises_raise(desk: Any, body: str, error: tuple[str, str]) -> None:
    assert desk.both(program("n, p = hermod.promise()\n" + body)).error == error


def test_a_coroutine_belongs_to_its_interpreter(desk: Any) -> None:
    error = desk.error(program("n, p = hermod.promise()\nhermod.resolve(n, execute_command(image))"))
    assert str(error) == "p:5: ValueError: a coroutine cannot be the value of a promise"


def test_a_rejection_comes_out_of_each_await(desk: Any) -> None:
    body = """
n, p = hermod.promise()
hermod.reject(n, LookupError('gone'))
seen = []
for _ in range(2):
    try:
        await p
    except LookupError as error:
        seen.append(str(error))
return seen"""
    assert desk.both(program(body)).value == ["gone", "gone"]


def test_a_deadlock_breaks_the_oldest_promise_and_no_other(desk: Any) -> None:
    body = """
n1, p1 = hermod.promise()
n2, p2 = hermod.promise()
async def first():
    try:
        await p1
    except RuntimeError as error:
        hermod.resolve(n2, str(error))
    try:
        await p1
    except RuntimeError as error:
        return str(error)
async def second():
    return await p2
return await asyncio.gather(second(), first())"""
    assert desk.both(program(body)).value == ["deadlock: only promises are pending"] * 2


def test_a_call_under_way_is_no_deadlock(desk: Any) -> None:
    body = """
n, p = hermod.promise()
async def later():
    await hermod.call('llm', prompt='a')
    hermod.resolve(n, 'kept')
async def now():
    return await p
return (await asyncio.gather(now(), later()))[0]"""
    assert desk.both(program(body)).value == "kept"


def test_a_deadlock_behind_an_unawaited_call_shows_when_the_call_has_ended(desk: Any) -> None:
    run = desk.start(program("job = hermod.call('llm', prompt='a')\nn, p = hermod.promise()\nawait p"))
    assert run.pending == {1}
    step = run.resume([(1, said("A"))])
    assert isinstance(step, Failed)
    assert str(step.error) == "p:6: RuntimeError: deadlock: only promises are pending"
