"""What ends a run from outside: the time it takes, what it sends, what its calls cost; on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dicem_edge.spending import Prices, Spending, overspent, refusal
from dicem_shared import messages
from dicem_shared.catalog import catalog
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter, RunLimits
from dicem_shared.types import Answer

HEAD = "import asyncio\nimport hermod\nasync def execute_command(image):\n"
ASK = "hermod.call('blip2', image=ImagePatch(image).crop({}, 0, 20, 20), query='what?')"
ONE_BY_ONE = "for i in range(10):\n    await " + ASK.format("i")
AT_ONCE = "jobs = [" + ASK.format("i") + " for i in range(5)]\nreturn [(await job)['output'] for job in jobs]"
CAUGHT = """try:
    print('before')
    for i in range(10):
        await hermod.call('blip2', image=image, query=str(i))
except BaseException:
    return 'caught'
finally:
    print('finally')"""


def program(body: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in body.split("\n"))


@pytest.fixture
def limited(vehicle: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The vehicle, with these limits and an alarm on its clock."""

    def set_limits(**limits: float) -> Any:
        monkeypatch.setattr(vehicle.interpreter, "limits", RunLimits(cpu_s=1, **limits))  # type: ignore[arg-type]
        return vehicle

    return set_limits


def said(answer: Answer, limit: str, allowed: str) -> None:
    assert (answer.status, answer.value) == ("failed", None)
    assert f"(expected at most {allowed}" in answer.reason
    assert f"limits.program.{limit} in the config" in answer.reason
    assert "finally" not in answer.printed


# Time


def test_a_run_ends_when_its_time_is_up_waiting_included(limited: Any) -> None:
    vehicle = limited(wall_s=0.6)
    answer = vehicle.answer(program(CAUGHT), alarm=vehicle.clock.call_later)
    said(answer, "wall_s", "0.6 s")
    assert answer.latency_s == pytest.approx(0.6)
    assert answer.printed == "before\n"
    assert len(vehicle.cloud.requests) == 3
    assert answer.cost.calls == {"blip2": 3}
    assert (answer.cost.cloud_s, len(vehicle.answers)) == (1.0, 1)  # the third reply came too late to count


def test_a_run_that_hears_nothing_ends_too(limited: Any) -> None:
    vehicle = limited(wall_s=5)
    vehicle.cloud.delay_s = 1000
    answer = vehicle.answer(program("return await " + ASK.format(0)), alarm=vehicle.clock.call_later)
    said(answer, "wall_s", "5 s")
    assert answer.latency_s == pytest.approx(5)


def test_without_an_alarm_somebody_looks_at_the_clock_now_and_then(limited: Any, frame: Any) -> None:
    vehicle = limited(wall_s=5)
    vehicle.cloud.delay_s = 1000
    agent = vehicle.agent()
    agent.submit(prepare(program("return await " + ASK.format(0))), frame(), vehicle.answers.append)
    for second in range(1, 9):
        vehicle.clock.call_at(second, agent.stop_overdue)
    vehicle.clock.run(until=lambda: bool(vehicle.answers))
    assert vehicle.clock.monotonic() == 5
    agent.stop_overdue()
    assert len(vehicle.answers) == 1


def test_nobody_looks_and_yet_it_ends_when_it_wants_to_go_on(limited: Any) -> None:
    vehicle = limited(wall_s=0.6)
    answer = vehicle.answer(program(CAUGHT))
    said(answer, "wall_s", "0.6 s")
    assert answer.latency_s == pytest.approx(0.75)


