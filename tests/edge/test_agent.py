"""The agent: places calls, ships pixels, survives what the cloud and the link do, and accounts for it."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_edge.agent import failure_of, source_of
from dicem_edge.shipping import LoadedFrame, ShippingConfig
from dicem_shared import images
from dicem_shared.errors import CallTimeout, DicemError, ImageError, InvalidCall, MessageTooLarge, Overloaded
from dicem_shared.program import prepare
from dicem_shared.transport import Traffic
from dicem_shared.types import Failure, Reply, Request

HEAD = "import asyncio\nimport hermod\n"


def program(body: str) -> str:
    return HEAD + "async def execute_command(image):\n" + "".join(f"    {x}\n" for x in body.strip("\n").split("\n"))


ALL = program("""
patch = ImagePatch(image)
found = patch.find_finish(await patch.find_start('litter'))
distances = [await call for call in [p.compute_depth_start() for p in found]]
names = [await call for call in [p.simple_query_start('What is this?') for p in found]]
return [[d['depth'] for d in distances], [n['output'] for n in names]]""")


# Placement


def test_calls_run_where_they_are_served(vehicle: Any) -> None:
    answer = vehicle.answer(ALL)
    assert answer.value == [[3.0, 9.0], ["red", "blue"]]
    assert [request.function for request in vehicle.cloud.requests] == ["blip2", "blip2"]
    assert [w.params["image"].box for w in vehicle.edge["depth"].seen] == [(10, 40, 20, 12), (60, 20, 16, 8)]
    assert (answer.status, answer.source, answer.reason) == ("final", "mixed", "")
    assert (answer.vehicle, answer.camera, answer.frame, answer.survey_id) == ("boat", "bow", 1, "s")
    assert answer.cost.calls == {"yolov8": 1, "depth": 2, "blip2": 2}
    assert (answer.cost.cloud_s, answer.cost.usd) == (1.0, 0.002)
    sizes = [size for sizes in vehicle.cloud.bytes_of_pixels for size in sizes]
    assert answer.cost.bytes_up == sum(sizes) + 200
    assert answer.cost.bytes_down == 100
    # The detector, then two distances in one thread, then both questions at once.
    assert answer.latency_s == pytest.approx(0.125 + 2 * 0.125 + 0.25)
    assert [o.crop_blob for o in answer.observations] == [r.blobs[0].blob for r in vehicle.cloud.requests]


def test_the_config_places_what_the_program_leaves_open(vehicle: Any) -> None:
    vehicle.settings["placement"] = {"depth": "cloud"}
    vehicle.answer(ALL)
    assert [r.function for r in vehicle.cloud.requests] == ["depth", "depth", "blip2", "blip2"]


def test_the_program_has_the_last_word(vehicle: Any) -> None:
    vehicle.settings["placement"] = {"depth": "cloud"}
    body = "return await hermod.call('depth', image=image, site='edge')"
    assert vehicle.answer(program(body)).source == "edge"
    assert vehicle.answer(program(body.replace("edge", "cloud"))).source == "cloud"


def test_in_the_cloud_everything_is_local(vehicle: Any) -> None:
    vehicle.with_cloud = False
    vehicle.edge = vehicle.cloud.functions
    vehicle.settings["placement"] = dict.fromkeys(vehicle.edge, "cloud")
    answer = vehicle.answer(ALL, local_site="cloud")
    assert answer.value == [[3.0, 9.0], ["red", "blue"]]
    assert answer.source == "cloud"
    assert answer.cost.cloud_s == pytest.approx(5 * 0.125)
    assert (answer.cost.bytes_up, vehicle.cloud.requests) == (0, [])


@pytest.mark.parametrize(
    ("call", "placement", "with_cloud", "message"),
    [
        ("'blip2', image=image, query='x'", {}, False, "no way to the cloud, where blip2 runs"),
        ("'blip2', image=image, query='x'", {"blip2": "edge"}, True, "blip2 is not served at the edge"),
        ("'llm', prompt='x'", {"llm": "edge"}, True, "llm is not served at the edge"),
    ],
)
def test_no_way_to_a_function(vehicle: Any, call: str, placement: Any, with_cloud: bool, message: str) -> None:
    vehicle.settings["placement"], vehicle.with_cloud = placement, with_cloud
    answer = vehicle.answer(program(f"return await hermod.call({call})"))
    assert (answer.status, answer.value, answer.reason) == ("failed", None, f"p:4: RuntimeError: {message}")
    caught = program(f"try:\n    await hermod.call({call})\nexcept RuntimeError as error:\n    return str(error)")
    assert vehicle.answer(caught).value == message


def test_thousands_of_calls_that_fail_at_once(vehicle: Any) -> None:
    body = """
