"""Few workers: the bounds, the optimum against trying everything, and what goes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_codegen import compile_program
from dicem_codegen.ranking import Workers, best_start, first_come, longest_way, looking_ahead, ways_to_the_end
from dicem_codegen.schedule import MAX_JOBS, list_schedule, optimum, policy_schedule
from dicem_codegen.verify.batch import Entry, run_batch
from dicem_codegen.verify.drive import LIMITS
from dicem_codegen.verify.trace_graph import Graph, Node
from dicem_codegen.verify.world import with_effects
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter, ProgramCall

from .scripted import Scripted, name_of

FUNCTIONS = with_effects()


def graph(*jobs: tuple[float, tuple[int, ...]], same: dict[int, int] | None = None) -> Graph:
    """Calls numbered from 1: seconds, and what each waits for.  `same`: which are an earlier one."""
    return Graph(
        tuple(
            Node(number, "call", "f", {}, data=after, seconds=seconds, same_as=(same or {}).get(number))
            for number, (seconds, after) in enumerate(jobs, 1)
        )
    )


@st.composite
def graphs(draw: st.DrawFn, most: int = 6) -> Graph:
    jobs = []
    for number in range(1, draw(st.integers(1, most)) + 1):
        after = draw(st.sets(st.integers(1, number - 1), max_size=2)) if number > 1 else set()
        jobs.append((float(draw(st.integers(1, 5))), tuple(sorted(after))))
    return graph(*jobs)


def tried(of: Graph, workers: int) -> float:
    """The best of all orders in which calls can be placed one after the other, each as early as it can be."""
    best = float("inf")
    for order in permutations(of.nodes):
        ends: dict[int, float] = {}
        free = [0.0] * workers
        for node in order:
            if not node.after <= ends.keys():
                break
            worker = free.index(min(free))
            start = max([free[worker], *(ends[number] for number in node.after)])
            free[worker] = ends[node.number] = start + node.seconds
        else:
            best = min(best, max(ends.values()))
    return best


# The graph on few workers


@settings(max_examples=150, derandomize=True, deadline=None)
@given(graphs(most=12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_order_breaks_the_bounds(of: Graph, workers: int, chance: Any) -> None:
    path, work = of.run().makespan_s, of.work_seconds
    priorities = {node.number: chance.random() for node in of.nodes}
    for played in (of.run(workers), list_schedule(of, workers), of.run(workers, lambda n: priorities[n.number])):
        assert max(path, work / workers) <= played.makespan_s + 1e-9
        assert played.makespan_s <= work / workers + path + 1e-9
        starts = sorted(played.started.values())
        busy = [sum(s <= t < s + of.nodes[n - 1].seconds for n, s in played.started.items()) for t in starts]
        assert max(busy) <= workers


@settings(max_examples=120, derandomize=True, deadline=None)
@given(graphs(), st.integers(1, 3))
def test_the_optimum_is_that_of_trying_everything(of: Graph, workers: int) -> None:
    assert optimum(of, workers) == pytest.approx(tried(of, workers))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(graphs(most=5), st.integers(1, 3))
def test_the_optimum_without_an_idle_worker_is_that_of_trying_all_lists(of: Graph, workers: int) -> None:
    def listed(order: Sequence[int]) -> float:
        return of.run(workers, lambda node: order[node.number - 1]).makespan_s

    best = min(map(listed, permutations(range(len(of.nodes)))))
    assert optimum(of, workers, idle=False) == pytest.approx(best)
    assert optimum(of, workers) <= best + 1e-9


def test_it_can_pay_to_leave_a_worker_idle() -> None:
    """Two long calls are about to wait, and what could start now would be in the way of one of them."""
    jobs = graph((1, ()), (9, (1,)), (9, (1,)), (4, ()), (4, ()))
    assert optimum(jobs, 3) == 10
    assert optimum(jobs, 3, idle=False) == 13


def test_the_longest_first_is_not_always_the_best() -> None:
    jobs = graph((3, ()), (3, ()), (2, ()), (2, ()), (2, ()))
    assert list_schedule(jobs, 2).makespan_s == 7
    assert optimum(jobs, 2) == 6


def test_the_order_of_the_program_can_cost_a_half() -> None:
    jobs = graph((1, ()), (1, ()), (2, ()))
    assert jobs.run(2).makespan_s == 3
    assert list_schedule(jobs, 2).makespan_s == optimum(jobs, 2) == 2


def test_equal_calls_are_carried_out_once_and_as_soon_as_one_of_them_can_be() -> None:
    jobs = graph((5, ()), (2, (1,)), (2, ()), (1, (3,)), same={3: 2})
    assert jobs.work_seconds == 8
    assert jobs.run().started == {1: 0.0, 2: 0.0, 4: 2.0}
    assert jobs.run(1).makespan_s == optimum(jobs, 1) == 8
    assert jobs.run(2).makespan_s == optimum(jobs, 2) == 5


def test_prints_take_no_worker() -> None:
    nodes = (Node(1, "print", "print", {"text": "a"}), *graph((1, ()), (1, (1,))).nodes[1:])
    assert Graph(nodes).run(1).makespan_s == 1


def test_nothing_to_do() -> None:
    assert Graph(()).run(1).makespan_s == optimum(Graph(()), 1) == Graph(()).work_seconds == 0


def test_what_cannot_be_tried_is_refused() -> None:
    with pytest.raises(ValueError, match="14 calls"):
        optimum(graph(*[(1.0, ())] * (MAX_JOBS + 1)), 2)
    with pytest.raises(ValueError, match="a worker"):
        optimum(graph((1.0, ())), 0)


def test_equal_calls_to_choose_from_do_not_take_for_ever() -> None:
    """Without what the search leaves out, these are 14! orders."""
    assert optimum(graph(*[(1.0, ())] * MAX_JOBS), 3) == 5


# What goes first


def call(number: int, function: str, priority: int = 5, **params: Any) -> ProgramCall:
    return ProgramCall(number=number, id=str(number), function=function, params=params, priority=priority)


SECONDS = {"glip": 4.0, "yolov8": 1.0, "xvlm": 2.0, "blip2": 6.0, "depth": 3.0}
RANKED = """
def describe(patch):
    if patch.verify_property("thing", "inner"):
        return patch.simple_query("inner?")


