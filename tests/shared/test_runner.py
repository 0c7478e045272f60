"""The runner: a program yields its calls, takes their results in any order, and cannot get out or go on for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_shared.catalog import catalog
from dicem_shared.errors import Overloaded, ProgramFailed, ProgramSyntaxError
from dicem_shared.program import prepare
from dicem_shared.runner import Context, Failed, Finished, Interpreter, Outcome, RunLimits, Waiting
from dicem_shared.types import Failure

HEAD = "import asyncio\nimport hermod\n"


def program(body: str) -> str:
    return HEAD + "async def execute_command(image):\n" + "".join(f"    {x}\n" for x in body.strip("\n").split("\n"))


def said(text: str) -> Outcome:
    return Outcome(result={"output": text})


def failed(kind: str, message: str) -> Outcome:
    return Outcome(failure=Failure.model_validate({"kind": kind, "message": message}))


def asks(*prompts: str) -> list[str]:
    return [f"hermod.call('llm', prompt={prompt!r})" for prompt in prompts]


# Calls, and the order of things


def test_calls_start_when_they_are_made_and_come_out_in_program_order(desk: Any) -> None:
    run = desk.start(
        program("""
a = hermod.call('llm', prompt='a')
b = hermod.call('depth', image=ImagePatch(image).crop(10, 20, 40, 60), site='edge', at='7/2', deadline_s=3, priority=0)
x = await a
c = hermod.call('llm', prompt=x['output'])
return [await b, await c]""")
    )
    assert isinstance(run.step, Waiting)
    a, b = run.step.calls
    assert (a.number, a.function, a.params, a.site, a.at, a.deadline_s, a.priority) == (
        1, "llm", {"prompt": "a"}, None, "", None, 5,
    )  # fmt: skip
    assert (b.number, b.function, b.site, b.at, b.deadline_s, b.priority) == (2, "depth", "edge", "7/2", 3.0, 0)
    assert b.params == {"image": {"blob": desk.frame.blob, "box": [10, 20, 30, 40]}}
    assert run.pending == {1, 2}
    assert run.resume([(2, Outcome(result={"depth": 1.5}))]) == Waiting(())
    (c,) = run.resume([(1, said("from a"))]).calls
    assert (c.number, c.params, run.pending) == (3, {"prompt": "from a"}, {3})
    assert run.resume([(3, said("z"))]) == Finished([{"depth": 1.5}, {"output": "z"}], "")
    assert run.calls == [a, b, c]
    assert run.pending == frozenset()


def test_a_sync_call_holds_up_the_whole_program(desk: Any) -> None:
    run = desk.start(program("a = hermod.call('llm', prompt='a')\nb = hermod.call_sync('llm', prompt='b')\nreturn b"))
    assert [c.params["prompt"] for c in run.step.calls] == ["a", "b"]
    assert run.resume([(1, said("A"))]) == Waiting(())
    assert run.resume([(2, said("B"))]) == Finished({"output": "B"}, "")


def test_results_in_one_batch_or_one_by_one(desk: Any) -> None:
    body = program("jobs = [hermod.call('llm', prompt=str(i)) for i in range(3)]\nreturn [await j for j in jobs]")
    at_once = desk.start(body)
    value = [{"output": "x"}, {"output": "y"}, {"output": "z"}]
    assert at_once.resume([(3, said("z")), (1, said("x")), (2, said("y"))]) == Finished(value, "")
    one_by_one = desk.start(body)
    for number, text in [(3, "z"), (1, "x")]:
        assert one_by_one.resume([(number, said(text))]) == Waiting(())
    assert one_by_one.resume([(2, said("y"))]) == Finished(value, "")


def test_a_second_result_of_a_call_changes_nothing(desk: Any) -> None:
    run = desk.start(
        program("a = hermod.call('llm', prompt='a')\nb = await hermod.call('llm', prompt='b')\nreturn await a")
    )
    run.resume([(1, said("first"))])
    run.resume([(1, said("second")), (1, failed("RuntimeError", "third"))])
    assert run.resume([(2, said("b"))]) == Finished({"output": "first"}, "")
    assert run.outcomes[1] == said("first")


def test_the_first_result_counts_also_while_nothing_can_be_delivered(desk: Any) -> None:
    run = desk.start(program("a = hermod.call('llm', prompt='a')\nhermod.call_sync('llm', prompt='b')\nreturn await a"))
    run.resume([(1, said("first"))])
    run.resume([(1, said("second"))])
    assert run.resume([(2, said("b"))]) == Finished({"output": "first"}, "")


def test_what_was_never_awaited_is_withdrawn(desk: Any) -> None:
    run = desk.start(program("a = hermod.call('llm', prompt='a')\nreturn await hermod.call('llm', prompt='b')"))
    assert run.resume([(2, said("B"))]) == Finished({"output": "B"}, "")
    assert run.pending == {1}
    assert run.resume([(1, said("late"))]) == Finished({"output": "B"}, "")
    assert run.outcomes[1] == said("late")


def test_a_failure_that_nobody_awaits_is_no_failure(desk: Any) -> None:
    run = desk.start(program("a = hermod.call('llm', prompt='a')\nreturn await hermod.call('llm', prompt='b')"))
    assert run.resume([(1, failed("RuntimeError", "x"))]) == Waiting(())
    assert run.resume([(2, said("B"))]) == Finished({"output": "B"}, "")


def test_a_job_may_be_awaited_again(desk: Any) -> None:
    body = """