def test_time_that_is_spent_before_the_run_begins_is_not_its_own(limited: Any, frame: Any) -> None:
    vehicle = limited(wall_s=0.4)
    with Interpreter(catalog(), vehicle.interpreter.limits, max_runs=1) as one:
        vehicle.interpreter = one
        agent = vehicle.agent(alarm=vehicle.clock.call_later)
        for i in range(4):
            agent.submit(prepare(program("await " + ASK.format(i))), frame(i + 1), vehicle.answers.append)
        vehicle.clock.run()
    assert [answer.status for answer in vehicle.answers] == ["final"] * 4
    assert [answer.latency_s for answer in vehicle.answers] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_the_same_again(limited: Any) -> None:
    vehicle = limited(wall_s=0.6)
    first = vehicle.answer(program(CAUGHT), alarm=vehicle.clock.call_later)
    again = type(vehicle)(vehicle.interpreter)
    assert again.answer(program(CAUGHT), alarm=again.clock.call_later) == first


# Bytes


def test_the_request_that_would_be_too_much_does_not_leave(limited: Any) -> None:
    vehicle = limited(bytes_up_kb=3)
    answer = vehicle.answer(program(CAUGHT))
    said(answer, "bytes_up_kb", "3 kB")
    sent = len(vehicle.cloud.requests)
    assert 1 <= sent < 10
    assert answer.cost.calls == {"blip2": sent + 1}
    roomy = type(vehicle)(vehicle.interpreter)
    vehicle.interpreter.limits = RunLimits(cpu_s=1, bytes_up_kb=30)
    assert roomy.answer(program(ONE_BY_ONE)).status == "final"


def test_nothing_may_leave_and_what_stays_on_board_may_go_on(limited: Any) -> None:
    vehicle = limited(bytes_up_kb=0)
    said(vehicle.answer(program("return await " + ASK.format(0))), "bytes_up_kb", "0 kB")
    assert vehicle.cloud.requests == []
    assert vehicle.answer(program("return len(ImagePatch(image).find('litter'))")).value == 2


def test_what_is_sent_again_counts_again(limited: Any) -> None:
    vehicle = limited()
    vehicle.cloud.lose = lambda request: request.attempt == 1
    ask = program("first = await " + ASK.format(0) + "\nreturn await " + ASK.format(0).replace("what?", "and?"))
    assert vehicle.answer(ask).status == "final"
    sizes = [len(messages.encode(request)) for request in vehicle.cloud.requests]
    assert [request.attempt for request in vehicle.cloud.requests] == [1, 1, 2]
    for room in range(3):
        vehicle.interpreter.limits = RunLimits(cpu_s=1, bytes_up_kb=(sum(sizes[:room]) + 1) / 1024)
        again = type(vehicle)(vehicle.interpreter)
        again.cloud.lose = vehicle.cloud.lose
        said(again.answer(ask), "bytes_up_kb", f"{(sum(sizes[:room]) + 1) / 1024:g} kB")
        assert len(again.cloud.requests) == room


# Money


def test_a_run_ends_before_it_costs_too_much(limited: Any) -> None:
    vehicle = limited(usd=0.0025)
    answer = vehicle.answer(program(CAUGHT))
    said(answer, "usd", "0.0025 USD")
    assert "got 0.003 USD" in answer.reason
    assert len(vehicle.cloud.requests) == 2
    assert answer.cost.usd == 0.002


def test_what_is_exactly_allowed_is_allowed(limited: Any) -> None:
    assert limited(usd=0.01).answer(program(ONE_BY_ONE)).status == "final"


def test_a_flood_at_an_unknown_price_is_stopped_by_its_first_replies_and_known_from_then_on(
    limited: Any, frame: Any
) -> None:
    vehicle = limited(usd=0.0025)
    agent = vehicle.agent()
    agent.submit(prepare(program(AT_ONCE)), frame(1), vehicle.answers.append)
    vehicle.clock.run()
    said(vehicle.answers[0], "usd", "0.0025 USD")
    assert vehicle.answers[0].cost.usd == 0.003
    assert len(vehicle.cloud.requests) == 5
    agent.submit(prepare(program(AT_ONCE)), frame(2), vehicle.answers.append)
    vehicle.clock.run()
    said(vehicle.answers[1], "usd", "0.0025 USD")
    assert len(vehicle.cloud.requests) == 5 + 2


