"""The words of compiled programs, in both interpreters: shared calls, ahead blocks, `again`, tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typing_extensions import TypedDict

from dicem_shared.catalog import SPECS
from dicem_shared.errors import ProgramLimitError
from dicem_shared.functions import Registry, function
from dicem_shared.runner import Failed, Finished, Outcome, RunLimits, Waiting
from dicem_shared.types import Failure

from .conftest import Desk

HEAD = "import asyncio\nimport hermod\n"


class Noted(TypedDict):
    output: str


@function(pure=False)
def note(text: str) -> Noted:
    """Take something down, which is an effect."""
    return {"output": text}


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    opened = Desk(Registry([*SPECS, note]))
    yield opened
    opened.close()


def program(body: str, *, top: str = "") -> str:
    return f"{HEAD}{top}\nasync def execute_command(image):\n" + "".join(
        f"    {line}\n" for line in body.strip("\n").split("\n")
    )


def shared(body: str) -> str:
    return program("hermod.share_calls()\n" + body.strip("\n"))


def prompts(calls: Any) -> list[str]:
    return [params["prompt"] for _, params in calls]


def said(text: str) -> Outcome:
    return Outcome(result={"output": text})


def first(_asked: Any) -> int:
    return 0


def by_prompt(asked: Any) -> int:
    return min(range(len(asked)), key=lambda i: prompts(asked)[i])


FAILURE = Outcome(failure=Failure(kind="RuntimeError", message="no"))


# Shared calls


def test_equal_calls_of_a_pure_function_are_one_call(desk: Any) -> None:
    body = """
a = await hermod.call('blip2', image=image, query='q')
b = await hermod.call('blip2', query='q', image=ImagePatch(image))
c = hermod.call_sync('blip2', image=image.crop((0, 0, 500, 500)), query='q')
return [a == b == c, a is b, b is c]"""
    told = desk.both(shared(body))
    assert (told.value, len(told.calls)) == ([True, False, False], 1)
    assert len(desk.both(program(body)).calls) == 3  # off until it is asked for


def test_what_was_called_before_sharing_is_not_shared(desk: Any) -> None:
    body = """
await hermod.call('llm', prompt='a')
hermod.share_calls()
await hermod.call('llm', prompt='a')
hermod.share_calls()
await hermod.call('llm', prompt='a')"""
    assert len(desk.both(program(body)).calls) == 2


def test_each_await_has_a_copy_of_its_own_to_its_depths(desk: Any) -> None:
    body = """
jobs = [hermod.call('yolov8', image=image) for _ in range(3)]
first, second = await jobs[0], await jobs[1]
first['objects'][0]['class'] = 'mine'
first['objects'].append('more')
third, late = await jobs[2], await hermod.call('yolov8', image=image)
late['objects'].clear()
late = await hermod.call('yolov8', image=image)
return [len(first['objects']), second['objects'][0]['class'], third == second == late, await jobs[0] is first]"""
    told = desk.both(shared(body))
    assert (told.value, len(told.calls)) == ([2, "can", True, True], 1)


def test_calls_that_differ_are_their_own(desk: Any) -> None:
    body = """
for prompt in ['a', 'A', 'a ', '1']:
    await hermod.call('llm', prompt=prompt)
await hermod.call('yolov8', image=image)
await hermod.call('yolov8', image=image.crop((0, 0, 5, 5)))
await hermod.call('yolov8', image=image, classes=['x', 'y'])
await hermod.call('yolov8', image=image, classes=['y', 'x'])
await hermod.call('blip2', image=image, query='q')
await hermod.call('blip', image=image, question='q')"""
    assert len(desk.both(shared(body)).calls) == 10


def test_an_impure_function_is_called_each_time(desk: Any) -> None:
    body = """
for _ in range(3):
    await hermod.call('note', text='t')
with hermod.ahead():
    hermod.call('note', text='ahead')
    print('never')
with hermod.ahead():
    hermod.call('nothing')
    print('never')
