"""Placement: what a call takes, why it runs where it does, what it does when the cloud is away."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_codegen.place import Constraints, place, plan_text
from dicem_codegen.types import CallNode, Plan
from dicem_shared.errors import ConfigError, UnknownFunction
from dicem_shared.links import Condition, Link, load_link
from dicem_shared.profiles import Workload, load_profile

from .placing import CLOUD, EDGE, MORE, PACKET_S, ROUND, device, link, node


def plan_of(*nodes: CallNode, **how: Any) -> Plan:
    """A plan over a link on which a packet takes 1.5 ms."""
    given: dict[str, Any] = {"link": link(), "edge": EDGE, "cloud": CLOUD, "workload": ROUND} | how
    return place(nodes, MORE, **given)


def sites(plan: Plan) -> list[str | None]:
    return [plan.placements[number].site for number in sorted(plan.placements)]


# Sums by hand


def test_a_call_in_the_cloud() -> None:
    plan = plan_of(node(1, "blip2", image="crop"))
    assert plan.latency_s == pytest.approx(2 * PACKET_S + 0.05 + 0.4 + 0.05 + PACKET_S)
    assert plan.bytes_up == 3000
    assert plan.cost_usd == pytest.approx(0.4 * 0.1 + 4500 / 1e6)


def test_a_call_on_board() -> None:
    plan = plan_of(node(1, "depth", image="crop"))
    assert (plan.latency_s, plan.cost_usd, plan.bytes_up) == (pytest.approx(0.1), 0, 0)


def test_a_chain_and_two_side_by_side() -> None:
    """On board one after the other; in the cloud the second request leaves while the first is computed."""
    chain = plan_of(node(1, "depth", image="crop"), node(2, "blip2", (1,), image="crop"))
    assert chain.latency_s == pytest.approx(0.1 + 3 * PACKET_S + 0.1 + 0.4)
    both = plan_of(node(1, "blip2", image="crop", image_key="k"), node(2, "blip2", image="crop", image_key="k"))
    assert both.latency_s == pytest.approx(3 * PACKET_S + 0.1 + 0.8)
    wide = plan_of(*(node(n, "blip2", image="none") for n in (1, 2)), cloud=device("cloud", 2, blip2=0.4))
    assert wide.latency_s == pytest.approx(2 * PACKET_S + 0.1 + 0.4 + PACKET_S)


def test_a_loop_multiplies_and_a_guard_halves() -> None:
    once = plan_of(node(1, "depth", image="none"))
    loop = plan_of(node(1, "depth", loops=("a", "b"), image="none"), edge=device("edge", depth=0.001))
    assert loop.latency_s == pytest.approx(4 * 0.001)
    assert plan_of(node(1, "depth", image="none", guarded=True)).latency_s == pytest.approx(once.latency_s / 2)
    trips = Workload(trips=2, trips_of={"b": 10})
    loop = plan_of(node(1, "depth", loops=("a", "b"), image="none"), edge=device("edge", depth=1e-4), workload=trips)
    assert loop.latency_s == pytest.approx(20 * 1e-4)
    assert loop.placements[1].calls == 20


def test_calls_that_carry_something_from_trip_to_trip_go_in_a_row() -> None:
    """Two round trips instead of one."""
    side_by_side = plan_of(node(1, "speak", loops=("a",)), cloud=device("cloud", 2, speak=0.1))
    in_a_row = plan_of(node(1, "speak", (1,), loops=("a",)), cloud=device("cloud", 2, speak=0.1))
    assert side_by_side.latency_s == pytest.approx(3 * PACKET_S + 0.1 + 0.1)
    assert in_a_row.latency_s == pytest.approx(4 * PACKET_S + 2 * (0.1 + 0.1))
    circle = plan_of(node(1, "speak", (2,), loops=("a",)), node(2, "speak", (1,), loops=("a",)), cloud=CLOUD_SPEAKS)
    assert circle.latency_s == pytest.approx(2 * in_a_row.latency_s)


CLOUD_SPEAKS = device("cloud", speak=0.1)


def test_what_is_lost_is_waited_for() -> None:
    """One packet each way, half of them lost: a round trip more each way, on the mean."""
    plan = plan_of(node(1, "speak"), cloud=CLOUD_SPEAKS, link=link(loss=0.5))
    assert plan.latency_s == pytest.approx(2 * PACKET_S + 0.1 * (1 + 1 + 1) + 0.1, rel=1e-4)


# Pixels


def test_pixels_travel_once() -> None:
    apart = plan_of(*(node(n, "blip2", image="crop", image_key=f"k{n}") for n in (1, 2, 3)))
    shared = plan_of(*(node(n, "blip2", image="crop", image_key="k") for n in (1, 2, 3)))
    assert (apart.bytes_up, shared.bytes_up) == (9000, 6000)
    assert "pixels sent before" not in plan_text(apart)


def test_a_frame_holds_all_its_crops() -> None:
    frame, crop = node(1, "blip2", image="frame"), node(2, "blip2", (1,), image="crop")
    assert plan_of(frame, crop).bytes_up == 1500 + 15_000 + 1500
    assert plan_of(node(1, "blip2", image="crop"), node(2, "blip2", (1,), image="frame")).bytes_up == 3000 + 16_500


def test_questions_about_one_crop_in_a_loop_send_it_once() -> None:
    asks = node(1, "blip2", loops=("questions",), image="crop", image_loops=())
    assert plan_of(asks).bytes_up == 2 * 1500 + 1500
    assert plan_of(node(1, "blip2", loops=("patches",), image="crop")).bytes_up == 2 * 3000


def test_what_is_sent_under_a_guard_is_there_for_the_next_under_it() -> None:
    first = node(1, "blip2", image="crop", image_key="k", guarded=True)
    assert plan_of(first, node(2, "blip2", (1,), image="crop", image_key="k", guarded=True)).bytes_up == 1500 + 750
    assert plan_of(first, node(2, "blip2", (1,), image="crop", image_key="k")).bytes_up == 1500 + 1500 + 750


def test_functions_that_look_at_nothing_send_nothing() -> None:
    assert plan_of(node(1, "speak", image="frame"), cloud=CLOUD_SPEAKS).bytes_up == 1500


# Where a call may run


def test_only_where_it_is_served() -> None:
    plan = plan_of(node(1, "blip2"), node(2, "blink"), edge=device("edge", blink=0.1, blip2=0.001))
    assert sites(plan) == ["cloud", "edge"]
    assert plan.placements[1].reason == "blip2 is not served on board"
    assert [other.feasible for other in plan.placements[2].alternatives] == [True, False]


def test_only_where_the_profile_has_it() -> None:
    plan = plan_of(node(1, "depth", image="frame"), edge=device("edge", yolov8=0.3))
    assert sites(plan) == ["cloud"]
    assert plan.placements[1].reason == "profile edge has no depth"
    assert (plan.placements[1].when_away, plan.problems) == ("wait", ())


def test_other_answers_are_no_alternative() -> None:
    """`guess` has two sites, but they are not equivalent: it runs where it would if nobody had planned."""
    both = {"edge": device("edge", guess=5), "cloud": device("cloud", guess=0.01)}
    plan = plan_of(node(1, "guess", image="crop"), **both)
    assert sites(plan) == ["edge"]
    assert "not equivalent" in plan.placements[1].reason
    plan = plan_of(node(1, "guess", image="crop"), edge=device("edge"), cloud=both["cloud"])
    assert (sites(plan), plan.placements[1].when_away) == (["cloud"], "wait")


def test_the_program_has_the_last_word() -> None:
    plan = plan_of(
        node(1, "look", image="crop", said="edge"), edge=device("edge", look=9), cloud=device("cloud", look=0.01)
    )
    assert sites(plan) == ["edge"]
    assert plan.placements[1].reason == "the program says edge"


def test_what_no_profile_has_goes_where_alone_it_can() -> None:
    plan = plan_of(node(1, "llm"), node(2, "look", image="crop"))
    assert sites(plan) == ["cloud", None]
    assert plan.problems[0].startswith("llm is not served on board; profile cloud has no llm")
    assert "left to the vehicle" in plan.problems[1]


def test_a_forbidden_site() -> None:
    slow = device("edge", depth=9)
    assert sites(plan_of(node(1, "depth", image="crop"), edge=slow)) == ["cloud"]
    forbids = Constraints(forbidden=frozenset({"cloud"}))
    assert sites(plan_of(node(1, "depth", image="crop"), edge=slow, constraints=forbids)) == ["edge"]
    with pytest.raises(ConfigError, match=r"blip2 can run nowhere.*nothing may run in the cloud"):
        plan_of(node(1, "blip2"), constraints=forbids)


def test_room_on_board() -> None:
    """The models fit one at a time; the one that gains more stays."""
    heavy = {"yolov8": {"latency_s": 0.001, "memory_mb": 80}, "depth": {"latency_s": 0.001, "memory_mb": 80}}
    nodes = [node(1, "yolov8", image="frame"), node(2, "depth", image="crop")]
    assert sites(plan_of(*nodes, edge=device("edge", **heavy))) == ["edge", "edge"]
    small = plan_of(*nodes, edge=device("edge", memory_mb=100, **heavy))
    assert sites(small) == ["edge", "cloud"]
    assert small.placements[2].when_away == "wait"  # no room for it then either
    room = Constraints(edge_memory_mb=160)
    assert sites(plan_of(*nodes, edge=device("edge", memory_mb=100, **heavy), constraints=room)) == ["edge", "edge"]
    with pytest.raises(ConfigError, match=r"no room there: blink \(expected at most 10 MB, got 50 MB\)"):
        plan_of(node(1, "blink"), edge=device("edge", memory_mb=10, blink={"latency_s": 0.1, "memory_mb": 50}))


# What is to be small


def test_cost_and_latency_want_different_things() -> None:
    slow = device("edge", look=2.0)
    fast = device("cloud", look=0.01)
    assert sites(plan_of(node(1, "look", image="crop"), edge=slow, cloud=fast)) == ["cloud"]
    assert sites(plan_of(node(1, "look", image="crop"), edge=slow, cloud=fast, objective="cost")) == ["edge"]


def test_a_deadline_makes_the_cheapest_plan_dearer() -> None:
    """Two calls on board take 4 s; one of them in the cloud, and they are there in time."""
    nodes = [node(n, "look", image="crop") for n in (1, 2)]
    how = {"edge": device("edge", look=2.0), "cloud": device("cloud", look=0.01), "objective": "cost"}
    plan = plan_of(*nodes, **how, constraints=Constraints(deadline_s=3))
    assert sorted(map(str, sites(plan))) == ["cloud", "edge"]
    assert (plan.problems, plan.proved) == ((), True)
    at_once = plan_of(*nodes, **how, constraints=Constraints(deadline_s=1))
    assert sites(at_once) == ["cloud", "cloud"]


def test_limits_that_no_plan_keeps() -> None:
    plan = plan_of(node(1, "blip2", image="crop"), constraints=Constraints(deadline_s=0.1, budget_usd=0.001))
    assert sites(plan) == ["cloud"]
    assert plan.problems == (
        "no plan keeps the deadline of 0.10 s: the best takes 0.50 s",
        "no plan keeps the budget of 0.001 USD a frame: the best costs 0.045 USD",
    )


def test_the_margin_is_that_of_the_whole_plan() -> None:
    """Off the critical path there is nothing to lose."""
    nodes = [node(1, "blip2", image="crop"), node(2, "depth", image="crop")]
    plan = plan_of(*nodes)
    assert (plan.placements[1].margin, plan.placements[2].margin) == (None, pytest.approx(0.0, abs=0.02))
    plan = plan_of(node(1, "depth", image="crop"), edge=device("edge", depth=0.3))
    assert plan.placements[1].margin == pytest.approx(0.3 - (3 * PACKET_S + 0.1 + 0.01))


# Functions that are known at run time only


def test_a_detector_or_another_model() -> None:
    """`glip` is in the cloud only and ignores a tag that says otherwise, so the detector's site can be said."""
    find = node(1, ("yolov8", "glip"), image="frame")
    quick = plan_of(find, edge=device("edge", yolov8=0.01))
    assert (quick.placements[1].site, quick.placements[1].sites) == ("edge", (("yolov8", "edge"), ("glip", "cloud")))
    assert quick.placements[1].when_away == "wait"
    slow = plan_of(find, edge=device("edge", yolov8=3))
    assert (slow.placements[1].site, slow.placements[1].when_away) == ("cloud", "edge")
    assert slow.latency_s == pytest.approx(11 * PACKET_S + 0.1 + PACKET_S + (0.01 + 0.4) / 2)