def execute_command(image):
    p = ImagePatch(image)
    last = p.simple_query("last?")
    for patch in p.find("car"):
        if patch.verify_property("car", "red"):
            patch.simple_query("what?")
    what = describe(p)
    if what:
        return p.compute_depth()
    return last
"""


def ways(source: str) -> dict[tuple[str, ...], float]:
    found = ways_to_the_end(source, compile_program(source, FUNCTIONS), SECONDS)
    return {(way.function, *sorted(way.texts)): way.seconds for way in found}


def test_the_way_to_the_end() -> None:
    assert ways(RANKED) == {
        ("blip2", "last?"): 6,
        ("glip", "car"): 4 + 2 + 6,
        ("yolov8", "car"): 1 + 2 + 6,
        ("xvlm", "car", "red"): 2 + 6,
        ("blip2", "what?"): 6,
        ("xvlm", "inner", "thing"): 2 + 6 + 3,
        ("blip2", "inner?"): 6 + 3,  # what the helper's caller does with it is behind it
        ("depth",): 3,
    }


def test_functions_that_nobody_knows_take_what_others_take() -> None:
    found = ways_to_the_end(RANKED, compile_program(RANKED, FUNCTIONS), {"glip": 2.0, "xvlm": 4.0})
    assert next(way.seconds for way in found if way.function == "depth") == 3
    nothing = "def execute_command(image):\n    return 1\n"
    assert ways_to_the_end(nothing, compile_program(nothing, FUNCTIONS), SECONDS) == []


def test_who_goes_first() -> None:
    longest = longest_way(RANKED, compile_program(RANKED, FUNCTIONS), SECONDS)

    def policy(queue: list[ProgramCall]) -> ProgramCall:
        return longest(queue, Workers())

    last = call(1, "blip2", query="last?")
    inner = call(2, "blip2", query="inner?")
    red = call(3, "xvlm", object_name="car", property="red")
    thing = call(4, "xvlm", object_name="thing", property="inner")
    detector = call(5, "yolov8", classes=["car"])
    assert policy([last, inner]) is inner
    assert policy([last, red]) is red
    assert policy([last, red, inner, detector, thing]) is thing
    assert policy([last, call(6, "blip2", query="what?")]) is last  # equals keep their order
    assert policy([last, red, call(7, "counter")]) is red  # a function of which nothing is known
    assert policy([thing, call(8, "depth", priority=1)]).number == 8  # what the program says goes before
    assert first_come([thing, last]) is last
    assert first_come([last, call(8, "depth", priority=1)]).number == 8


# Looking ahead


def test_who_looks_ahead_departs_from_the_longest_first_where_that_is_better() -> None:
    source = "def execute_command(image):\n    p = ImagePatch(image)\n    return [f for f in (p.exists('x'),)]\n"
    seconds = {"a": 3.0, "b": 2.0}
    longest, ahead = (
        make(source, compile_program(source, FUNCTIONS), seconds) for make in (longest_way, looking_ahead)
    )
    free = graph(*[(seconds[name], ()) for name in "aabbb"])
    named = Graph(tuple(replace(node, function="ab"[node.seconds == 2]) for node in free.nodes))
    assert policy_schedule(named, 2, longest).makespan_s == 7
    assert policy_schedule(named, 2, ahead).makespan_s == optimum(named, 2) == 6


def test_who_looks_ahead_knows_how_long_workers_will_be_busy() -> None:
    twos = [(2.0, 0.0)] * 3
    assert best_start([(3, 0), *twos], [0, 3]) == 1
    assert best_start([(3, 0), *twos], [0, 0]) == 0
    assert best_start([(1, 5), (3, 0)], [0, 9]) == 0
    assert best_start([], [0]) == 0


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=5), st.integers(1, 3))
def test_the_best_start_is_that_of_an_order_that_nothing_beats(jobs: list[tuple[int, int]], workers: int) -> None:
    def end_of(order: Sequence[int]) -> int:
        free, end = [0] * workers, 0
        for number in order:
            free[0] += jobs[number][0]
            end = max(end, free[0] + jobs[number][1])
            free.sort()
        return end

    orders = list(permutations(range(len(jobs))))
    best = min(map(end_of, orders))
    start = best_start([(float(own), float(behind)) for own, behind in jobs], [0.0] * workers)
    assert min(end_of(order) for order in orders if order[0] == start) == best
    if end_of(orders[0]) == best:
        assert start == 0  # the order that it was given is kept


def test_what_the_program_says_goes_before_what_looking_ahead_says() -> None:
    ahead = looking_ahead(RANKED, compile_program(RANKED, FUNCTIONS), SECONDS)
    last, now = call(1, "blip2", query="inner?"), call(2, "depth", priority=1)
    assert ahead([last, now], Workers()) is now
    many = [call(number, "blip2", query="last?") for number in range(1, 30)]
    assert ahead(many, Workers()) is many[0]


AHEAD = looking_ahead(RANKED, compile_program(RANKED, FUNCTIONS), {"f": 2.0})


@settings(max_examples=60, derandomize=True, deadline=None)
@given(graphs(most=10), st.integers(1, 4))
def test_every_policy_keeps_the_bound_on_a_graph(of: Graph, workers: int) -> None:
    """A policy changes the order and nothing else."""
    for policy in (first_come, AHEAD):
        played = policy_schedule(of, workers, policy)
        assert played.ended.keys() == {node.number for node in of.nodes}
        assert played.makespan_s <= of.work_seconds / workers + of.run().makespan_s + 1e-9
    assert policy_schedule(of, workers, first_come).started == of.run(workers).started


# In the real runner


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS, LIMITS, max_runs=8) as running:
        yield running


def entry(body: str, answers: dict[str, Any] | None = None, seconds: dict[str, float] | None = None) -> Entry:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    program = prepare(f"async def execute_command(image):\n    p = ImagePatch(image)\n{lines}")
    return Entry(program, Scripted(answers, lambda name: (seconds or {}).get(name, 1.0)))


DEPTHS = """
found = p.find_finish(await p.find_start('car'))
calls = [q.compute_depth_start() for q in found]
return [await call for call in calls]
"""


@pytest.mark.parametrize(("workers", "makespan"), [(1, 4), (2, 3), (3, 2), (None, 2)])
def test_a_program_on_so_many_workers(interpreter: Interpreter, workers: int | None, makespan: float) -> None:
    ran = run_batch([entry(DEPTHS)], interpreter, workers)
    assert (ran.makespan_s, ran.busy_s, ran.calls, ran.surplus, ran.failed) == (makespan, 4, 4, 0, [])


def test_programs_side_by_side_share_the_workers(interpreter: Interpreter) -> None:
    one_by_one = run_batch([entry(DEPTHS)] * 3, interpreter, 3)
    assert one_by_one.ended_s == [2, 4, 6]
    together = run_batch([entry(DEPTHS)] * 3, interpreter, 3, in_flight=3)
    assert together.ended_s == [2, 3, 4]  # whoever came first has the right of way
    assert together.busy_s == 12


def test_a_policy_decides(interpreter: Interpreter) -> None:
    body = """