return hermod.call_sync('note', text='t')['output']"""
    told = desk.both(shared(body), lambda name, params: {"output": params["text"]})
    assert (told.value, told.printed, len(told.calls)) == ("t", "", 4)


def test_a_joined_call_is_no_call_of_the_run(desk: Any) -> None:
    run = desk.start(shared("for _ in range(50): x = await hermod.call('llm', prompt='a')\nreturn x['output']"))
    assert [c.number for c in run.step.calls] == [1]
    assert run.resume([(1, said("A"))]) == Finished("A", "")
    assert (len(run.calls), run.pending, run.log) == (1, frozenset(), [((1, said("A")),)])


def test_a_sync_call_waits_for_the_call_that_it_joins(desk: Any) -> None:
    run = desk.start(shared("a = hermod.call('llm', prompt='a')\nb = hermod.call_sync('llm', prompt='a')\nreturn b"))
    assert (len(run.calls), run.resume([(7, said("no such call"))])) == (1, Waiting(()))
    assert run.resume([(1, said("A"))]) == Finished({"output": "A"}, "")


# Failures are never cached

TRY = """
async def ask():
    try:
        return (await hermod.call('llm', prompt='a'))['output']
    except RuntimeError as error:
        return str(error)
def ahead():
    with hermod.ahead():
        return hermod.call('llm', prompt='a')
"""


class Times:
    """Fails the first few times that it is asked, by the call's occurrence."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self, _name: str, _params: dict[str, Any]) -> Any:
        self.left -= 1
        return RuntimeError("no") if self.left >= 0 else {"output": "yes"}


@pytest.mark.parametrize(
    ("body", "failures", "value", "calls"),
    [
        ("return [await ask(), await ask(), await ask()]", 1, ["no", "yes", "yes"], 2),
        ("return [await ask(), await ask()]", 2, ["no", "no"], 2),
        ("ahead()\nreturn [await ask(), await ask()]", 1, ["no", "yes"], 2),  # taken once, then anew
        ("ahead()\nahead()\nreturn [await ask(), await ask()]", 1, ["no", "yes"], 2),
        ("try:\n    await ahead()\nexcept RuntimeError:\n    ahead()\nreturn [await ask(), await ask()]", 1,
         ["no", "yes"], 2),  # what is asked ahead again is still the first
        ("ahead()\na = await ask()\nahead()\nreturn [a, await ask(), await ask()]", 1, ["no", "yes", "yes"], 2),
        ("ahead()\na = await ask()\nahead()\nreturn [a, await ask(), await ask()]", 2, ["no", "no", "yes"], 3),
        ("ahead()\nreturn [await ask(), await ask()]", 0, ["yes", "yes"], 1),
    ],
)  # fmt: skip
def test_failures(desk: Any, body: str, failures: int, value: list[str], calls: int) -> None:
    inside = desk.sandboxed(shared(TRY + body), Times(failures))
    assert inside == desk.cpython(shared(TRY + body), Times(failures))
    assert (inside.value, len(inside.calls)) == (value, calls)


def test_a_call_that_fails_fails_for_all_that_had_joined_it(desk: Any) -> None:
    body = f"""{TRY}
jobs = [hermod.call('llm', prompt='a') for _ in range(3)]
seen = []
for job in jobs + [hermod.call('llm', prompt='a')]:
    try:
        seen.append(await job)
    except RuntimeError as error:
        seen.append(str(error))
return seen + [await ask()]"""
    told, waves = desk.waves(shared(body), first, lambda: Times(1))
    assert (told.value, [len(wave) for wave in waves]) == (["no"] * 4 + ["yes"], [1, 1])


# Ahead blocks


def test_whatever_is_raised_inside_ends_the_block_and_nothing_else(desk: Any) -> None:
    body = """
async def never():
    return 1
seen = []
for go in [lambda: 1 / 0, lambda: [][3], lambda: None.x, lambda: unknown, lambda: hermod.call('llm', wrong=1),
           lambda: hermod.call('llm', prompt=print), lambda: hermod.call('nope'), lambda: deep(0),
           lambda: hermod.call('depth', image={'blob': 'ab' * 32, 'box': [0, 0, 999, 1]}),
           lambda: ImagePatch(image).compute_depth(), lambda: hermod.resolve(99, 1), lambda: int('x'),
           lambda: hermod.again(iter([]))]:
    with hermod.ahead():
        seen.append('in')
        go()
        seen.append('after')
    seen.append('out')
def deep(n):
    return deep(n + 1)
with hermod.ahead():
    with hermod.ahead():
        raise KeyError('inner')
    hermod.call('llm', prompt='outer goes on')
for x in [1, 2]:
    with hermod.ahead():
        if x == 1:
            continue
        break
def leave():
    with hermod.ahead():
        return 'left'
return [seen.count('in'), seen.count('after'), seen.count('out'), x, leave(), await hermod.call('llm', prompt='end')]"""
    told = desk.both(shared(body))
    assert told.value == [13, 0, 13, 2, "left", {"output": "end"}]
    assert prompts(told.calls) == ["outer goes on", "end"]


