"""From calls to observations: what is noted under which box, and where on the sea that is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.camera import Attitude, Calibration, water_point
from dicem_shared.horizon import horizon_uncertainty
from dicem_shared.ids import observation_id
from dicem_shared.observations import EARTH_M, observe, offset
from dicem_shared.runner import Outcome, ProgramCall
from dicem_shared.types import Box, Failure, FrameInfo, ModelId, Observation, Pose

BLOB = "ab" * 32
WHOLE: Box = (0, 0, 640, 480)
CAMERA = Calibration(width=640, height=480, fx=700, fy=700, cx=320, cy=240, height_m=1.2)
BARE = FrameInfo(camera="bow", sequence=0, t_utc=0, blob=BLOB, width=640, height=480)
POSED = BARE.model_copy(
    update={
        "pose": Pose(lat=10.0, lon=20.0, position_unc_m=2.0, attitude=Attitude(heading_deg=90)),
        "calibration": CAMERA,
    }
)
AHEAD: Box = (310, 290, 20, 20)  # its foot is at (320, 310): 12 m straight ahead

Script = list[tuple[str, dict[str, Any], Any]]


def model(function: str) -> ModelId:
    return ModelId(function=function, name=f"{function}-model", sha256="0")


def run(script: Script, frame: FrameInfo = BARE, shipped: dict[Box, str] | None = None) -> tuple[Observation, ...]:
    """The observations of calls with these parameters and results; a box stands for its patch."""
    calls, outcomes = [], {}
    for number, (function, params, result) in enumerate(script, 1):
        given_ = {k: {"blob": BLOB, "box": list(v)} if k == "image" else v for k, v in params.items()}
        calls.append(ProgramCall(number=number, id="0" * 32, function=function, params=given_))
        if result is not None:
            outcome = result if isinstance(result, Outcome) else Outcome(result=result, model=model(function))
            outcomes[number] = outcome
    return observe("answer", frame, calls, outcomes, shipped or {})


def detection(name: str, box: Box, score: float = 0.9) -> dict[str, Any]:
    return {"class": name, "score": score, "x": box[0], "y": box[1], "width": box[2], "height": box[3]}


def test_one_observation_a_patch_with_all_that_was_learned() -> None:
    (found,) = run(
        [
            ("yolov8", {"image": WHOLE}, {"objects": [detection("bottle", (10, 20, 30, 40), 0.8)]}),
            ("depth", {"image": (10, 20, 30, 40)}, {"depth": 4.5}),
            ("blip2", {"image": (10, 20, 30, 40), "query": "What is this?"}, {"output": "a plastic bottle"}),
            ("blip", {"image": (10, 20, 30, 40), "question": "What material is it made of?"}, {"answer": "plastic"}),
            ("blip2", {"image": (10, 20, 30, 40), "query": "Is it broken?"}, {"output": "no"}),
            (
                "xvlm",
                {"image": (10, 20, 30, 40), "object_name": "bottle", "property": "floating"},
                {"result": True, "score": 0.9, "scores": []},
            ),
        ],
        shipped={(10, 20, 30, 40): "cd" * 32},
    )
    assert found == Observation.model_validate(
        {
            "id": observation_id("answer", (10, 20, 30, 40)),
            "class": "a plastic bottle",
            "material": "plastic",
            "distance_m": 4.5,
            "confidence": 0.8,
            "facts": {
                "What is this?": "a plastic bottle",
                "What material is it made of?": "plastic",
                "Is it broken?": "no",
                "bottle: floating": True,
            },
            "bbox": (10, 20, 30, 40),
            "crop_blob": "cd" * 32,
            "models": tuple(model(name) for name in ("blip", "blip2", "depth", "xvlm", "yolov8")),
        }
    )


def test_boxes_of_a_crop_become_boxes_of_the_frame() -> None:
    inner = {"x": 5, "y": 6, "width": 7, "height": 8, "score": 0.5}
    (found,) = run([("glip", {"image": (100, 200, 50, 60), "object_name": "cap"}, [inner])])
    assert found.bbox == (105, 206, 7, 8)
    assert (found.class_, found.confidence) == ("cap", 0.5)


def test_nearest_first_then_from_the_left_those_without_a_distance_last() -> None:
    boxes: list[Box] = [(50, 0, 9, 9), (10, 0, 9, 9), (30, 0, 9, 9), (20, 0, 9, 9)]
    script: Script = [("yolov8", {"image": WHOLE}, {"objects": [detection("x", box) for box in boxes]})]
    script += [("depth", {"image": boxes[0]}, {"depth": 0.0}), ("depth", {"image": boxes[2]}, {"depth": 0.5})]
    assert [found.bbox[0] for found in run(script)] == [50, 30, 10, 20]


def test_what_taught_nothing_leaves_nothing() -> None:
    assert run([]) == ()
    assert (
        run(
            [
                ("yolov8", {"image": WHOLE}, {"objects": []}),
                ("glip", {"image": WHOLE, "object_name": "bottle"}, []),
                ("llm", {"prompt": "Is PET a plastic?"}, {"output": "yes"}),
                ("depth", {"image": AHEAD}, None),  # not ended
                ("depth", {"image": AHEAD}, Outcome(failure=Failure(kind="TimeoutError", message="late"))),
                ("xvlm", {"image": AHEAD, "object_name": "bottle"}, {"result": True, "score": 1.0, "scores": [1.0]}),
            ]
        )
        == ()
    )


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("What is this?", "class_"),
        ("what are these", "class_"),
        ("What is it ?", "class_"),
        ("What is this made of?", "material"),
        ("Which MATERIAL?", "material"),
        ("made from what?", "material"),
        ("What is this doing?", None),
        ("Is it homemade of sorts?", None),
        ("immaterial", None),
    ],
)
def test_questions_for_the_name_and_the_material(question: str, field: str | None) -> None:
    (found,) = run([("blip2", {"image": AHEAD, "query": question}, {"output": "reply"})])
    said = {name for name in ("class_", "material") if getattr(found, name) == "reply"}
    assert said == ({field} if field else set())
    assert found.facts == {question: "reply"}


def test_a_name_that_was_asked_for_outweighs_the_detectors() -> None:
    script: Script = [
        ("blip2", {"image": AHEAD, "query": "What is this?"}, {"output": "buoy"}),
        ("yolov8", {"image": WHOLE}, {"objects": [detection("bottle", AHEAD)]}),
    ]
    assert [found.class_ for found in run(script)] == ["buoy"]
    assert [found.class_ for found in run(script[1:])] == ["bottle"]


def test_a_result_without_a_model_is_noted_all_the_same() -> None:
    (found,) = run([("depth", {"image": AHEAD}, Outcome(result={"depth": 7.0}))])
    assert (found.distance_m, found.models) == (7.0, ())


# Where it is


def place(frame: FrameInfo, box: Box = AHEAD, distance: float = 12.0) -> Observation:
    (found,) = run([("depth", {"image": box}, {"depth": distance})], frame)
    return found


def posed(**changes: Any) -> FrameInfo:
    assert POSED.pose is not None
    return POSED.model_copy(update={"pose": POSED.pose.model_copy(update=changes)})


def test_straight_ahead_on_an_easterly_heading_is_east() -> None:
    found = place(POSED)
    metres_a_degree = math.radians(1) * EARTH_M * math.cos(math.radians(10))
    assert found.lat == pytest.approx(10.0, abs=1e-9)
    assert found.lon == pytest.approx(20.0 + 12.0 / metres_a_degree, abs=1e-10)
    assert (found.vehicle_lat, found.vehicle_lon, found.heading_true) == (10.0, 20.0, 90.0)
    assert found.pos_method == "horizon"
    assert found.distance_unc_m == pytest.approx(horizon_uncertainty(AHEAD, POSED))
    assert found.pos_unc_m == pytest.approx(math.hypot(horizon_uncertainty(AHEAD, POSED), 2.0))


def test_the_direction_is_the_pixels_and_the_distance_the_functions() -> None:
    """The foot at (390, 310) bears atan(0.1) to starboard: southward of east.  The distance says 20 m, not 12."""
    found = place(POSED, (380, 290, 20, 20), 20.0)
    angle = math.atan(0.1)
    assert found.distance_m == 20.0
    assert found.lat == pytest.approx(10.0 - math.degrees(20 * math.sin(angle) / EARTH_M), abs=1e-10)
    east = 20 * math.cos(angle) / (EARTH_M * math.cos(math.radians(10)))
    assert found.lon == pytest.approx(20.0 + math.degrees(east), abs=1e-10)


def test_the_direction_is_that_of_the_middle_of_the_lower_edge() -> None:
    tilted = posed(attitude=Attitude(roll_deg=20, pitch_deg=-5, heading_deg=0))
    foot = water_point(CAMERA, Attitude(roll_deg=20, pitch_deg=-5), 220 + 15, 300 + 60)
    assert foot is not None
    found = place(tilted, (220, 300, 30, 60), math.hypot(*foot))
    assert (found.lat, found.lon) == pytest.approx(offset(10.0, 20.0, 0.0, *foot), abs=1e-11)


def test_the_lever_arm_moves_the_place() -> None:
    moved = POSED.model_copy(update={"calibration": CAMERA.model_copy(update={"lever_arm_m": (3.0, 1.0, -2.0)})})
    found = place(moved)
    assert found.lat == pytest.approx(10.0 - math.degrees(1.0 / EARTH_M), abs=1e-10)
    assert found.lon == pytest.approx(20.0 + math.degrees(15.0 / (EARTH_M * math.cos(math.radians(10)))), abs=1e-10)


@pytest.mark.parametrize(
    ("frame", "known"),
    [
        (BARE, set()),
        (BARE.model_copy(update={"calibration": CAMERA}), set()),
        (posed(attitude=None), {"vehicle_lat", "vehicle_lon"}),
        (POSED.model_copy(update={"calibration": None}), {"vehicle_lat", "vehicle_lon"}),
        (posed(lat=None, lon=None), {"heading_true", "distance_unc_m"}),
    ],
)
def test_no_more_is_said_than_is_known(frame: FrameInfo, known: set[str]) -> None:
    found = place(frame).model_dump(include={"lat", "lon", "pos_unc_m", "pos_method", "vehicle_lat", "vehicle_lon",
                                             "heading_true", "distance_unc_m"}, exclude_none=True)  # fmt: skip
    assert set(found) == known


def test_above_the_horizon_there_is_no_place() -> None:
    found = place(POSED, (310, 100, 20, 20))
    assert (found.lat, found.distance_unc_m, found.distance_m) == (None, None, 12.0)


def test_without_a_distance_there_is_no_place() -> None:
    (found,) = run([("yolov8", {"image": WHOLE}, {"objects": [detection("bottle", AHEAD)]})], POSED)
    assert (found.lat, found.distance_m, found.vehicle_lat) == (None, None, 10.0)


def test_a_calibration_for_another_size_places_nothing() -> None:
    wrong = POSED.model_copy(update={"calibration": CAMERA.model_copy(update={"width": 1280})})
    found = place(wrong)
    assert (found.lat, found.distance_unc_m, found.distance_m) == (None, None, 12.0)


def test_a_position_without_uncertainty_adds_none() -> None:
    found = place(posed(position_unc_m=None))
    assert found.pos_unc_m == pytest.approx(horizon_uncertainty(AHEAD, POSED))


@pytest.mark.parametrize(
    ("heading", "ahead", "starboard", "north", "east"),
    [(0, 100, 0, 100, 0), (90, 100, 0, 0, 100), (180, 100, 0, -100, 0), (270, 0, 100, 100, 0), (0, 0, 100, 0, 100)],
)
def test_offsets_by_the_compass(heading: float, ahead: float, starboard: float, north: float, east: float) -> None:
    lat, lon = offset(60.0, 5.0, heading, ahead, starboard)
    assert lat == pytest.approx(60.0 + math.degrees(north / EARTH_M), abs=1e-12)
    assert lon == pytest.approx(5.0 + 2 * math.degrees(east / EARTH_M), abs=1e-11)  # cos 60 degrees is a half


def test_longitude_goes_on_over_the_antimeridian() -> None:
    step = math.degrees(1000 / EARTH_M)
    assert offset(0, 179.999, 90, 1000, 0)[1] == pytest.approx(179.999 + step - 360)
    assert offset(0, -179.999, 270, 1000, 0)[1] == pytest.approx(-179.999 - step + 360)


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 359), st.floats(0, 1e5), st.floats(-1e5, 1e5))
def test_offsets_are_places(lat: float, lon: float, heading: float, ahead: float, starboard: float) -> None:
    there = offset(lat, lon, heading, ahead, starboard)
    assert -90 <= there[0] <= 90
    assert -180 <= there[1] <= 180
