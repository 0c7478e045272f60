"""What calls do while the cloud cannot be reached: as the plan says."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_edge.shipping import LoadedFrame
from dicem_shared.program import prepare

HEAD = "import hermod\nasync def execute_command(image):\n"
DEPTH = "return (await hermod.call('depth', image=image, site='cloud'))['depth']"
ASKS = "return (await hermod.call('blip2', image=image, query='x'))['output']"


def start(vehicle: Any, body: str, loaded: LoadedFrame, away: dict[str, str]) -> Any:
    """An agent with one program under way."""
    vehicle.settings["away"] = away
    agent = vehicle.agent()
    source = HEAD + "".join(f"    {line}\n" for line in body.split("\n"))
    agent.submit(prepare(source, name="p"), loaded, vehicle.answers.append)
    return agent


def run(vehicle: Any, body: str, loaded: LoadedFrame, **away: str) -> Any:
    start(vehicle, body, loaded, away)
    vehicle.clock.run()
    return vehicle.answers[-1]


def test_the_equivalent_on_board_takes_over(vehicle: Any, frame: Any) -> None:
    vehicle.cloud.reachable = False
    answer = run(vehicle, DEPTH, frame(), depth="edge")
    assert (answer.status, answer.value, answer.source) == ("final", 0.0, "edge")
    assert answer.reason == "the cloud was out of reach: depth on board instead"
    assert vehicle.cloud.requests == []
    assert answer.observations[0].models[0].name == "edge-depth"
    assert answer.latency_s == pytest.approx(0.125)


def test_while_the_cloud_is_there_it_is_asked(vehicle: Any, frame: Any) -> None:
    answer = run(vehicle, DEPTH, frame(), depth="edge")
    assert (answer.source, answer.reason, len(vehicle.cloud.requests)) == ("cloud", "", 1)


def test_without_a_word_a_call_waits(vehicle: Any, frame: Any) -> None:
    """The transport keeps it; what is sent while nobody listens is answered when somebody does."""
    vehicle.cloud.reachable = False
    answer = run(vehicle, DEPTH, frame())
    assert (answer.status, answer.source, len(vehicle.cloud.requests)) == ("final", "cloud", 1)


def test_another_model_never_takes_over(vehicle: Any, frame: Any) -> None:
    """`blip2` is served in the cloud only; even where the vehicle has one, its answers would be others."""
    vehicle.cloud.reachable = False
    vehicle.edge["blip2"] = vehicle.cloud.functions["blip2"]
    body = ASKS.replace("query='x'", "query='x', site='cloud'")
    answer = run(vehicle, body, frame(), blip2="edge")
    assert (answer.source, len(vehicle.cloud.requests)) == ("cloud", 1)


def test_what_is_not_served_on_board_waits(vehicle: Any, frame: Any) -> None:
    vehicle.cloud.reachable = False
    del vehicle.edge["depth"]
    assert run(vehicle, DEPTH, frame(), depth="edge").source == "cloud"


def test_a_plan_that_does_not_wait_fails_at_once(vehicle: Any, frame: Any) -> None:
    vehicle.cloud.reachable = False
    body = f"try:\n    {ASKS}\nexcept TimeoutError as error:\n    return str(error)"
    answer = run(vehicle, body, frame(), blip2="fail")
    assert answer.value == "blip2: the cloud cannot be reached before the deadline"
    assert (answer.latency_s, vehicle.cloud.requests) == (0.0, [])


# The cloud goes away while it is being asked


def test_a_call_under_way_is_taken_over(vehicle: Any, frame: Any) -> None:
    agent = start(vehicle, DEPTH, frame(), {"depth": "edge"})
    assert len(vehicle.cloud.requests) == 1
    vehicle.cloud.reachable = False
    for _ in range(3):  # saying it again changes nothing
        agent.cloud_away()
    vehicle.clock.run()
    (answer,) = vehicle.answers
    assert (answer.value, answer.source, answer.latency_s) == (0.0, "edge", pytest.approx(0.125))
    assert "depth on board instead" in answer.reason
    assert len(vehicle.edge["depth"].seen) == 1
    assert answer.cost.calls == {"depth": 1}


def test_the_first_of_two_results_counts(vehicle: Any, frame: Any) -> None:
    """The cloud's reply was on its way already and comes first."""
    vehicle.thread.seconds = 1.0
    agent = start(vehicle, DEPTH, frame(), {"depth": "edge"})
    agent.cloud_away()
    vehicle.clock.run()
    (answer,) = vehicle.answers
    assert (answer.source, answer.reason, answer.latency_s) == ("cloud", "", pytest.approx(0.25))