def test_functions_that_want_different_sites_get_no_tag() -> None:
    """Both are served at both sites, so a tag would bind both."""
    either = node(1, ("look", "speak"), image="frame")
    edge, cloud = device("edge", look=5, speak=0.01), device("cloud", look=0.01, speak=0.01)
    plan = plan_of(either, edge=edge, cloud=cloud)
    assert plan.placements[1].site is None
    assert dict(plan.placements[1].sites) == {"look": "cloud", "speak": "edge"}
    assert plan.placements[1].reason.startswith("which it is turns out at run time: look in the cloud (")


def test_helpers_are_passed_through() -> None:
    plan = plan_of(node(1, "depth", image="none"), node(2, (), (1,)), node(3, "depth", (2,), image="none"))
    assert plan.latency_s == pytest.approx(0.2)
    assert (plan.placements[2].site, plan.placements[2].calls) == (None, 0)


# When the cloud is away


def test_what_has_an_equal_on_board_is_asked_there() -> None:
    placed = plan_of(node(1, "depth", image="crop"), edge=device("edge", depth=0.3)).placements[1]
    assert (placed.site, placed.when_away, placed.away_reason) == (
        "cloud",
        "edge",
        "depth on board says the same in 0.30 s",
    )
    assert plan_of(node(1, "depth", image="crop")).placements[1].when_away == "edge"  # it is there anyway