job = hermod.call('llm', prompt='a')
first, second = await job, await job
first['mine'] = 1
other = await hermod.call('llm', prompt='a')
return [first, second, first is second, await job is first, other]"""
    told = desk.both(program(body))
    assert told.value == [{"output": "a", "mine": 1}] * 2 + [True, True, {"output": "a"}]


def test_a_failed_job_fails_at_each_await(desk: Any) -> None:
    body = """
job, seen = hermod.call('llm', prompt='a'), []
for _ in range(2):
    try:
        await job
    except RuntimeError as error:
        seen.append(str(error))
return seen"""
    assert desk.both(program(body), lambda n, p: RuntimeError("no")).value == ["no", "no"]


def test_gather(desk: Any) -> None:
    body = """
order = []
async def ask(prompt):
    result = await hermod.call('llm', prompt=prompt)
    order.append(prompt)
    return result['output'].upper()
return [await asyncio.gather(ask('a'), ask('b'), hermod.call('llm', prompt='c')), order]"""
    run = desk.start(program(body))
    assert [c.params["prompt"] for c in run.step.calls] == ["c", "a", "b"]  # a coroutine starts inside gather
    for number, text in [(3, "b"), (1, "c"), (2, "a")]:
        run.resume([(number, said(text))])
    assert run.step == Finished([["A", "B", {"output": "c"}], ["b", "a"]], "")


def test_gather_raises_the_first_failure_in_time(desk: Any) -> None:
    body = program(f"""
try:
    return await asyncio.gather({", ".join(asks("a", "b", "c"))})
except RuntimeError as error:
    return str(error)""")
    run = desk.start(body)
    run.resume([(1, said("A"))])
    run.resume([(3, failed("RuntimeError", "c failed"))])
    assert run.step == Finished("c failed", "")
    assert run.pending == {2}


IN_ORDER = program("""
names = []
first = [hermod.call('llm', prompt=str(i)) for i in range(3)]
second = []
for job in first:
    name = (await job)['output']
    names.append(name)
    print(name)
    second.append(hermod.call('llm', prompt=name + '!'))
for k, job in enumerate(second):
    try:
        names.append((await job)['output'])
    except RuntimeError as error:
        names.append('failed ' + str(error))
    if k == 1:
        names.append((await first[0])['output'])
return names""")


def replies(name: str, params: dict[str, Any]) -> Any:
    return RuntimeError(params["prompt"]) if params["prompt"] == "<1>!" else {"output": f"<{params['prompt']}>"}


@given(st.data())
@settings(max_examples=60)
def test_a_program_that_awaits_in_order_does_not_see_the_order_of_arrival(desk: Any, data: st.DataObject) -> None:
    run = desk.start(IN_ORDER)
    step = desk.drive(run, replies, lambda pending: data.draw(st.sampled_from(sorted(pending))))
    assert step == Finished(["<0>", "<1>", "<2>", "<<0>!>", "failed <1>!", "<0>", "<<2>!>"], "<0>\n<1>\n<2>\n")


def test_the_same_in_cpython(desk: Any) -> None:
    assert desk.both(IN_ORDER, replies).value[4] == "failed <1>!"


# Failures


@pytest.mark.parametrize("kind", ["RuntimeError", "TimeoutError", "ValueError"])
def test_a_failure_reaches_the_program_with_its_message(desk: Any, kind: str) -> None:
    message = "blip2: no answer\nbefore 12.5 s (ü)"
    body = program(f"""