def test_a_late_reply_is_paid_for_and_ignored(vehicle: Any, frame: Any) -> None:
    body = DEPTH.replace("return", "first =") + "\nawait hermod.call('blip2', image=image, query='x')\nreturn first"
    agent = start(vehicle, body, frame(), {"depth": "edge"})
    agent.cloud_away()
    vehicle.clock.run()
    (answer,) = vehicle.answers
    assert (answer.status, answer.value, answer.source) == ("final", 0.0, "mixed")
    assert answer.cost.cloud_s == 1.0  # both requests were computed
    assert answer.cost.calls == {"depth": 1, "blip2": 1}


def test_calls_under_way_that_are_not_to_wait_fail(vehicle: Any, frame: Any) -> None:
    agent = start(vehicle, ASKS, frame(), {"blip2": "fail"})
    agent.cloud_away()
    (answer,) = vehicle.answers
    assert answer.reason == "p:3: TimeoutError: blip2: the cloud cannot be reached before the deadline"
    vehicle.clock.run()
    assert len(vehicle.answers) == 1


def test_calls_under_way_that_are_to_wait_wait(vehicle: Any, frame: Any) -> None:
    agent = start(vehicle, ASKS, frame(), {})
    agent.cloud_away()
    assert vehicle.answers == []
    vehicle.clock.run()
    assert vehicle.answers[0].value == "red"


def test_programs_that_share_a_call_are_all_served(vehicle: Any, frame: Any) -> None:
    loaded = frame()
    agent = start(vehicle, DEPTH, loaded, {"depth": "edge"})
    other = prepare(HEAD + f"    {DEPTH} + 1\n", name="q")
    agent.submit(other, loaded, vehicle.answers.append)
    vehicle.cloud.reachable = False
    agent.cloud_away()
    vehicle.clock.run()
    assert [(a.value, a.source) for a in vehicle.answers] == [(0.0, "edge"), (1.0, "edge")]
    assert len(vehicle.edge["depth"].seen) == 1
    assert [a.reason != "" for a in vehicle.answers] == [True, True]


# Tags that the vehicle cannot follow to the letter


def test_an_equivalent_function_that_is_not_served_here_is_asked_there(vehicle: Any, frame: Any) -> None:
    """Without calibration there is no `depth` on board; a program compiled for one that has it runs all the same."""
    del vehicle.edge["depth"]
    answer = run(vehicle, DEPTH.replace("cloud", "edge"), frame())
    assert (answer.source, len(vehicle.cloud.requests)) == ("cloud", 1)


def test_without_any_way_to_the_cloud(vehicle: Any, frame: Any) -> None:
    vehicle.with_cloud = False
    assert run(vehicle, DEPTH, frame(), depth="edge").source == "edge"
    assert run(vehicle, DEPTH, frame()).reason == "p:3: RuntimeError: no way to the cloud, where depth runs"


def test_a_compiled_program_that_runs_in_the_cloud_as_a_whole(vehicle: Any, frame: Any) -> None:
    vehicle.with_cloud = False
    vehicle.edge = vehicle.cloud.functions
    source = HEAD + f"    {DEPTH.replace('cloud', 'edge')}\n"
    answer = vehicle.answer(source, frame(), local_site="cloud")
    assert (answer.value, answer.source, answer.reason) == (0.0, "cloud", "")