failed = 0
for _ in range(1500):
    try:
        await hermod.call('llm', prompt='x')
    except RuntimeError:
        failed += 1
return failed"""
    vehicle.settings["placement"] = {"llm": "edge"}
    assert vehicle.answer(program(body)).value == 1500


# What the functions do


def test_a_function_that_breaks_or_lies(vehicle: Any, caplog: pytest.LogCaptureFixture) -> None:
    def secret(work: Any) -> Any:
        raise KeyError("/home/secret")

    body = "try:\n    await hermod.call('depth', image=image)\nexcept {} as error:\n    return str(error)"
    for answer, kind, message in [
        (secret, "RuntimeError", "depth failed (KeyError)"),
        (lambda work: {"depth": float("nan")}, "RuntimeError", "depth gave a result that its schema does not allow"),
        (lambda work: {"metres": 1.0}, "RuntimeError", "depth gave a result that its schema does not allow"),
        (lambda work: InvalidCall("too dark"), "ValueError", "too dark"),
    ]:
        vehicle.edge["depth"]._answer = answer
        assert vehicle.answer(program(body.format(kind))).value.startswith(message)
    assert "/home/secret" in caplog.text  # in the vehicle's log, and nowhere else


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InvalidCall("x", got="y"), "ValueError", "x (got y)"),
        (ImageError("x"), "ValueError", "x"),
        (CallTimeout("x"), "TimeoutError", "x"),
        (Overloaded("x", retry_after_s=1), "RuntimeError", "x"),
        (KeyError("secret"), "RuntimeError", "f failed (KeyError)"),
    ],
)
def test_failures_look_as_those_of_the_cloud(error: Exception, kind: str, message: str) -> None:
    assert failure_of("f", error) == Failure.model_validate({"kind": kind, "message": message})


def test_whole_frames_are_there_for_functions_that_look_around(vehicle: Any) -> None:
    vehicle.answer(program("return await hermod.call('depth', image=ImagePatch(image, 0, 0, 5, 5))"))
    (work,) = vehicle.edge["depth"].seen
    assert work.params["image"].pixels.shape == (5, 5, 3)
    assert work.whole_frame().pixels.shape == (64, 96, 3)


def test_a_frame_that_cannot_be_decoded(vehicle: Any, frame: Any) -> None:
    good = frame()
    broken = LoadedFrame(good.info, good.data[: len(good.data) // 2])
    for call in ("'depth', image=image", "'blip2', image=image, query='x'"):
        answer = vehicle.answer(program(f"return await hermod.call({call})"), broken)
        assert (answer.status, vehicle.cloud.requests) == ("failed", [])
        assert answer.reason.startswith("p:4: ValueError: the PNG is truncated or damaged")


# Pixels on the wire

TWICE = program("""
patch = ImagePatch(image).crop(10, 12, 30, 24)
first, second = patch.simple_query_start('a'), patch.simple_query_start('b')
await first
await second
return (await patch.simple_query_start('c'))['output']""")


def test_a_crop_is_encoded_once_and_sent_once(vehicle: Any, frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[tuple[int, ...]] = []
    real = images.encode

    def counted(pixels: images.Pixels, **how: Any) -> bytes:
        encoded.append(pixels.shape)
        return real(pixels, **how)

    loaded = frame()
    monkeypatch.setattr(images, "encode", counted)
    assert vehicle.answer(TWICE, loaded).value == "red"
    assert encoded == [(12, 20, 3)]
    sizes = [sizes[0] for sizes in vehicle.cloud.bytes_of_pixels]
    assert sizes[0] is not None
    assert sizes[1:] == [None, None]
    (blob,) = {b.blob for r in vehicle.cloud.requests for b in r.blobs}
    assert {b.source.box for r in vehicle.cloud.requests for b in r.blobs} == {(10, 40, 20, 12)}
    assert blob != vehicle.cloud.requests[0].frame.blob


def test_without_once_a_crop_goes_along_each_time(vehicle: Any) -> None:
    vehicle.shipper.config = ShippingConfig(once=False)
    assert vehicle.answer(TWICE).value == "red"
    assert len({sizes[0] for sizes in vehicle.cloud.bytes_of_pixels}) == 1
    assert None not in [sizes[0] for sizes in vehicle.cloud.bytes_of_pixels]


def test_whole_frames(vehicle: Any, frame: Any) -> None:
    vehicle.shipper.config = ShippingConfig(whole_frames=True)
    loaded = frame()
    assert vehicle.answer(TWICE, loaded).value == "red"
    (first, *others) = vehicle.cloud.requests
    assert (first.blobs[0].blob, first.blobs[0].data) == (loaded.info.blob, loaded.data)
    assert [request.blobs[0].data for request in others] == [None, None]
    assert "pixels" not in vars(loaded)  # nobody had to decode it


def test_a_cloud_that_has_lost_the_pixels_gets_them_again(vehicle: Any) -> None:
    vehicle.cloud.lose = lambda request: request.params["query"] == "c" and request.attempt == 1
    answer = vehicle.answer(TWICE)
    assert answer.value == "red"
    assert [(r.params["query"], r.attempt) for r in vehicle.cloud.requests] == [
        ("a", 1), ("b", 1), ("c", 1), ("c", 2),
    ]  # fmt: skip
    third, fourth = vehicle.cloud.requests[2:]
    assert (third.call_id, third.blobs[0].blob) == (fourth.call_id, fourth.blobs[0].blob)
    assert fourth.blobs[0].data == vehicle.cloud.requests[0].blobs[0].data
    assert answer.cost.bytes_up == 400 + 2 * len(fourth.blobs[0].data)


def test_a_cloud_that_loses_them_again_and_again_is_asked_twice(vehicle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(request: Request) -> Reply:
        blob = request.blobs[0].blob
        failure = Failure(kind="RuntimeError", message=f"blob {blob[:12]} is not here", blob_missing=blob)
        return Reply(call_id=request.call_id, attempt=request.attempt, failure=failure)

    monkeypatch.setattr(vehicle.cloud, "_serve", forgetful)
    answer = vehicle.answer(program("return await ImagePatch(image).simple_query_start('x')"))
    assert answer.status == "failed"
    assert "is not here" in answer.reason
    assert [request.attempt for request in vehicle.cloud.requests] == [1, 2]


def test_pixels_that_were_refused_were_not_sent(vehicle: Any) -> None:
    refused: list[str] = []

    def full_at_first(request: Request) -> DicemError | None:
        if refused:
            return None
        refused.append(request.call_id)
        return Overloaded("too many calls are under way", retry_after_s=1)

    vehicle.cloud.refuse = full_at_first
    body = """
