"""Distance without a network: where the foot of a box meets flat water, seen from a known height and attitude.

Edge and cloud run this very code, which is why `depth` may be placed on either.
"""

from __future__ import annotations

import hashlib
import math

from .camera import Attitude, Calibration, water_distance
from .errors import InvalidCall
from .types import Box, FrameInfo, ModelId

MAX_DISTANCE_M = 1_000_000.0
"""What the result schema of `depth` allows; flat water that far is the horizon."""
HEIGHT_UNC_M = 0.05
"""95 %: trim, load and small waves move the lens up and down."""
FOOT_UNC_PX = 1.0
"""95 %: where a box ends."""

HORIZON_MODEL = ModelId(
    function="depth",
    name="horizon-1",
    sha256=hashlib.sha256(
        b"horizon-1: d = h / tan(angle below the horizon), at (x + width / 2, y + height) of the box, flat water"
    ).hexdigest(),
)


def can_range(frame: FrameInfo) -> bool:
    """True where the frame says how the camera lay: calibration and attitude are both known."""
    return frame.calibration is not None and frame.pose is not None and frame.pose.attitude is not None


def horizon_depth(box: Box, frame: FrameInfo) -> float:
    """Metres over the water from below the camera to the foot of `box` (frame pixels), the middle of its lower edge.

    :raises InvalidCall: the frame has no attitude or calibration, the calibration is for another image size, or the
        foot lies above the horizon
    """
    calibration, attitude = _geometry(frame)
    x, y = _foot(box)
    metres = _distance(calibration, attitude, x, y)
    if metres is None:
        raise InvalidCall(
            "the patch lies above the horizon", expected="a box whose lower edge is on the water", got=f"box {box}"
        )
    return metres


def horizon_uncertainty(box: Box, frame: FrameInfo) -> float:
    """95 % uncertainty, in metres, of `horizon_depth`.

    Roll and pitch (`pose.attitude_unc_deg`), the foot (`FOOT_UNC_PX`) and the camera's height (`HEIGHT_UNC_M`) are each
    moved both ways; the larger change of each counts, and their squares add.  A change that passes the horizon
    counts as the distance itself.

    :raises InvalidCall: as `horizon_depth`
    """
    metres = horizon_depth(box, frame)
    calibration, attitude = _geometry(frame)
    x, y = _foot(box)
    tilt = frame.pose.attitude_unc_deg if frame.pose else 0.0

    def moved(*, roll: float = 0.0, pitch: float = 0.0, foot: float = 0.0, height: float = 0.0) -> float:
        lens = calibration.model_copy(update={"height_m": max(0.01, calibration.height_m + height)})
        tilted = attitude.model_copy(
            update={"roll_deg": attitude.roll_deg + roll, "pitch_deg": attitude.pitch_deg + pitch}
        )
        other = _distance(lens, tilted, x, y + foot)
        return metres if other is None else abs(other - metres)

    changes = (
        max(moved(roll=tilt), moved(roll=-tilt)),
        max(moved(pitch=tilt), moved(pitch=-tilt)),
        max(moved(foot=FOOT_UNC_PX), moved(foot=-FOOT_UNC_PX)),
        max(moved(height=HEIGHT_UNC_M), moved(height=-HEIGHT_UNC_M)),
    )
    return math.hypot(*changes)


def _geometry(frame: FrameInfo) -> tuple[Calibration, Attitude]:
    if frame.calibration is None or frame.pose is None or frame.pose.attitude is None:
        lacking = "calibration" if frame.calibration is None else "attitude"
        raise InvalidCall(
            f"the frame has no {lacking}", todo="Distance by the horizon needs the camera's calibration and an IMU."
        )
    calibration = frame.calibration
    if (frame.width, frame.height) != (calibration.width, calibration.height):
        raise InvalidCall(
            "the calibration is for another image size",
            expected=f"{calibration.width} x {calibration.height}",
            got=f"{frame.width} x {frame.height}",
            todo="Calibrate the camera at the size it is used.",
        )
    return calibration, frame.pose.attitude


def _foot(box: Box) -> tuple[float, float]:
    x, y, width, height = box
    return x + width / 2, float(y + height)


def _distance(calibration: Calibration, attitude: Attitude, x: float, y: float) -> float | None:
    metres = water_distance(calibration, attitude, x, y)
    return metres if metres is not None and metres <= MAX_DISTANCE_M else None