@pytest.mark.parametrize(
    ("deadline_s", "outage_s", "when"),
    [(None, None, "wait"), (60, None, "wait"), (10, None, "fail"), (10, 5, "wait"), (2, 1.6, "fail")],
)
def test_a_question_waits_unless_the_deadline_makes_that_useless(deadline_s: Any, outage_s: Any, when: str) -> None:
    limits = Constraints(deadline_s=deadline_s, outage_s=outage_s)
    placed = plan_of(node(1, "blip2", image="crop"), constraints=limits).placements[1]
    assert placed.when_away == when
    if when == "fail":
        assert placed.away_reason.startswith("a dead zone lasts")


def test_a_trace_says_how_long_it_is_away() -> None:
    limits = Constraints(deadline_s=12)
    trace = [(0, True), (10, False), (20, True)]
    conditions = tuple(Condition(t_s=t, up_kbps=8000, down_kbps=8000, rtt_ms=100, loss=0, up=up) for t, up in trace)
    cut = Link("cut", conditions, 0.0, "test")
    assert plan_of(node(1, "blip2"), link=cut, constraints=limits).placements[1].when_away == "wait"
    assert plan_of(node(1, "blip2"), constraints=limits).placements[1].when_away == "fail"


def test_a_link_that_is_down_when_the_plan_is_made() -> None:
    zones = load_link("dead-zones")
    there = device("edge", depth=5.0)
    before, within = (plan_of(node(1, "depth", image="crop"), edge=there, link=zones, at_s=t) for t in (5, 33))
    assert (sites(before), sites(within)) == (["cloud"], ["edge"])
    assert "carries nothing for 12.00 s yet" in plan_text(within)
    only = plan_of(node(1, "blip2", image="none"), link=zones, at_s=33)
    assert only.latency_s > 12


