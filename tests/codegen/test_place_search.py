"""The search against brute force, its bounds, and its limits."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicem_codegen.place import place
from dicem_codegen.place.schedule import CLOUD as IN_CLOUD
from dicem_codegen.place.schedule import EDGE as ON_BOARD
from dicem_codegen.place.schedule import Schedule
from dicem_codegen.place.search import EXACT_STEPS, FEW_STEPS, STEPS, Score, Search
from dicem_codegen.types import CallNode, Objective

from .placing import CLOUD, EDGE, MORE, ROUND, clouds, device, edges, graphs, link, links, loads, node, schedule

objectives = st.sampled_from(["latency", "cost"])


def examples(count: int) -> settings:
    """So many graphs, the same ones each time."""
    return settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def all_choices(plan: Schedule, search: Search) -> dict[tuple[int, ...], Score]:
    """What every choice comes to, those left out that have no room on board."""
    scores = {}
    for sites in itertools.product((ON_BOARD, IN_CLOUD), repeat=len(plan.free)):
        at = plan.fixed.copy()
        for i, site in zip(plan.free, sites, strict=True):
            at[i] = site
        score, state = search.score_of(at)
        if plan.fits(state):
            scores[tuple(at)] = score
    return scores


def assert_best(plan: Schedule, objective: Objective) -> None:
    search = Search(plan, objective)
    lowest = search.bound(plan.start(), 0)
    found = search.best()
    scores = all_choices(plan, search)
    best = min(scores.values())
    assert found.proved
    assert found.score == pytest.approx(best, rel=1e-6, abs=1e-7)
    assert scores[found.at] == found.score
    assert lowest <= tuple(value + 1e-9 for value in best)
    assert found.bound <= best[1] + 1e-9


@examples(150)
@given(graphs(), links, edges, clouds, loads, objectives)
def test_the_best_of_all(
    nodes: list[CallNode], on: Any, edge: Any, cloud: Any, load: Any, objective: Objective
) -> None:
    assert_best(schedule(nodes, on, edge, cloud, load), objective)


@examples(60)
@given(
    graphs(), links, edges, clouds, loads, objectives, st.sampled_from([0.05, 0.5, 2.0]),
    st.sampled_from([None, 1e-6, 1e-4]),
)  # fmt: skip
def test_the_best_of_all_within_limits(
    nodes: list[CallNode], on: Any, edge: Any, cloud: Any, load: Any, objective: Objective, deadline_s: float, usd: Any
) -> None:
    assert_best(schedule(nodes, on, edge, cloud, load, deadline_s=deadline_s, budget_usd=usd), objective)


@examples(40)
@given(graphs(), links, clouds, loads, st.sampled_from([0.0, 5.0, 6.0, 9.0, 14.0]))
def test_the_best_of_all_that_have_room(nodes: list[CallNode], on: Any, cloud: Any, load: Any, room_mb: float) -> None:
    edge = device(
        "edge", memory_mb=room_mb, yolov8={"latency_s": 0.02, "memory_mb": 8},
        depth={"latency_s": 0.02, "memory_mb": 6}, speak={"latency_s": 0.01, "memory_mb": 5},
    )  # fmt: skip
    assert_best(schedule(nodes, on, edge, cloud, load), "latency")


@pytest.mark.parametrize("seed", range(6))
def test_twelve_free_calls(seed: int) -> None:
    pick = random.Random(seed)
    nodes = []
    for n in range(1, 13):
        after = {pick.randrange(1, n) for _ in range(pick.randrange(3))} if n > 1 else set()
        pixels = {"image": pick.choice(["frame", "crop"]), "image_key": pick.choice("kl")}
        nodes.append(node(n, pick.choice(["yolov8", "depth"]), after, loops=("a",) * pick.randrange(2), **pixels))
    assert_best(schedule(nodes, link(4000, rtt_ms=60), EDGE, CLOUD, ROUND), "latency")


@examples(100)
@given(graphs(), links, edges, clouds, loads, objectives, st.data())
def test_bounds_hold_from_every_point_on(
    nodes: list[CallNode], on: Any, edge: Any, cloud: Any, load: Any, objective: Objective, data: st.DataObject
) -> None:
    """Whatever was chosen so far and is chosen next, the end is not below what was said on the way."""
    plan = schedule(nodes, on, edge, cloud, load)
    search = Search(plan, objective)
    at = plan.fixed.copy()
    for i in plan.free:
        at[i] = data.draw(st.sampled_from([ON_BOARD, IN_CLOUD]))
    state, said = plan.start(), []
    for i in range(len(at)):
        said.append(search.bound(state, i))
        plan.play(state, i, i + 1, at)
    score, _ = search.score_of(at)
    for bound in said:
        assert bound[1] <= score[1] + 1e-9
        assert bound[2] <= score[2] + 1e-9


def large(count: int, free: int, shape: str) -> list[CallNode]:
    pick = random.Random(7)
    nodes = []
    for n in range(1, count + 1):
        after = {
            "web": {pick.randrange(1, n), pick.randrange(1, n)} if n > 1 else set(),
            "chain": {n - 1},
            "wide": set(),
        }
        name = pick.choice(["yolov8", "depth"]) if pick.random() < free / count else "blip2"
        nodes.append(node(n, name, after[shape], image=pick.choice(["frame", "crop"]), image_key=f"k{n // 3}"))
    return nodes


@pytest.mark.parametrize("shape", ["web", "chain", "wide"])
@pytest.mark.parametrize("free", [0, 5, 1000, 2000])
def test_large_graphs_take_a_bounded_number_of_steps(shape: str, free: int) -> None:
    plan = schedule(large(2000, free, shape), link(4000, rtt_ms=60), EDGE, CLOUD, ROUND)
    search = Search(plan, "latency")
    played = 0
    play = plan.play

    def counted(state: Any, first: int, last: int, at: Any) -> None:
        nonlocal played
        played += last - first
        play(state, first, last, at)

    plan.play = counted  # type: ignore[method-assign]
    found = search.best()
    # One pass over the jobs may go beyond, and the greedy plan tries both sites of every free call.
    assert played <= STEPS + max(EXACT_STEPS, FEW_STEPS) + 6 * len(plan.jobs)
    assert found.bound <= found.score[1] + 1e-9
    assert found.proved or found.score[1] < 1.2 * found.bound
    if not plan.free:
        assert (found.proved, played) == (True, len(plan.jobs))


def test_a_plan_that_is_not_proved_says_how_far_off_it_may_be() -> None:
    plan = place(large(2000, 2000, "web"), MORE, link=link(4000, rtt_ms=60), edge=EDGE, cloud=CLOUD, workload=ROUND)
    assert not plan.proved
    assert 0 < plan.gap < 0.2


def test_many_alike_are_split_between_the_sites() -> None:
    """Forty independent calls: the edge does some while the cloud does the others."""
    nodes = [node(n, "speak") for n in range(1, 41)]
    edge, cloud = device("edge", speak=0.1), device("cloud", speak=0.1)
    plan = place(nodes, MORE, link=link(rtt_ms=0), edge=edge, cloud=cloud, workload=ROUND)
    here = sum(placement.site == "edge" for placement in plan.placements.values())
    assert 17 <= here <= 23
    assert plan.latency_s < 2.4


@examples(40)
@given(graphs(), links, edges, clouds, st.randoms())
def test_the_order_of_the_call_sites_in_the_list_changes_nothing(
    nodes: list[CallNode], on: Any, edge: Any, cloud: Any, pick: random.Random
) -> None:
    plan = place(nodes, MORE, link=on, edge=edge, cloud=cloud)
    shuffled = nodes.copy()
    pick.shuffle(shuffled)
    assert place(shuffled, MORE, link=on, edge=edge, cloud=cloud) == plan