try:
    await hermod.call('llm', prompt='a')
except {kind} as error:
    return [type(error).__name__, str(error), list(error.args)]""")
    run = desk.start(body)
    assert run.resume([(1, failed(kind, message))]) == Finished([kind, message, [message]], "")


@pytest.mark.parametrize("kind", ["RuntimeError", "TimeoutError", "ValueError"])
def test_a_failure_that_is_not_caught_ends_the_program_at_its_line(desk: Any, kind: str) -> None:
    run = desk.start(program("print('before')\nx = 1\nawait hermod.call('llm', prompt='a')\nprint('after')"))
    step = run.resume([(1, failed(kind, "site away"))])
    assert isinstance(step, Failed)
    assert isinstance(step.error, ProgramFailed)
    assert (str(step.error), step.error.exc_type, step.error.line) == (f"p:6: {kind}: site away", kind, 6)
    assert step.printed == "before\n"


@pytest.mark.parametrize(
    ("body", "exc_type", "message"),
    [
        ("return 1 / 0", "ZeroDivisionError", "p:4: ZeroDivisionError: division by zero"),
        ("return {}['a']", "KeyError", "p:4: KeyError: 'a'"),
        ("x = 1\nreturn nothing_of_that_name", "NameError",
         "p:5: NameError: name 'nothing_of_that_name' is not defined"),
        ("return ask_me(3)", "NameError", "p:4: NameError: name 'ask_me' is not defined"),
        ("raise KeyError('k')", "KeyError", "p:4: KeyError: 'k'"),
        ("raise ValueError", "ValueError", "p:4: ValueError: "),
        ("return ImagePatch(image).crop(5, 5, 5, 5)", "Exception", "p:4: Exception: ImagePatch has no area"),
        ("import numpy", "ModuleNotFoundError", "p:4: ModuleNotFoundError: No module named 'numpy'"),
        ("raise TimeoutError('time limit exceeded')", "TimeoutError", "p:4: TimeoutError: time limit exceeded"),
        ("raise RuntimeError('memory limit exceeded')", "RuntimeError", "p:4: RuntimeError: memory limit exceeded"),
    ],
)  # fmt: skip
def test_what_a_program_raises(desk: Any, body: str, exc_type: str, message: str) -> None:
    error = desk.error(program(body))
    assert type(error) is ProgramFailed
    assert (error.exc_type, str(error)) == (exc_type, message)


def test_what_the_interpreter_lacks_is_a_syntax_error_with_its_line(desk: Any) -> None:
    error = desk.error(program("x = {}\nwith open('f') as f, x:\n    pass\ndel x"))
    assert type(error) is ProgramSyntaxError
    assert str(error).startswith("p:7: the interpreter does not yet support")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'lm', prompt='x'", "no function is called 'lm'. Did you mean llm or xvlm?"),
        ("5, prompt='x'", "hermod.call: a function's name is text (got int)"),
        ("'llm'", "llm: prompt: Field required (expected llm(prompt))"),
        ("'llm', prompt=5", "llm: prompt: Input should be a valid string (expected llm(prompt), got prompt)"),
        ("'llm', prompt='x', heat=1",
         "llm: heat: Extra inputs are not permitted (expected llm(prompt), got prompt, heat)"),
        ("'depth', image='a.jpg'", None),
        ("'depth', image={'blob': 'ab' * 32, 'box': [0, 0, -1, 5]}", None),
        ("'depth', image={'blob': 'cd' * 32, 'box': [0, 0, 5, 5]}",
         "a patch of another frame. A program sees only the frame it was started for."),
        ("'depth', image={'blob': 'ab' * 32, 'box': [0, 0, 0, 5]}", "ImagePatch has no area (got box (0, 0, 0, 5))"),
        ("'depth', image={'blob': 'ab' * 32, 'box': [100, 0, 21, 5]}",
         "a patch leaves its frame (expected within 120 x 80, got (100, 0, 21, 5))"),
        ("'llm', prompt=lambda: 1", "a function cannot be passed to a function"),
        ("'llm', prompt=[KeyError('x')]", "a KeyError cannot be passed to a function"),
        ("'llm', prompt={1}", "a set cannot be passed to a function"),
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit_is_a_value_error_where_it_is_made(desk: Any, call: str, message: str | None) -> None:
    told = desk.both(program(f"try:\n    hermod.call({call})\nexcept ValueError as error:\n    return str(error)"))
    assert told.calls == ()
    assert message is None or told.value == message


@pytest.mark.parametrize(
    "option",
    ["site='moon'", "site=1", "at=5", "at=[1]", "at=image", "at='x' * 1001", "deadline_s=0", "deadline_s=-1",
     "deadline_s='3'", "deadline_s=float('nan')", "deadline_s=float('inf')", "deadline_s=image", "priority=10",
     "priority=-1", "priority=1.5", "priority=float('inf')", "priority='1'", "priority=image"],
)  # fmt: skip
def test_what_is_said_of_a_call_is_checked_as_well(desk: Any, option: str) -> None:
    error = desk.error(program(f"hermod.call('llm', prompt='x', {option})"))
    name = option.partition("=")[0]
    assert (error.exc_type, error.line) == ("ValueError", 4)
    assert str(error).startswith(f"p:4: ValueError: hermod.call: {name}: ")


# The same again


def test_the_clock_stands_still_and_random_numbers_follow_from_program_and_frame(desk: Any) -> None:
    body = """