# One program, three links


LOOK_TWICE = [
    node(1, "yolov8", image="frame"),
    node(2, "yolov8", (1,), loops=("found",), image="crop", image_key="closer"),
    node(3, "depth", (2,), loops=("found",), image="crop", image_key="patch", guarded=True),
]
"""configs/programs/look_twice.py"""


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (
            "harbour-wifi",
            ["cloud", "cloud", "edge"],
        ),  # the frame goes faster than it is looked at, and takes its crops along
        ("coastal-lte", ["edge", "cloud", "edge"]),  # a frame takes too long, crops side by side do not
        ("satellite", ["edge", "edge", "edge"]),  # a round trip is longer than all of it
    ],
)
def test_the_tags_change_with_the_link(where: str, expected: list[str]) -> None:
    how = {"edge": load_profile("jetson-nano"), "cloud": load_profile("cloud-a100")}
    plan = place(LOOK_TWICE, MORE, link=load_link(where), **how)
    assert sites(plan) == expected
    assert plan.proved
    assert all(placed.margin is not None and placed.margin > 0 for placed in plan.placements.values())


@pytest.mark.parametrize(("profile", "expected"), [("jetson-orin-nano", "edge"), ("raspberry-pi-4", "cloud")])
def test_the_tags_change_with_the_vehicle(profile: str, expected: str) -> None:
    how = {"edge": load_profile(profile), "cloud": load_profile("cloud-a100"), "link": load_link("coastal-lte")}
    assert sites(place(LOOK_TWICE[:1], MORE, **how)) == [expected]


