"""The gateway: one reply to every request, whatever the request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dicem_cloud.config import Limits
from dicem_cloud.gateway import Gateway
from dicem_shared import images
from dicem_shared.camera import Attitude, water_distance
from dicem_shared.horizon import HORIZON_MODEL
from dicem_shared.ids import blob_id
from dicem_shared.messages import decode, encode
from dicem_shared.types import Failure, Handle, Reply, Request, ShippedBlob

LEFT, RIGHT = (0, 0, 32, 48), (32, 0, 32, 48)


def failure(reply: Reply) -> Failure:
    assert reply.failure is not None, reply
    assert reply.result is None
    return reply.failure


def test_a_result_carries_its_model_its_time_and_its_price(gateway: Gateway, clock: Any, ask: Any) -> None:
    clock.step = 0.5
    reply = gateway.handle(ask(box=RIGHT), vehicle="boat")
    assert reply.failure is None
    assert reply.result == {"output": "blue"}
    assert (reply.model.name, reply.site, reply.cached) == ("mean", "cloud", False)  # type: ignore[union-attr]
    assert (reply.compute_s, reply.price_usd) == (0.5, 0.5)


def test_a_request_survives_the_wire(gateway: Gateway, ask: Any) -> None:
    request = decode(Request, encode(ask(box=LEFT)))
    reply = decode(Reply, encode(gateway.handle(request, vehicle="boat")))
    assert reply.result == {"output": "red"}


def test_a_request_in_anothers_name_is_refused(gateway: Gateway, ask: Any, store: Any) -> None:
    why = failure(gateway.handle(ask(vehicle="boat"), vehicle="pirate"))
    assert why.kind == "RuntimeError"
    assert "not its sender's own" in why.message
    assert why.reason == "bad-message"
    assert len(store) == 0


def test_an_unknown_function_names_the_nearest(gateway: Gateway, ask: Any) -> None:
    why = failure(gateway.handle(ask("color"), vehicle="boat"))
    assert (why.kind, "Did you mean colour" in why.message) == ("RuntimeError", True)
    assert why.reason == "unknown-function"


def test_a_second_arrival_is_answered_from_the_cache(gateway: Gateway, clock: Any, colours: Any, ask: Any) -> None:
    clock.step = 0.25
    request = ask()
    first = gateway.handle(request, vehicle="boat")
    clock.now += 100  # even when its deadline has passed by now
    again = gateway.handle(request.model_copy(update={"attempt": 2, "blobs": ()}), vehicle="boat")
    assert (again.cached, again.attempt) == (True, 2)
    assert again.model_copy(update={"cached": False, "attempt": 1}) == first
    assert colours.batches == [1]


def test_the_cache_is_no_vehicles_but_the_callers(gateway: Gateway, ask: Any, colours: Any) -> None:
    request = ask()
    gateway.handle(request, vehicle="boat")
    other = ask(vehicle="other").model_copy(update={"call_id": request.call_id})
    assert gateway.handle(other, vehicle="other").cached is False
    assert colours.batches == [1, 1]


def test_the_cache_is_bounded(clock: Any, store: Any, colours: Any, ask: Any) -> None:
    gateway = Gateway({"colour": colours}, store, clock, limits=Limits(results_kept=2))
    requests = [ask(seed=seed) for seed in (1, 2, 3)]
    for request in requests:
        gateway.handle(request, vehicle="boat")
    assert [gateway.handle(r, vehicle="boat").cached for r in (requests[2], requests[1], requests[0])] == [
        True,
        True,
        False,
    ]


def test_failures_are_not_cached(gateway: Gateway, ask: Any) -> None:
    request = ask(ship=False)
    assert failure(gateway.handle(request, vehicle="boat")).blob_missing == request.frame.blob
    shipped = request.model_copy(update={"blobs": ask().blobs})
    assert gateway.handle(shipped, vehicle="boat").result == {"output": "red"}


def test_what_comes_too_late_is_not_run(gateway: Gateway, clock: Any, colours: Any, ask: Any) -> None:
    clock.now += 10
    assert failure(gateway.handle(ask(), vehicle="boat")).kind == "TimeoutError"
    assert colours.batches == []


def test_pixels_are_shipped_once(gateway: Gateway, ask: Any) -> None:
    gateway.handle(ask(box=LEFT), vehicle="boat")
    assert gateway.handle(ask(box=RIGHT, ship=False), vehicle="boat").result == {"output": "blue"}


def test_a_missing_blob_reveals_nothing_about_others(gateway: Gateway, ask: Any) -> None:
    unknown = failure(gateway.handle(ask(ship=False, vehicle="spy"), vehicle="spy"))
    gateway.handle(ask(vehicle="boat"), vehicle="boat")
    held_by_boat = failure(gateway.handle(ask(ship=False, vehicle="spy"), vehicle="spy"))
    assert held_by_boat == unknown
    assert unknown.kind == "RuntimeError"


def test_a_crop_stands_for_its_box_of_the_frame(gateway: Gateway, ask: Any) -> None:
    request = ask(box=(36, 8, 10, 10), ship=False)
    crop = images.encode(_blue(20, 20), format="png")
    shipped = ShippedBlob(blob=blob_id(crop), source=Handle(blob=request.frame.blob, box=(30, 4, 20, 20)), data=crop)
    assert gateway.handle(request.model_copy(update={"blobs": (shipped,)}), vehicle="boat").result == {"output": "blue"}


def test_a_crop_of_another_size_than_it_says_is_refused(gateway: Gateway, ask: Any) -> None:
    request = ask(box=(36, 8, 10, 10), ship=False)
    crop = images.encode(_blue(19, 20), format="png")
    shipped = ShippedBlob(blob=blob_id(crop), source=Handle(blob=request.frame.blob, box=(30, 4, 20, 20)), data=crop)
    why = failure(gateway.handle(request.model_copy(update={"blobs": (shipped,)}), vehicle="boat"))
    assert (why.kind, "20 x 20" in why.message) == ("ValueError", True)


def test_a_blob_that_is_not_what_its_id_says_is_not_kept(gateway: Gateway, store: Any, ask: Any) -> None:
    good, other = ask().blobs[0], ask(seed=9).blobs[0]
    forged = good.model_copy(update={"data": other.data})
    why = failure(gateway.handle(ask().model_copy(update={"blobs": (other, forged)}), vehicle="boat"))
    assert (why.kind, "not what its id says" in why.message) == ("RuntimeError", True)
    assert len(store) == 0


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"image": "a path"},
        {"image": None},
        {"image": {"blob": "0" * 64, "box": [0, 0, 8, 8]}},
        {"wanted": 3},
        {"surprise": 1},
    ],
)
def test_bad_parameters_are_the_callers_mistake(gateway: Gateway, ask: Any, params: dict[str, Any]) -> None:
    request = ask()
    given = params if params.keys() <= {"image"} else request.params | params
    assert failure(gateway.handle(request.model_copy(update={"params": given}), vehicle="boat")).kind == "ValueError"


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (60, 0, 10, 10)])
def test_a_box_must_lie_in_its_frame(gateway: Gateway, ask: Any, box: Any) -> None:
    assert failure(gateway.handle(ask(box=box), vehicle="boat")).kind == "ValueError"


def test_bytes_that_are_no_image(gateway: Gateway, ask: Any) -> None:
    data = b"GIF89a, or so it says"
    request = ask(ship=False)
    frame = request.frame.model_copy(update={"blob": blob_id(data)})
    shipped = ShippedBlob(blob=frame.blob, source=frame.handle, data=data)
    changed = {"frame": frame, "blobs": (shipped,), "params": {"image": frame.handle.model_dump()}}
    why = failure(gateway.handle(request.model_copy(update=changed), vehicle="boat"))
    assert (why.kind, "no image we accept" in why.message) == ("ValueError", True)


def test_an_image_over_the_limit_is_not_decoded(clock: Any, store: Any, colours: Any, ask: Any) -> None:
    gateway = Gateway({"colour": colours}, store, clock, limits=Limits(max_pixels=64 * 48 - 1))
    assert "too large" in failure(gateway.handle(ask(), vehicle="boat")).message


def test_a_function_that_crashes_tells_its_callers_little(gateway: Gateway, ask: Any, caplog: Any) -> None:
    why = failure(gateway.handle(ask(wanted="crash"), vehicle="boat"))
    assert (why.kind, why.message) == ("RuntimeError", "colour failed (KeyError). The cloud's log says more.")
    assert "secret detail" in caplog.text


def test_a_result_against_the_schema_does_not_go_out(gateway: Gateway, ask: Any) -> None:
    why = failure(gateway.handle(ask("liar"), vehicle="boat"))
    assert (why.kind, "schema does not allow" in why.message) == ("RuntimeError", True)


def test_a_bad_item_does_not_fail_its_batch(gateway: Gateway, clock: Any, colours: Any, ask: Any) -> None:
    clock.step = 0.3
    batch = [
        ask(box=LEFT),
        ask(wanted="crash"),
        ask(ship=False, seed=5),
        ask("nothing"),
        ask(box=RIGHT),
        ask(box=LEFT),  # the first one's twin
        ask(seed=2),
    ]
    replies = gateway.handle_batch([(request, "boat") for request in batch])
    assert [reply.call_id for reply in replies] == [request.call_id for request in batch]
    results = [reply.result and reply.result["output"] for reply in replies]
    assert results == ["red", None, None, None, "blue", "red", "red"]
    assert replies[5].cached
    assert colours.batches == [2, 2]  # at most three a batch, and one of the first three lacked its pixels
    assert [round(reply.compute_s, 3) for reply in replies if reply.result] == [0.15, 0.15, 0.15, 0.15]


def test_a_batch_that_comes_back_short_fails_as_a_whole(gateway: Gateway, colours: Any, ask: Any) -> None:
    colours.run = lambda batch: []
    assert "lost calls" in failure(gateway.handle(ask(), vehicle="boat")).message


def test_depth_is_the_horizons(gateway: Gateway, ask: Any, calibration: Any) -> None:
    attitude = Attitude(roll_deg=3, pitch_deg=-2)
    reply = gateway.handle(ask("depth", box=(10, 30, 8, 6), attitude=attitude), vehicle="boat")
    assert reply.result == {"depth": pytest.approx(water_distance(calibration, attitude, 14, 36), abs=0.005)}
    assert reply.model == HORIZON_MODEL


@pytest.mark.parametrize(
    ("box", "attitude", "reason"),
    [((10, 0, 8, 6), Attitude(), "above the horizon"), ((10, 30, 8, 6), None, "no attitude")],
)
def test_what_the_horizon_cannot_measure(gateway: Gateway, ask: Any, box: Any, attitude: Any, reason: str) -> None:
    why = failure(gateway.handle(ask("depth", box=box, attitude=attitude), vehicle="boat"))
    assert (why.kind, reason in why.message) == ("ValueError", True)


def _blue(width: int, height: int) -> images.Pixels:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 2] = 255
    return image
