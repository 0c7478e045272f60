"""From the calls of a run to observations: one for each patch on which something was learned."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from .camera import water_point
from .errors import InvalidCall
from .horizon import horizon_uncertainty
from .ids import observation_id
from .runner import Outcome, ProgramCall
from .types import Box, FrameInfo, ModelId, Observation

EARTH_M = 6_371_008.8
"""mean radius, IUGG"""
_NAME_QUESTION = re.compile(r"\bwhat (?:is|are) (?:this|that|it|these|those)\s*\??\s*$", re.IGNORECASE)
_MATERIAL_QUESTION = re.compile(r"\bmaterial\b|\bmade (?:of|from)\b", re.IGNORECASE)


@dataclass
class _Learned:
    """What is known of one box so far."""

    seen_as: str | None = None
    named: str | None = None
    material: str | None = None
    distance_m: float | None = None
    confidence: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    models: dict[str, ModelId] = field(default_factory=dict)


def observe(
    answer: str,
    frame: FrameInfo,
    calls: list[ProgramCall],
    outcomes: dict[int, Outcome],
    shipped: dict[Box, str],
    *,
    reported: Collection[int] = (),
) -> tuple[Observation, ...]:
    """The observations of one run, nearest first, then from the top left.

    `answer` is the answer's id, `shipped` says under which blob id a box was sent.  Calls whose numbers are in
    `reported` stand in another answer: they say more of what this run learned about, and make no observation alone.
    """
    learned = _learn(calls, outcomes)
    own = _learn([call for call in calls if call.number not in reported], outcomes) if reported else learned
    found = [_observation(answer, frame, box, what, shipped.get(box)) for box, what in learned.items() if box in own]
    return tuple(sorted(found, key=lambda o: (o.distance_m is None, o.distance_m or 0.0, o.bbox)))


def _learn(calls: list[ProgramCall], outcomes: dict[int, Outcome]) -> dict[Box, _Learned]:
    """What is known of each box."""
    learned: dict[Box, _Learned] = {}
    for call in calls:
        outcome = outcomes.get(call.number)
        if outcome is None or outcome.failure is not None or "image" not in call.params:
            continue
        x, y, width, height = call.params["image"]["box"]
        _note(learned, (x, y, width, height), call, outcome)
    return learned


def _note(learned: dict[Box, _Learned], box: Box, call: ProgramCall, outcome: Outcome) -> None:
    """Take down what one call taught."""

    def about(which: Box) -> _Learned:
        entry = learned.setdefault(which, _Learned())
        if outcome.model is not None:
            entry.models[call.function] = outcome.model
        return entry

    result = outcome.result
    match call.function:
        case "yolov8" | "glip":
            objects = result["objects"] if isinstance(result, dict) else result
            for item in objects:
                entry = about((box[0] + item["x"], box[1] + item["y"], item["width"], item["height"]))
                entry.seen_as = item.get("class", call.params.get("object_name"))
                entry.confidence = item["score"]
        case "depth":
            about(box).distance_m = result["depth"]
        case "blip2" | "blip":
            question = call.params.get("query", call.params.get("question", ""))
            reply = result.get("output", result.get("answer", ""))
            entry = about(box)
            entry.facts[question] = reply
            if _MATERIAL_QUESTION.search(question):
                entry.material = reply
            elif _NAME_QUESTION.search(question):
                entry.named = reply
        case "xvlm" if call.params.get("property"):
            about(box).facts[f"{call.params['object_name']}: {call.params['property']}"] = result["result"]


def _observation(answer: str, frame: FrameInfo, box: Box, what: _Learned, crop_blob: str | None) -> Observation:
    place = _place(frame, box, what.distance_m)
    return Observation.model_validate(
        {
            "id": observation_id(answer, box),
            "distance_m": what.distance_m,
            "class": what.named or what.seen_as,
            "material": what.material,
            "facts": what.facts,
            "confidence": what.confidence,
            "bbox": box,
            "crop_blob": crop_blob,
            "models": tuple(what.models[name] for name in sorted(what.models)),
            **place,
        }
    )


def _place(frame: FrameInfo, box: Box, distance_m: float | None) -> dict[str, Any]:
    """Where it floats, as far as pose and calibration say."""
    pose = frame.pose
    if pose is None:
        return {}
    place: dict[str, Any] = {"vehicle_lat": pose.lat, "vehicle_lon": pose.lon}
    if pose.attitude is None or frame.calibration is None:
        return place
    place["heading_true"] = pose.attitude.heading_deg
    x, y, width, height = box
    point = water_point(frame.calibration, pose.attitude, x + width / 2, y + height)
    if point is None or distance_m is None:
        return place
    try:
        distance_unc_m = horizon_uncertainty(box, frame)
    except InvalidCall:  # calibrated at another size, or too far to tell: a distance from elsewhere stands alone
        return place
    place["distance_unc_m"] = distance_unc_m
    if pose.lat is None or pose.lon is None:
        return place
    forward, right, _ = frame.calibration.lever_arm_m
    scale = distance_m / max(math.hypot(*point), 1e-6)
    ahead, starboard = point[0] * scale + forward, point[1] * scale + right
    place["lat"], place["lon"] = offset(pose.lat, pose.lon, pose.attitude.heading_deg, ahead, starboard)
    place["pos_unc_m"] = math.hypot(distance_unc_m, pose.position_unc_m or 0.0)
    place["pos_method"] = "horizon"
    return place


def offset(lat: float, lon: float, heading_deg: float, ahead_m: float, starboard_m: float) -> tuple[float, float]:
    """The place some metres ahead and to starboard; flat-earth, good to a centimetre within a kilometre.

    Longitude stays within 180 degrees across the antimeridian.
    """
    heading = math.radians(heading_deg)
    north = ahead_m * math.cos(heading) - starboard_m * math.sin(heading)
    east = ahead_m * math.sin(heading) + starboard_m * math.cos(heading)
    there = lon + math.degrees(east / (EARTH_M * math.cos(math.radians(lat))))
    if not -180 <= there <= 180:
        there = (there + 180) % 360 - 180
    return max(-90.0, min(90.0, lat + math.degrees(north / EARTH_M))), there
