"""Distance by the horizon."""

from __future__ import annotations

import math

import pytest

from dicem_shared.camera import Attitude, Calibration, project
from dicem_shared.errors import InvalidCall
from dicem_shared.horizon import HORIZON_MODEL, horizon_depth, horizon_uncertainty
from dicem_shared.types import Box, FrameInfo, Pose

LENS = Calibration(width=640, height=480, fx=500, fy=500, cx=320, cy=240, height_m=1.5, mount_pitch_deg=-8)


def frame(attitude: Attitude | None, *, calibration: Calibration | None = LENS, tilt: float = 0.3) -> FrameInfo:
    return FrameInfo(
        camera="bow",
        sequence=0,
        t_utc=0.0,
        blob="0" * 64,
        width=640,
        height=480,
        pose=Pose(attitude=attitude, attitude_unc_deg=tilt),
        calibration=calibration,
    )


def box_at(metres: float, attitude: Attitude) -> Box:
    """A box that stands on the water there, its foot rounded to whole pixels."""
    foot = project(LENS, attitude, metres, 0.2)
    assert foot is not None
    return round(foot[0]) - 10, round(foot[1]) - 20, 20, 20


@pytest.mark.parametrize("attitude", [Attitude(), Attitude(roll_deg=6, pitch_deg=-3, heading_deg=200)])
@pytest.mark.parametrize("metres", [3.0, 5.0, 12.0, 30.0])
def test_it_finds_what_was_projected_within_its_own_uncertainty(metres: float, attitude: Attitude) -> None:
    box = box_at(metres, attitude)
    found = horizon_depth(box, frame(attitude))
    assert abs(found - math.hypot(metres, 0.2)) <= horizon_uncertainty(box, frame(attitude))


def test_uncertainty_grows_with_distance_and_with_tilt() -> None:
    level = Attitude()
    near, far = (horizon_uncertainty(box_at(m, level), frame(level)) for m in (4.0, 20.0))
    assert 0 < near < far
    assert horizon_uncertainty(box_at(4.0, level), frame(level, tilt=2.0)) > near


def test_height_and_foot_alone_are_what_calculus_says() -> None:
    """d = h / tan(a) for a level camera at the image's centre column, so that each part can be written down."""
    box = (310, 300, 20, 60)
    where = frame(Attitude(), tilt=0.0)
    angle = math.radians(8) + math.atan((360 - 240) / 500)
    distance = 1.5 / math.tan(angle)
    above = math.radians(8) + math.atan((359 - 240) / 500)
    expected = math.hypot(distance * 0.05 / 1.5, 1.5 / math.tan(above) - distance)
    assert horizon_depth(box, where) == pytest.approx(distance)
    assert horizon_uncertainty(box, where) == pytest.approx(expected)


def test_beside_the_horizon_the_uncertainty_is_at_least_the_distance() -> None:
    horizon_row = 240 - 500 * math.tan(math.radians(8))
    box = (310, 100, 20, math.ceil(horizon_row) + 1 - 100)
    assert horizon_uncertainty(box, frame(Attitude())) >= horizon_depth(box, frame(Attitude()))


@pytest.mark.parametrize(
    ("where", "box", "reason"),
    [
        (frame(None), (0, 400, 10, 10), "no attitude"),
        (frame(Attitude(), calibration=None), (0, 400, 10, 10), "no calibration"),
        (frame(Attitude(), calibration=LENS.model_copy(update={"width": 320})), (0, 400, 10, 10), "another image size"),
        (frame(Attitude()), (0, 10, 10, 10), "above the horizon"),
    ],
)
def test_what_cannot_be_measured(where: FrameInfo, box: Box, reason: str) -> None:
    with pytest.raises(InvalidCall, match=reason):
        horizon_depth(box, where)


def test_the_model_has_an_id() -> None:
    assert (HORIZON_MODEL.function, HORIZON_MODEL.name, len(HORIZON_MODEL.sha256)) == ("depth", "horizon-1", 64)
