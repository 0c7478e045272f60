"""The contracts: round trips, bounds, and the published schema of an answer."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from dicem_shared.camera import Attitude, Calibration
from dicem_shared.ids import answer_schema
from dicem_shared.types import (
    Answer,
    Code,
    Cost,
    Failure,
    FrameInfo,
    Handle,
    ModelId,
    Observation,
    Pose,
    Reply,
    Request,
    is_finite,
)

BLOB = "0f" * 32
MODEL = ModelId(function="blip2", name="blip2-opt", sha256="e" * 64)
OBSERVATION = Observation.model_validate(
    {
        "id": "b" * 32, "lat": 43.27, "lon": 5.32, "pos_unc_m": 1.5, "pos_method": "horizon", "vehicle_lat": 43.2701,
        "vehicle_lon": 5.3201, "heading_true": 359.9, "distance_m": 4.2, "distance_unc_m": 0.3, "class": "bottle",
        "code": {"list": "J", "version": "2021", "code": "J7"}, "material": "plastic",
        "facts": {"What is this?": "a bottle", "floating": True}, "confidence": 0.93, "bbox": (10, 20, 30, 40),
        "crop_blob": BLOB, "models": (MODEL,),
    }
)  # fmt: skip
ANSWER = Answer(
    id="a" * 32,
    survey_id="2026-06-01",
    vehicle="boat-1",
    camera="bow",
    frame=17,
    program_id="litter-1",
    status="final",
    source="mixed",
    t_utc=1_780_304_400.5,
    t_unc_s=0.05,
    clock_source="gps",
    value={"near": True, "what": ["bottle"]},
    printed="one bottle\n",
    observations=(OBSERVATION,),
    latency_s=0.4,
    cost=Cost(bytes_up=4000, bytes_down=200, cloud_s=0.1, usd=1e-6, calls={"yolov8": 1, "blip2": 2}),
)
EMPTY = ANSWER.model_copy(update={"value": None, "observations": (), "printed": "", "cost": Cost()})
FRAME = FrameInfo(
    camera="bow",
    sequence=0,
    t_utc=0.0,
    blob=BLOB,
    width=640,
    height=480,
    pose=Pose(lat=1.0, lon=-180.0, attitude=Attitude(roll_deg=-3, heading_deg=359.99)),
    calibration=Calibration(width=640, height=480, fx=700, fy=700, cx=320, cy=240, height_m=1.2),
)
REQUEST = Request(
    call_id="0" * 32, vehicle="v", program="p", frame=FRAME, function="llm", params={"prompt": "why"},
    deadline_utc=1.0, reply_topic="dicem/v1/f/v/res/a",
)  # fmt: skip
VALIDATOR = jsonschema.Draft202012Validator(answer_schema())


def as_json(answer: Answer) -> Any:
    return json.loads(json.dumps(answer.model_dump(mode="json", by_alias=True), allow_nan=False))


@pytest.mark.parametrize("model", [ANSWER, EMPTY, OBSERVATION, FRAME, REQUEST, Reply(call_id="c", model=MODEL)])
def test_json_and_back(model: BaseModel) -> None:
    assert type(model).model_validate_json(model.model_dump_json(by_alias=True)) == model


def test_names_that_python_reserves_are_plain_outside() -> None:
    written = as_json(ANSWER)["observations"][0]
    assert (written["class"], written["code"]["list"]) == ("bottle", "J")
    assert not [name for name in (*written, *written["code"]) if name.endswith("_")]
    assert Code.model_validate(written["code"]).list_ == "J"


@pytest.mark.parametrize("answer", [ANSWER, EMPTY])
def test_real_answers_fit_the_published_schema(answer: Answer) -> None:
    VALIDATOR.validate(as_json(answer))
    slim = json.loads(answer.model_dump_json(by_alias=True, exclude_defaults=True))
    VALIDATOR.validate(slim)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "done"), ("vehicle", "boat/1"), ("vehicle", ""), ("frame", -1), ("t_utc", "now"), ("surprise", 1),
        ("schema_version", 2), ("observations", [{"id": "x"}]), ("t_utc", -1), ("t_utc", 1e12), ("cost", {"usd": -1}),
    ],
)  # fmt: skip
def test_schema_and_model_refuse_the_same(path: str, value: Any) -> None:
    wrong = as_json(ANSWER) | {path: value}
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(ValidationError):
        Answer.model_validate(wrong)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", 90.1), ("lon", -180.1), ("vehicle_lat", -91), ("heading_true", 360), ("confidence", 1.1),
        ("distance_m", -1), ("bbox", [1, 2, 3]), ("bbox", [1, 2, 3, 4, 5]), ("crop_blob", "abc"),
        ("crop_blob", "G" * 64),
        ("class_", "bottle"), ("models", [{"function": "f"}]),
    ],
)  # fmt: skip
def test_observations_are_bounded_in_schema_and_model(field: str, value: Any) -> None:
    wrong = as_json(ANSWER)
    wrong["observations"][0][field] = value
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(ValidationError):
        Answer.model_validate(wrong)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_everywhere(number: float) -> None:
    for model, fields in (
        (ANSWER, ("t_utc", "t_unc_s", "latency_s", "value")),
        (OBSERVATION, ("lat", "lon", "distance_m", "heading_true", "confidence", "pos_unc_m")),
        (FRAME, ("t_utc",)),
        (REQUEST, ("deadline_utc",)),
        (Reply(call_id="c"), ("result", "queue_s", "price_usd")),
    ):
        for field in fields:
            with pytest.raises(ValidationError, match="finite"):
                type(model).model_validate(model.model_dump(by_alias=True) | {field: number})
    for wrapped in (
        {"value": [{"deep": (number,)}]},
        {"observations": [{"id": "x", "bbox": (0,) * 4, "facts": {"q": number}}]},
    ):
        with pytest.raises(ValidationError, match="finite"):
            Answer.model_validate(ANSWER.model_dump(by_alias=True) | wrapped)


NUMBERS = st.floats() | st.integers(0, 9)


@given(
    st.recursive(
        NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("a"), inner), max_leaves=6
    )
)
def test_is_finite_is_what_json_can_say(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        assert not is_finite(value)
    else:
        assert is_finite(value)


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ANSWER.value = 1
    with pytest.raises(ValidationError, match="frozen"):
        OBSERVATION.bbox = (0, 0, 0, 0)


def test_a_handle_is_a_blob_and_a_box_of_it() -> None:
    assert FRAME.handle == Handle(blob=BLOB, box=(0, 0, 640, 480))
    for wrong in ({"blob": BLOB[:-1], "box": (0, 0, 1, 1)}, {"blob": BLOB.upper(), "box": (0, 0, 1, 1)},
                  {"blob": BLOB, "box": (-1, 0, 1, 1)}, {"blob": BLOB, "box": (0, 0, 1.5, 1)},
                  {"blob": BLOB + "\n", "box": (0, 0, 1, 1)}):  # fmt: skip
        with pytest.raises(ValidationError):
            Handle.model_validate(wrong)


@pytest.mark.parametrize("t_utc", [-1, 253402300800, 1e18])
def test_a_stamp_has_a_calendar_date(t_utc: float) -> None:
    with pytest.raises(ValidationError, match="t_utc"):
        FrameInfo.model_validate(FRAME.model_dump() | {"t_utc": t_utc})


def test_a_failure_is_one_that_a_program_can_see() -> None:
    assert Failure(kind="TimeoutError", message="late").retry_after_s is None
    with pytest.raises(ValidationError, match="kind"):
        Failure.model_validate({"kind": "SystemExit", "message": "out"})