def test_what_is_no_exception_passes(desk: Any) -> None:
    body = """
try:
    with hermod.ahead():
        raise SystemExit
except BaseException as error:
    caught = type(error).__name__
with hermod.ahead():
    hermod.call('llm', prompt='ahead')
return [caught, await hermod.call('llm', prompt='ahead')]"""
    told = desk.both(shared(body))
    assert (told.value[0], len(told.calls)) == ("SystemExit", 1)


@pytest.mark.parametrize(
    ("go", "message"),
    [
        ("hermod.call('note', text='t')", "hermod.ahead: only pure functions can be called"),
        ("hermod.call('nothing')", "hermod.ahead: only pure functions can be called"),
        ("hermod.call(5)", "hermod.ahead: only pure functions can be called"),
        ("hermod.call_sync('llm', prompt='p')", "hermod.ahead: a call that is waited for"),
    ],
)
def test_what_is_refused_inside(desk: Any, go: str, message: str) -> None:
    body = f"""
with hermod.ahead():
    try:
        {go}
    except RuntimeError as error:
        print(error)"""
    told = desk.both(shared(body))
    assert (told.printed, told.calls) == (message + "\n", ())


def test_without_sharing_nothing_is_started_ahead_because_nobody_would_find_it(desk: Any) -> None:
    body = """
with hermod.ahead():
    try:
        hermod.call('llm', prompt='a')
    except RuntimeError as error:
        print(error)
return await hermod.call('llm', prompt='a')"""
    told = desk.both(program(body))
    assert (told.printed, len(told.calls)) == (
        "hermod.ahead: calls are not shared, so nobody would find this one\n", 1,
    )  # fmt: skip


def test_a_failure_that_nobody_takes_is_no_failure(desk: Any) -> None:
    body = "with hermod.ahead():\n    hermod.call('llm', prompt='a')\nreturn await hermod.call('llm', prompt='b')"
    told, _ = desk.waves(shared(body), by_prompt, lambda: Times(1))
    assert told.value == {"output": "yes"}


def test_surplus_calls(desk: Any) -> None:
    body = """
with hermod.ahead():
    for p in 'abc':
        hermod.call('llm', prompt=p)
await hermod.call('llm', prompt='d')
await hermod.call('llm', prompt='b')
return 1"""
    run = desk.start(shared(body))
    assert (len(run.step.calls), run.surplus) == (4, {1, 2, 3})
    run.resume([(4, said("d"))])
    assert (run.surplus, run.pending) == ({1, 3}, {1, 2, 3})
    assert run.resume([(2, said("b"))]) == Finished(1, "")
    assert (run.surplus, run.pending) == ({1, 3}, {1, 3})


# Limits: what is asked ahead takes nothing from the program's own


def test_one_call_too_many_ahead_is_not_started(desk: Any) -> None:
    body = """
started = 0
with hermod.ahead():
    for i in range(10):
        hermod.call('llm', prompt=str(i))
        started += 1
print(started)
return [(await hermod.call('llm', prompt=str(i)))['output'] for i in range(3)]"""
    limits = RunLimits(calls=3)
    run = desk.start(shared(body), limits=limits)
    assert desk.drive(run) == Finished(["0", "1", "2"], "3\n")
    assert len(run.calls) == 3
    error = desk.error(shared(body.replace("range(3)", "range(4)")), limits=limits)
    assert (type(error), error.limit) == (ProgramLimitError, "calls")