import time, random, datetime
start = time.time()
await asyncio.sleep(1000)
time.sleep(1000)
await hermod.call('llm', prompt='x')
return [start, time.time(), time.monotonic(), str(datetime.datetime.now(datetime.timezone.utc)), random.random()]"""
    first = desk.value(program(body))
    assert first[:4] == [desk.frame.t_utc] * 3 + ["2023-11-14 22:13:20+00:00"]
    assert desk.value(program(body)) == first
    other = desk.value(program(body), frame=desk.frame.model_copy(update={"blob": "cd" * 32}))
    assert other[4] != first[4]
    assert desk.value(program(body + "  # other"))[4] != first[4]


def ids(run: Any) -> list[str]:
    return [call.id for call in run.calls]


def test_call_ids_name_a_call_of_this_program_on_this_frame_of_this_vehicle(desk: Any) -> None:
    source = program(
        f"jobs = [{', '.join(asks('a', 'b', 'a'))}, hermod.call('llm', prompt='a', at='3')]\nawait jobs[0]"
    )
    first = ids(desk.start(source))
    assert len({*first}) == 4
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in first)
    assert ids(desk.start(source)) == first
    assert ids(desk.start(source, limits=RunLimits(cpu_s=3))) == first
    others = [
        desk.start(source, vehicle="other"),
        desk.start(source + "#"),
        desk.start(source, frame=desk.frame.model_copy(update={"blob": "cd" * 32})),
        desk.start(source, frame=desk.frame.model_copy(update={"camera": "stern"})),
    ]
    for other in others:
        assert not {*ids(other)} & {*first}
    again = desk.start(source, frame=desk.frame.model_copy(update={"t_utc": 0.0, "sequence": 1}))
    assert ids(again) == first  # the frame is its pixels


# Programs made at random: jobs are started, awaited (some twice, some never), gathered and promised in any order

statements = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 3)),
        st.tuples(st.just("await"), st.integers(0, 9)),
        st.tuples(st.just("sync"), st.integers(0, 3)),
        st.tuples(st.just("gather"), st.integers(2, 3)),
        st.tuples(st.just("promise"), st.integers(0, 9)),
        st.tuples(st.just("guard"), st.integers(0, 9)),
    ),
    max_size=8,
)  # fmt: skip


def written(steps: list[tuple[str, int]]) -> str:
    lines = ["jobs, seen = [hermod.call('llm', prompt='first')], []"]
    for kind, n in steps:
        lines += {
            "start": [f"jobs.append(hermod.call('llm', prompt='s{n}'))"],
            "await": [f"seen.append(await jobs[{n} % len(jobs)])"],
            "sync": [f"seen.append(hermod.call_sync('llm', prompt='y{n}'))"],
            "gather": [
                f"seen.extend(await asyncio.gather(*[hermod.call('llm', prompt='g' + str(i)) for i in range({n})]))"
            ],
            "promise": [
                "number, promised = hermod.promise()",
                "async def give(number, job):",
                "    hermod.resolve(number, (await job)['output'])",
                "async def take(promised):",
                "    return await promised",
                f"seen.append(await asyncio.gather(take(promised), give(number, jobs[{n} % len(jobs)])))",
            ],
            "guard": [
                "try:",
                f"    seen.append(await jobs[{n} % len(jobs)])",
                "except RuntimeError as error:",
                "    print(error)",
            ],
        }[kind]
    return program("\n".join([*lines, "return seen"]))


def moody(name: str, params: dict[str, Any]) -> Any:
    return RuntimeError("s3 is away") if params["prompt"] == "s3" else {"output": params["prompt"] + "!"}


@given(statements, st.data())
@settings(max_examples=80)
def test_a_replay_of_the_log_is_the_run(desk: Any, steps: list[tuple[str, int]], data: st.DataObject) -> None:
    source = prepare(written(steps), name="p")
    run = desk.start(source)
    after: list[tuple[Any, list[str]]] = [(run.step, ids(run))]
    while isinstance(run.step, Waiting):
        batch = data.draw(st.lists(st.sampled_from(sorted(run.pending)), min_size=1, max_size=3, unique=True))
        calls = [run.calls[number - 1] for number in batch]
        answers = [moody(c.function, c.params) for c in calls]
        run.resume(
            [
                (n, failed("RuntimeError", str(a)) if isinstance(a, Exception) else Outcome(result=a))
                for n, a in zip(batch, answers, strict=True)
            ]
        )
        after.append((run.step, ids(run)))
    fresh = desk.start(source)
    for k, batch_ in enumerate(run.log):  # at every point on the way, not only at the end
        assert comparable(fresh.step) == comparable(after[k][0])
        assert ids(fresh) == after[k][1]
        fresh.resume(batch_)
    assert comparable(fresh.step) == comparable(run.step)
    assert (fresh.calls, fresh.outcomes, fresh.pending, fresh.log) == (run.calls, run.outcomes, run.pending, run.log)
    at_once = desk.start(source)
    assert comparable(at_once.replay(run.log)) == comparable(run.step)


def comparable(step: Any) -> Any:
    return (str(step.error), step.printed) if isinstance(step, Failed) else step


# Workers


def test_runs_give_their_workers_back(desk: Any) -> None:
    waiting = prepare(program("await hermod.call('llm', prompt='x')\nreturn 1"))
    with Interpreter(catalog(), max_runs=2) as interpreter:

        def start() -> Any:
            return interpreter.start(waiting, Context("boat", desk.frame))

        for _ in range(30):
            assert start().resume([(1, said("x"))]) == Finished(1, "")
        for _ in range(30):
            abandoned = start()
            abandoned.close()
            abandoned.close()
        for _ in range(10):
            assert isinstance(start().resume([(1, failed("RuntimeError", "x"))]), Failed)
        interpreter.limits = RunLimits(cpu_s=0.02)
        for body in ("while True: print(1)", "del image", "return lambda: 1", "1 / 0", "x = 'a' * 10 ** 9"):
            for _ in range(3):
                run = interpreter.start(prepare(program(body)), Context("boat", desk.frame))
                assert isinstance(run.step, Failed)
        held = [start(), start()]
        assert all(isinstance(run.step, Waiting) for run in held)


def test_one_run_too_many_is_refused(desk: Any) -> None:
    waiting = prepare(program("await hermod.call('llm', prompt='x')"))
    with Interpreter(catalog(), max_runs=1) as interpreter:
        held = interpreter.start(waiting, Context("boat", desk.frame))
        with pytest.raises(Overloaded, match="too many programs at once"):
            interpreter.start(waiting, Context("boat", desk.frame))
        held.close()
        assert isinstance(interpreter.start(waiting, Context("boat", desk.frame)).step, Waiting)


def test_runs_do_not_see_each_other(desk: Any) -> None:
    writes = program("global hermod, ImagePatch\nhermod = ImagePatch = None\nreturn 1")
    assert desk.value(writes) == 1
    assert desk.value(program("return str(ImagePatch(image))")) == "ImagePatch(0, 0, 120, 80)"