def test_what_is_free_goes_on(limited: Any) -> None:
    body = "return (await hermod.call('depth', image=image))['depth']"
    assert limited(usd=0).answer(program(body)).status == "final"


# Several programs on one frame


@pytest.mark.parametrize("first", [0, 1])
def test_what_one_program_cannot_pay_the_next_one_does(limited: Any, frame: Any, first: int) -> None:
    vehicle = limited(bytes_up_kb=1)  # room for one request
    both = "return await " + ASK.format(0)
    greedy = "first = " + ASK.format(3) + "\n" + both
    bodies = [greedy, both] if first == 0 else [both, greedy]
    agent = vehicle.agent()
    for number, body in enumerate(bodies):
        agent.submit(prepare(program(body), name=f"p{number}"), frame(), vehicle.answers.append)
    vehicle.clock.run()
    by_program = {answer.program_id: answer for answer in vehicle.answers}
    assert by_program[prepare(program(both)).id].status == "final"
    assert [request.params["image"]["box"][0] for request in vehicle.cloud.requests] == (
        [3, 0] if first == 0 else [0, 3]
    )
    if first == 0:
        said(by_program[prepare(program(greedy)).id], "bytes_up_kb", "1 kB")
    else:  # what the other has asked costs it nothing
        assert by_program[prepare(program(greedy)).id].cost.shared == {"blip2": 1}


def test_a_program_takes_over_a_call_that_its_first_asker_can_no_longer_pay(limited: Any, frame: Any) -> None:
    """The cloud has lost the pixels; the one who asked has no room to send them again, the one who waits has."""
    asks = ASK.format(0).replace("what?", "and?")
    greedy = program("await " + ASK.format(0) + "\nreturn await " + asks)
    patient = program(
        "for _ in range(3):\n    await hermod.call('depth', image=image, site='edge')\nreturn await " + asks
    )
    vehicle = limited()
    assert vehicle.answer(greedy).status == "final"
    sizes = [len(messages.encode(request)) for request in vehicle.cloud.requests]
    vehicle.interpreter.limits = RunLimits(cpu_s=1, bytes_up_kb=(sum(sizes) + 1) / 1024)
    again = type(vehicle)(vehicle.interpreter)
    again.cloud.lose = lambda request: request.attempt == 1
    agent = again.agent()
    for source in (greedy, patient):
        agent.submit(prepare(source), frame(), again.answers.append)
    again.clock.run()
    by_program = {answer.program_id: answer for answer in again.answers}
    said(by_program[prepare(greedy).id], "bytes_up_kb", f"{(sum(sizes) + 1) / 1024:g} kB")
    assert by_program[prepare(patient).id].value == {"output": "red"}
    assert [request.attempt for request in again.cloud.requests] == [1, 1, 2]
    assert [answer.cost.usd for answer in again.answers] == [0.001, 0.001]


# The arithmetic


def test_refusals() -> None:
    limits = RunLimits(bytes_up_kb=1, usd=0.01)
    assert refusal(Spending(), limits, 1024, 0.01) is None
    assert refusal(Spending(up=1), limits, 1024, 0.0) == ("bytes_up_kb", "1.0 kB")
    assert refusal(Spending(usd=0.004, expected_usd=0.004), limits, 0, 0.003) == ("usd", "0.011 USD")
    assert refusal(Spending(usd=0.5), limits, 0, 0.0) is None  # what is free does not make it worse
    assert overspent(Spending(usd=sum([0.001] * 10)), limits) == ""
    assert overspent(Spending(usd=0.0101), limits) == "0.0101 USD"
    prices = Prices()
    for usd in (0.1, 0.3, 0.2):
        prices.learn("f", usd)
    assert (prices.of("f"), prices.of("g")) == (0.3, 0.0)