def test_calls_ahead_that_nobody_takes_leave_the_program_all_of_its_own(desk: Any) -> None:
    body = """
with hermod.ahead():
    for i in range(10):
        hermod.call('llm', prompt='surplus ' + str(i))
for i in range({}):
    await hermod.call('llm', prompt=str(i))
return 1"""
    run = desk.start(shared(body.format(3)), limits=RunLimits(calls=3))
    assert desk.drive(run) == Finished(1, "")
    assert (len(run.calls), len(run.surplus)) == (6, 3)
    assert desk.error(shared(body.format(4)), limits=RunLimits(calls=3)).limit == "calls"


def test_taking_a_call_that_was_started_ahead_counts(desk: Any) -> None:
    body = """
await hermod.call('llm', prompt='x')
with hermod.ahead():
    hermod.call('llm', prompt='a')
await hermod.call('llm', prompt='y')
await hermod.call('llm', prompt='a')"""
    assert desk.error(shared(body), limits=RunLimits(calls=2)).limit == "calls"
    assert desk.value(shared(body), limits=RunLimits(calls=3)) is None


def test_blocks_that_ask_for_ever_are_turned_off_before_a_limit_is_reached(desk: Any) -> None:
    body = """
tried = 0
for _ in range(100):
    with hermod.ahead():
        for i in range(100):
            hermod.call('llm', prompt='a')
            tried += 1
return [tried, await hermod.call('llm', prompt='a')]"""
    assert desk.value(shared(body), limits=RunLimits(calls=5)) == [20, {"output": "a"}]


def test_handing_over_too_much_ahead_is_caught(desk: Any) -> None:
    body = """
tried = 0
for i in range(40):
    with hermod.ahead():
        tried += 1
        hermod.call('llm', prompt='x' * 900000 + str(i))
return await hermod.call('llm', prompt='a')"""
    assert desk.value(shared(body)) == {"output": "a"}


# Again


@pytest.mark.parametrize(
    "value", ["[1]", "(1,)", "'ü'", "{1}", "{1: 2}", "{1: 2}.items()", "range(3)", "{1: 2}.values()"]
)
def test_what_can_be_walked_again(desk: Any, value: str) -> None:
    assert desk.both(program(f"x = {value}\nreturn hermod.again(x) is x and list(x) == list(x)")).value is True


@pytest.mark.parametrize(
    "value", ["iter([1])", "iter('a')", "iter({1})", "iter({1: 2})", "iter(range(3))", "5", "None"]
)
def test_what_cannot(desk: Any, value: str) -> None:
    told = desk.both(program(f"hermod.again({value})"))
    assert told.error is not None
    assert told.error[0] == "TypeError"


@pytest.mark.parametrize(
    "value",
    ["zip([1], [2])", "map(str, [1])", "filter(None, [1])", "enumerate([1])", "reversed([1])", "(x for x in [1])"],
)
def test_what_is_a_list_in_the_sandbox_can_be_walked_again_there_only(desk: Any, value: str) -> None:
    body = program(
        f"x = {value}\ntry:\n    hermod.again(x)\nexcept TypeError:\n    return 'once'\nreturn len([*x, *x])"
    )
    assert (desk.sandboxed(body).value, desk.cpython(body).value) == (2, "once")


def test_iterators_of_the_programs_own(desk: Any) -> None:
    top = """
class Once:
    def __iter__(self):
        return self
    def __next__(self):
        raise StopIteration
class Again:
    def __iter__(self):
        return iter([1])
"""
    body = "x = Again()\ntry:\n    hermod.again(Once())\nexcept TypeError:\n    return hermod.again(x) is x"
    assert desk.both(program(body, top=top)).value is True


# What the host is told past `hermod`


@pytest.mark.parametrize(
    ("go", "kind"),
    [
        ("call('llm', {'prompt': 'x'}, None, '', None, None, None, True)", "RuntimeError"),  # nothing is shared
        ("call('llm', {'prompt': 'x'}, None, '', None, None, None, 1)", "fine"),
        ("call(True)", "TypeError"), ("share_calls(1)", "TypeError"), ("share_calls()", "fine"),
        ("open_door()", "fine"), ("open_door(1)", "TypeError"), ("wait_at_door()", "fine"),
        ("wait_at_door(None)", "TypeError"),
    ],
)  # fmt: skip
def test_the_host_takes_nothing_for_granted(desk: Any, go: str, kind: str) -> None:
    body = f"""
import _hermod_host
kind = 'fine'
try:
    _hermod_host.{go}
except Exception as error:
    kind = type(error).__name__
return kind"""
    assert desk.value(program(body)) == kind