patch = ImagePatch(image).crop(10, 12, 30, 24)
try:
    patch.simple_query_finish(await patch.simple_query_start('a'))
except RuntimeError as error:
    return [str(error), (await patch.simple_query_start('b'))['output']]"""
    answer = vehicle.answer(program(body))
    assert answer.value == ["too many calls are under way", "red"]
    (request,) = vehicle.cloud.requests
    assert (request.attempt, request.blobs[0].data is not None) == (1, True)
    assert answer.observations[0].crop_blob == request.blobs[0].blob


def test_a_message_that_is_too_large_is_a_failed_call(vehicle: Any) -> None:
    vehicle.cloud.refuse = lambda request: MessageTooLarge("the message is too large", got="1 MB")
    answer = vehicle.answer(program("return ImagePatch(image).simple_query('x')"))
    assert answer.reason == "p:4: RuntimeError: the message is too large (got 1 MB)"
    assert all(o.crop_blob is None for o in answer.observations)


def test_what_must_not_leave_is_blurred_before_it_is_encoded(vehicle: Any) -> None:
    seen: list[tuple[int, ...]] = []

    def black(pixels: Any) -> Any:
        seen.append(pixels.shape)
        pixels[:] = 0
        return pixels

    vehicle.shipper.redact = black
    body = "patch = ImagePatch(image).crop(10, 12, 30, 24)\nreturn [patch.simple_query('x'), patch.compute_depth()]"
    answer = vehicle.answer(program(body))
    assert (answer.value, seen) == (["red", 3.0], [(12, 20, 3)])  # red is the first of three zeros
    (shipped,) = [b.data for r in vehicle.cloud.requests for b in r.blobs]
    assert images.decode(shipped).max() <= 2
    assert vehicle.edge["depth"].seen[0].params["image"].pixels.max() == 220  # on board they see what the camera saw


def test_without_a_working_redactor_nothing_leaves(vehicle: Any) -> None:
    def broken(pixels: Any) -> Any:
        raise MemoryError("no room")

    vehicle.shipper.redact = broken
    answer = vehicle.answer(program("return ImagePatch(image).simple_query('x')"))
    assert answer.reason == "p:4: ValueError: the redactor failed: nothing is sent (got MemoryError: no room)"
    assert vehicle.cloud.requests == []


# Time


def test_the_deadline_is_counted_from_the_frames_stamp(vehicle: Any, frame: Any) -> None:
    body = "return [await hermod.call('blip2', image=image, query='x'{}) for _ in range(1)]"
    late = frame(t_utc=1_700_000_000.0 - 5)
    vehicle.answer(program(body.format("")), late)
    vehicle.answer(program(body.format(", deadline_s=2, priority=1")), late)
    first, second = vehicle.cloud.requests
    assert (first.deadline_utc, first.priority) == (late.info.t_utc + 30, 5)
    assert (second.deadline_utc, second.priority) == (late.info.t_utc + 2, 1)
    assert vehicle.answers[0].latency_s == pytest.approx(5.25)


def test_what_comes_after_the_end_is_ignored(vehicle: Any) -> None:
    vehicle.cloud.lose = lambda request: request.params["query"] == "slow"
    body = """