# In words


def test_the_plan_in_words() -> None:
    nodes = [
        node(1, ("yolov8", "glip"), image="frame"),
        node(2, "depth", (1,), loops=("a",), image="crop", image_key="k"),
        node(3, "blip2", (2,), image="crop", image_key="k", guarded=True),
    ]
    plan = plan_of(*nodes, edge=device("edge", yolov8=0.05, depth=0.4))
    assert plan_text(plan, {1: "find"}) == WORDS
    assert plan_text(plan_of(*nodes, edge=device("edge", yolov8=0.05, depth=0.4)), {1: "find"}) == WORDS


WORDS = """\
plan for low latency over wire, edge on board, cloud in the cloud
expected of a frame: 0.66 s, 0.06 USD, 13.5 kB up; no plan is better
call 1 find: edge: which it is turns out at run time: \
yolov8 on board (16.5 kB over wire take 0.13 s; on board 50 ms), \
glip in the cloud (glip is not served on board)
  * yolov8 edge: 25 ms, 0 USD, 0 B up
    yolov8 cloud: 64 ms, 0.0095 USD, 8.2 kB up
    glip edge: no, glip is not served on board
  * glip cloud: 0.26 s, 0.029 USD, 8.2 kB up
    margin: the plan would be 38.3 ms worse with it elsewhere
    cloud away: wait, nothing on board says the same
call 2: cloud: 2 calls, 4.5 kB over wire take 0.12 s; on board 0.80 s
    edge: 0.80 s, 0 USD, 0 B up
  * cloud: 0.12 s, 0.0095 USD, 4.5 kB up
    margin: the plan would be 0.68 s worse with it elsewhere
    cloud away: edge, depth on board says the same in 0.80 s
call 3: cloud: blip2 is not served on board
    edge: no, blip2 is not served on board
  * cloud: 0.25 s, 0.022 USD, 750 B up
    cloud away: wait, nothing on board says the same
assumed: a frame is 14.6 kB, a crop 1.5 kB; a loop makes 2 trips, an `if` lets 50% through (round sums)
assumed: wire: test
assumed: edge: depth 0.40 s (test)
assumed: edge: yolov8 50 ms (test)
assumed: cloud: blip2 0.40 s (test)
assumed: cloud: depth 10 ms (test)
assumed: cloud: glip 0.40 s (test)
assumed: cloud: yolov8 10 ms (test)
"""


@pytest.mark.parametrize("objective", ["latency", "cost"])
def test_an_empty_program(objective: Any) -> None:
    plan = plan_of(objective=objective)
    assert (plan.placements, plan.cost_usd, plan.bytes_up, plan.proved, plan.problems) == ({}, 0, 0, True, ())


# Bad input


def test_an_unknown_function() -> None:
    with pytest.raises(UnknownFunction, match="Did you mean depth"):
        plan_of(node(1, "dept"))


def test_a_link_that_never_carries_anything() -> None:
    dead = Link("dead", (Condition(t_s=0, up_kbps=0, down_kbps=100, rtt_ms=0, loss=0),), 0, "test")
    with pytest.raises(ConfigError, match="link dead carries nothing from second 7 on"):
        plan_of(node(1, "depth"), link=dead, at_s=7)


def test_waiting_for_what_is_not_there() -> None:
    assert plan_of(node(3, "depth", (1, 2, 99, 3), image="none")).latency_s == pytest.approx(0.1)


def test_a_chain_of_two_thousand_in_a_circle() -> None:
    """No recursion: the last waits for the first, and the first for the last."""
    nodes = [node(n, "blip2", (n - 1 or 2000,), image="none") for n in range(1, 2001)]
    plan = plan_of(*nodes)
    assert plan.latency_s == pytest.approx(2000 * (2 * PACKET_S + 0.1 + 0.4))