@pytest.mark.parametrize("go", ["await _hermod_host.wait_at_door()", "_hermod_host.end()", "_hermod_host.end(1, 2)",
                                "_hermod_host.end(print)", "_hermod_host.end(hermod)"])  # fmt: skip
def test_the_host_ends_a_program_only_with_a_value(desk: Any, go: str) -> None:
    assert isinstance(desk.run(program(f"import _hermod_host\n{go}\nreturn 1")), Failed)
    assert desk.value(program("import _hermod_host\n_hermod_host.end([1])\nreturn 2")) == [1]


# Tags


def test_every_start_takes_what_a_call_takes(desk: Any) -> None:
    tags = "site='cloud', at='4/1', deadline_s=2.5, priority=1"
    body = f"""
p = ImagePatch(image)
p.find_start('x', {tags})
p.exists_start('y', {tags})
p.verify_property_start('x', 'red', {tags})
p.best_text_match_start(['a', 'b'], {tags})
p.simple_query_start('q', {tags})
p.llm_query_start('q', {tags})
p.compute_depth_start({tags})
VideoSegment([image]).select_answer_start({{}}, 'q', ['a'], {tags})
best_image_match_start([p, p], 'x', {tags})
llm_query_start('r', {tags})
process_guesses_start('g', 'a', 'b', {tags})
return 1"""
    run = desk.start(program(body))
    assert [c.function for c in run.calls] == [
        "glip", "glip", "xvlm", "xvlm", "blip2", "llm", "depth", "llm", "xvlm", "xvlm", "llm", "llm",
    ]  # fmt: skip
    assert {(c.site, c.at, c.deadline_s, c.priority) for c in run.calls} == {("cloud", "4/1", 2.5, 1)}


def test_a_site_that_the_function_does_not_have_is_none(desk: Any) -> None:
    body = "p = ImagePatch(image)\nfor x in ['can', 'kraken']:\n    p.find_start(x, site='edge')\nreturn 1"
    run = desk.start(program(body), vocabulary=("can",))
    assert [(c.function, c.site) for c in run.calls] == [("yolov8", "edge"), ("glip", None)]
    told = desk.sandboxed(program("hermod.call('llm', prompt='a', site='moon')"))
    assert told.error is not None
    assert told.error[0] == "ValueError"


# best_image_match, whose one line makes many calls

MATCH = """
patches = [ImagePatch(image, i, 0, i + 5, 5) for i in (0, 30, 60)]
{}
"""


@pytest.mark.parametrize(
    "arguments",
    ["patches, 'x'", "patches, ['x', 'yy'], True", "[], 'x'", "iter(patches), 'x'", "patches, iter(['x', 'y'])",
     "patches[:1] + [None] + patches, 'x'", "None, 'x'", "patches, 5", "patches, []", "patches, None"],
)  # fmt: skip
def test_best_image_match_ask_is_best_image_match(desk: Any, arguments: str) -> None:
    serial = desk.both(program(MATCH.format(f"return best_image_match({arguments})")))
    asked = desk.both(shared(MATCH.format(f"return await best_image_match_ask({arguments})")))
    unshared = desk.both(program(MATCH.format(f"return await best_image_match_ask({arguments})")))
    assert (asked.value, asked.error) == (serial.value, serial.error) == (unshared.value, unshared.error)
    assert unshared.calls == serial.calls
    assert asked.calls[: len(serial.calls)] == serial.calls


def test_best_image_match_ask_asks_at_once(desk: Any) -> None:
    run = desk.start(shared(MATCH.format("return await best_image_match_ask(patches, 'x', site='cloud', at='1')")))
    assert [(c.site, c.at) for c in run.step.calls] == [("cloud", "1")] * 3
    run.resume([(2, FAILURE)])
    assert run.resume([(1, Outcome(result={"result": True, "score": 1.0, "scores": [1.0]}))]).error.exc_type == (
        "RuntimeError"
    )