patch = ImagePatch(image)
await patch.simple_query_start('first')
slow = patch.simple_query_start('slow')
metres = await patch.compute_depth_start()
never = patch.simple_query_start('never')
return metres"""
    answer = vehicle.answer(program(body))
    assert vehicle.answers == [answer]
    assert answer.value == {"depth": 0.0}
    assert answer.cost.calls == {"blip2": 2, "depth": 1}  # what was asked for and not waited for did not start
    # The slow one was told that its pixels are missing when nobody wanted its answer any more.
    assert [(r.params["query"], r.attempt) for r in vehicle.cloud.requests] == [("first", 1), ("slow", 1)]
    assert answer.latency_s == pytest.approx(0.375)
    assert list(answer.observations[0].facts) == ["first"]


def test_frames_beyond_what_the_interpreter_runs_wait_their_turn(vehicle: Any, frame: Any) -> None:
    agent = vehicle.agent()
    asks = prepare(program("return (await hermod.call('blip2', image=image, query='x'))['output']"))
    for sequence in range(11):
        agent.submit(asks, frame(sequence), vehicle.answers.append)
    assert len(vehicle.cloud.requests) == vehicle.interpreter.max_runs == 4
    vehicle.clock.run()
    assert [answer.frame for answer in vehicle.answers] == list(range(11))
    assert {answer.status for answer in vehicle.answers} == {"final"}
    latencies = [answer.latency_s for answer in vehicle.answers]
    assert latencies == pytest.approx([0.25] * 4 + [0.5] * 4 + [0.75] * 3)


def test_many_frames_that_end_at_once(vehicle: Any, frame: Any) -> None:
    agent, loaded, one = vehicle.agent(), frame(), prepare(program("return 1"))
    for _ in range(40):
        agent.submit(one, loaded, vehicle.answers.append)
    assert len(vehicle.answers) == 40  # each before `submit` returned


def test_the_same_frame_twice_under_way(vehicle: Any, frame: Any) -> None:
    agent, asks = vehicle.agent(), prepare(TWICE)
    vehicle.cloud.lose = lambda request: len(vehicle.cloud.requests) == 4
    for _ in range(2):
        agent.submit(asks, frame(), vehicle.answers.append)
    vehicle.clock.run()
    assert [answer.value for answer in vehicle.answers] == ["red", "red"]


# The answer


def test_the_same_again_is_the_same_answer(vehicle: Any, interpreter: Any) -> None:
    first = vehicle.answer(ALL)
    again = type(vehicle)(interpreter).answer(ALL)
    assert again == first
    assert [request.call_id for request in vehicle.cloud.requests] == [call.call_id for call in vehicle.cloud.requests]


def test_a_program_over_a_limit_fails_with_what_it_printed(vehicle: Any) -> None:
    answer = vehicle.answer(program("print('here')\nawait hermod.call('depth', image=image)\nwhile True: pass"))
    assert (answer.status, answer.printed, answer.cost.calls) == ("failed", "here\n", {"depth": 1})
    assert "it computed for too long" in answer.reason
    assert answer.observations[0].distance_m == 0.0  # what was learned is kept


@pytest.mark.parametrize(
    ("sites", "cached", "calls", "source"),
    [
        (set(), 0, 0, "edge"), ({"edge"}, 0, 1, "edge"), ({"cloud"}, 0, 1, "cloud"),
        ({"edge", "cloud"}, 1, 2, "mixed"), ({"cloud"}, 2, 2, "cached"),
    ],
)  # fmt: skip
def test_where_an_answer_came_from(sites: Any, cached: int, calls: int, source: str) -> None:
    assert source_of(sites, cached, calls, "edge") == source


def test_cached_replies_are_counted(vehicle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cached(request: Request, on_reply: Any) -> None:
        reply = Reply(call_id=request.call_id, result={"output": "red"}, cached=True)
        vehicle.clock.call_later(0.25, lambda: on_reply(reply, Traffic(10, 20)))

    monkeypatch.setattr(vehicle.cloud, "send", cached)
    answer = vehicle.answer(program("return ImagePatch(image).simple_query('x')"))
    assert (answer.source, answer.cost.bytes_up, answer.cost.bytes_down) == ("cached", 10, 20)


@pytest.mark.parametrize("result", [{"answer": "red"}, {"output": 3}, [], None])
def test_a_cloud_that_breaks_its_promise(vehicle: Any, monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """A reply of another shape than the schema's is a failed call, not a surprise in the program."""

    def wrong(request: Request, on_reply: Any) -> None:
        vehicle.clock.call_later(0.25, lambda: on_reply(Reply(call_id=request.call_id, result=result), Traffic()))

    monkeypatch.setattr(vehicle.cloud, "send", wrong)
    answer = vehicle.answer(program("return ImagePatch(image).simple_query('x')"))
    assert answer.status == "failed"
    assert "schema does not allow" in answer.reason
    assert all(not o.facts for o in answer.observations)
