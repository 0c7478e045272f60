"""What several programs ask of one frame is asked once; who pays, who reports, who gets which failure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dicem_shared.errors import MessageTooLarge
from dicem_shared.program import prepare
from dicem_shared.types import Failure, Reply, Request

HEAD = "import asyncio\nimport hermod\nasync def execute_command(image):\n    patch = ImagePatch(image)\n"
FIND = "found = patch.find_finish(await patch.find_start('litter'))\n"


def program(body: str, name: str) -> Any:
    return prepare(HEAD + "".join(f"    {line}\n" for line in body.strip("\n").split("\n")), name=name)


def answers_of(vehicle: Any, loaded: Any, *bodies: str) -> list[Any]:
    """What the programs say of one frame, in their order."""
    agent = vehicle.agent()
    for number, body in enumerate(bodies):
        agent.submit(program(body, f"p{number}"), loaded, vehicle.answers.append)
    vehicle.clock.run()
    by_program = {answer.program_id: answer for answer in vehicle.answers}
    return [by_program[program(body, "x").id] for body in bodies]


COUNT = FIND + "return len(found)"
NAMES = FIND + "return [(await p.simple_query_start('What is this?'))['output'] for p in found]"


def test_two_programs_ask_the_detector_once(vehicle: Any, frame: Any) -> None:
    first, second = answers_of(vehicle, frame(), COUNT, NAMES)
    assert (first.value, second.value) == (2, ["red", "blue"])
    assert len(vehicle.edge["yolov8"].seen) == 1
    assert (first.cost.calls, first.cost.shared) == ({"yolov8": 1}, {})
    assert (second.cost.calls, second.cost.shared) == ({"blip2": 2}, {"yolov8": 1})


def test_the_same_answers_as_alone(vehicle: Any, frame: Any, interpreter: Any) -> None:
    together = answers_of(vehicle, frame(), COUNT, NAMES)
    for body, answer in zip((COUNT, NAMES), together, strict=True):
        (alone,) = answers_of(type(vehicle)(interpreter), frame(), body)
        assert (alone.id, alone.value, alone.source) == (answer.id, answer.value, answer.source)


def test_what_was_learned_is_reported_once(vehicle: Any, frame: Any) -> None:
    """The second program learned more of each object, so it speaks of them, and knows all that is known; a third that
    only counts reports nothing."""
    first, second, third = answers_of(vehicle, frame(), COUNT, NAMES, FIND + "return bool(found)")
    assert [(o.class_, o.facts) for o in first.observations] == [("can", {})] * 2
    assert [o.facts for o in second.observations] == [{"What is this?": "red"}, {"What is this?": "blue"}]
    assert [o.confidence for o in second.observations] == [0.9, 0.9]
    assert third.value is True
    assert third.observations == ()


def test_the_cloud_is_paid_by_the_first(vehicle: Any, frame: Any) -> None:
    asks = "return patch.simple_query('x')"
    first, second = answers_of(vehicle, frame(), asks, asks + " + '!'")
    assert (first.value, second.value) == ("red", "red!")
    assert len(vehicle.cloud.requests) == 1
    assert (first.cost.cloud_s, first.cost.usd, second.cost.cloud_s, second.cost.usd) == (0.5, 0.001, 0.0, 0.0)
    assert first.cost.bytes_up > 100
    assert (second.cost.bytes_up, second.cost.shared, second.source) == (0, {"blip2": 1}, "cloud")


def test_a_result_that_has_come_is_shared_while_another_program_waits_for_its_turn(vehicle: Any, frame: Any) -> None:
    """The interpreter runs four at once; the fifth starts when the first has ended."""
    answers = answers_of(vehicle, frame(), *(COUNT + f" + {n}" for n in range(5)))
    assert [answer.value for answer in answers] == [2, 3, 4, 5, 6]
    assert len(vehicle.edge["yolov8"].seen) == 1
    assert [answer.cost.shared for answer in answers] == [{}] + [{"yolov8": 1}] * 4


def test_nothing_is_shared_with_a_program_that_comes_later(vehicle: Any, frame: Any) -> None:
    loaded = frame()
    answers_of(vehicle, loaded, COUNT)
    (again,) = answers_of(vehicle, loaded, COUNT + " + 1")
    assert (again.cost.calls, again.cost.shared) == ({"yolov8": 1}, {})


def test_nothing_is_shared_between_frames(vehicle: Any, frame: Any) -> None:
    """The same picture at another moment is another frame."""
    agent, counts = vehicle.agent(), program(COUNT, "p")
    for sequence in (1, 2):
        agent.submit(counts, frame(sequence), vehicle.answers.append)
    vehicle.clock.run()
    assert len(vehicle.edge["yolov8"].seen) == 2


def test_how_often_one_program_asks_is_its_own_affair(vehicle: Any, frame: Any) -> None:
    twice = "return [(await hermod.call('depth', image=image))['depth'] for _ in range(2)]"
    first, second = answers_of(vehicle, frame(), twice, twice + " + [1]")
    assert len(vehicle.edge["depth"].seen) == 2
    assert (first.cost.calls, second.cost.shared, second.cost.calls) == ({"depth": 2}, {"depth": 2}, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'blip2', image=image, query='x'", "'blip2', image=image, query='y'"),
        ("'depth', image=image", "'depth', image=patch.crop(0, 0, 9, 9).image"),
        ("'depth', image=image, site='edge'", "'depth', image=image, site='cloud'"),
        ("'blip2', image=image, query='x'", "'blip2', image=image, query='x', deadline_s=1"),
    ],
)
def test_what_differs_is_asked_apart(vehicle: Any, frame: Any, one: str, other: str) -> None:
    answers = answers_of(vehicle, frame(), *(f"return await hermod.call({call})" for call in (one, other)))
    assert [answer.cost.shared for answer in answers] == [{}, {}]
    assert sum(sum(answer.cost.calls.values()) for answer in answers) == 2


def test_impure_calls_are_never_shared(vehicle: Any, frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = vehicle.interpreter.registry
    spec = registry.get("depth")
    monkeypatch.setitem(registry._specs, "depth", dataclasses.replace(spec, pure=False))
    asks = "return (await hermod.call('depth', image=image))['depth']"
    answers_of(vehicle, frame(), asks, asks + " + 1")
    assert len(vehicle.edge["depth"].seen) == 2


def test_what_one_program_does_to_a_result_no_other_sees(vehicle: Any, frame: Any) -> None:
    spoils = "got = await hermod.call('yolov8', image=image)\ngot['objects'].clear()\nreturn len(got['objects'])"
    reads = "return len((await hermod.call('yolov8', image=image))['objects'])"
    first, second = answers_of(vehicle, frame(), spoils, reads)
    assert (first.value, second.value) == (0, 2)
    assert len(first.observations) == 2  # of what the detector said, not of what the program made of it


def test_a_failure_goes_to_those_who_waited_and_to_nobody_after(vehicle: Any, frame: Any) -> None:
    served = vehicle.cloud._serve

    def out_of_order_at_first(request: Request) -> Reply:
        reply = served(request)
        if len(vehicle.cloud.requests) > 1:
            return reply
        return reply.model_copy(update={"failure": Failure(kind="RuntimeError", message="out of order")})

    vehicle.cloud._serve = out_of_order_at_first
    asks = "try:\n    return patch.simple_query('x')\nexcept RuntimeError as error:\n    return str(error)"
    later = "await hermod.call('depth', image=image)\nawait hermod.call('depth', image=patch.crop(0, 0, 9, 9).image)\n"
    later += "await hermod.call('depth', image=patch.crop(0, 0, 8, 8).image)\n" + asks
    answers = answers_of(vehicle, frame(), asks, asks + " + '!'", later)
    assert [answer.value for answer in answers] == ["out of order", "out of order!", "red"]
    assert len(vehicle.cloud.requests) == 2


def test_the_next_one_pays_when_the_first_has_gone(vehicle: Any, frame: Any) -> None:
    """The first program asks and ends without waiting; the second waits."""
    leaves = "call = patch.simple_query_start('x')\nawait hermod.call('depth', image=image)\nreturn 1"
    waits = "return (await patch.simple_query_start('x'))['output']"
    first, second = answers_of(vehicle, frame(), leaves, waits)
    assert (first.value, second.value, len(vehicle.cloud.requests)) == (1, "red", 1)
    assert (second.cost.calls, second.cost.shared, second.cost.cloud_s) == ({"blip2": 1}, {}, 0.5)
    assert second.observations[0].facts == {"x": "red"}
    assert second.observations[0].crop_blob == vehicle.cloud.requests[0].blobs[0].blob


def test_crops_stay_until_the_last_program_has_ended(vehicle: Any, frame: Any) -> None:
    """They are encoded and sent once, whichever program ends first."""
    asks = "p = patch.crop(10, 12, 30, 24)\nreturn p.simple_query('a')"
    more = "p = patch.crop(10, 12, 30, 24)\np.simple_query('a')\nreturn [p.simple_query('b'), p.simple_query('c')]"
    _, second = answers_of(vehicle, frame(), asks, more)
    assert second.value == ["red", "red"]
    assert [sizes[0] is None for sizes in vehicle.cloud.bytes_of_pixels] == [False, True, True]


def test_nothing_is_kept_of_frames_that_are_done(vehicle: Any, frame: Any) -> None:
    agent = vehicle.agent()
    for sequence in range(3):
        for body in (COUNT, NAMES):
            agent.submit(program(body, "p"), frame(sequence), vehicle.answers.append)
    vehicle.clock.run()
    assert len(vehicle.answers) == 6
    assert (agent._questions._frames, agent._there) == ({}, [])


def test_a_call_that_cannot_be_sent_fails_for_all(vehicle: Any, frame: Any) -> None:
    vehicle.cloud.refuse = lambda request: MessageTooLarge("too large", got=request.function)
    asks = "return patch.simple_query('x')"
    answers = answers_of(vehicle, frame(), asks, asks + " + '!'")
    assert [answer.reason.split(": ", 2)[2] for answer in answers] == ["too large (got blip2)"] * 2


def test_one_request_of_each_question_goes_out(vehicle: Any, frame: Any) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.params["query"])

    vehicle.cloud.refuse = note
    bodies = [f"return [patch.simple_query(str(i)) for i in range({n})]" for n in (3, 2, 4)]
    answers = answers_of(vehicle, frame(), *bodies)
    assert sorted(asked) == ["0", "1", "2", "3"]
    assert sum(sum(answer.cost.calls.values()) for answer in answers) == 4
    assert sum(sum(answer.cost.shared.values()) for answer in answers) == 5