quick = [p.simple_query_start('a'), p.simple_query_start('b')]
slow = p.verify_property_start('car', 'red')
return [await call for call in [*quick, slow]]
"""
    given = entry(body, seconds={"verify red": 2.0})
    assert run_batch([given], interpreter, 2).makespan_s == 3
    slow_first = Entry(
        given.program, given.world, lambda queue, _: max(queue, key=lambda each: each.function == "xvlm")
    )
    assert run_batch([slow_first], interpreter, 2).makespan_s == 2


def test_what_a_program_leaves_is_withdrawn(interpreter: Interpreter) -> None:
    body = "late = p.simple_query_start('late')\nraise ValueError(await p.simple_query_start('now'))"
    ran = run_batch([entry(body, seconds={"ask late": 9.0}), entry(DEPTHS)], interpreter, 2)
    assert ran.failed == [0]
    assert ran.ended_s == [1, 4]
    assert ran.busy_s == 2 + 4


def test_a_failed_call_takes_its_time_too(interpreter: Interpreter) -> None:
    ran = run_batch([entry(DEPTHS, {"find car": RuntimeError("no")})], interpreter, 1)
    assert (ran.makespan_s, ran.failed) == (1, [0])


def test_an_empty_batch_and_rubbish(interpreter: Interpreter) -> None:
    assert run_batch([], interpreter, 1).makespan_s == 0
    for workers, in_flight in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one worker"):
            run_batch([entry(DEPTHS)], interpreter, workers, in_flight=in_flight)


def test_names_of_calls() -> None:
    image = {"blob": "b", "box": [100, 0, 10, 10]}
    assert name_of("xvlm", {"image": image, "object_name": "car", "property": "red"}) == "verify 100 red"
