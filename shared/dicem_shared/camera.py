"""A camera over water: calibration, attitude, and where a pixel meets the sea.

Conventions, used by everything in dicem:

* image: x right, y down, pixel (0, 0) is the *corner* of the top-left pixel;
* attitude: `roll` positive with the starboard side down, `pitch` positive with the bow up, `heading` clockwise from
  true north; degrees at every interface;
* distances on the water are horizontal, in metres, from the point below the camera.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Array = npt.NDArray[np.float64]


class Strict(BaseModel):
    """Frozen; an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Calibration(Strict):
    """What is fixed about a camera on its vehicle."""

    width: Annotated[int, Field(ge=16, le=16384)]
    """pixels"""
    height: Annotated[int, Field(ge=16, le=16384)]
    """pixels"""
    fx: Annotated[float, Field(ge=1, le=1e6)]
    """focal length in pixels"""
    fy: Annotated[float, Field(ge=1, le=1e6)]
    """focal length in pixels"""
    cx: float
    """principal point in pixels"""
    cy: float
    """principal point in pixels"""
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """k1 k2 p1 p2 k3 (Brown-Conrady, as OpenCV orders them)"""
    height_m: Annotated[float, Field(gt=0, le=200)]
    """metres of the lens above the waterline at rest"""
    mount_roll_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    mount_pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    """positive looks up"""
    mount_yaw_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    """positive looks to starboard"""
    lever_arm_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """camera relative to the position sensor: forward, right, down"""


class Attitude(Strict):
    """How the vehicle is tilted, and where it points."""

    roll_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    heading_deg: Annotated[float, Field(ge=0, lt=360)] = 0.0


def rotation(roll_deg: float, pitch_deg: float, yaw_deg: float) -> Array:
    """3x3 rotation from body axes (forward, right, down) to level axes: yaw, then pitch, then roll."""
    r, p, y = (math.radians(a) for a in (roll_deg, pitch_deg, yaw_deg))
    cr, sr, cp, sp, cy, sy = math.cos(r), math.sin(r), math.cos(p), math.sin(p), math.cos(y), math.sin(y)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def camera_to_level(calibration: Calibration, attitude: Attitude) -> Array:
    """3x3 from camera axes (right, down, forward) to level axes (ahead, starboard, down); heading is left out."""
    optical_to_body = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    mount = rotation(calibration.mount_roll_deg, calibration.mount_pitch_deg, calibration.mount_yaw_deg)
    tilt = rotation(attitude.roll_deg, attitude.pitch_deg, 0.0)
    return np.asarray(tilt @ mount @ optical_to_body)


def distort(calibration: Calibration, points: Array) -> Array:
    """Where the lens shows normalised image coordinates (N, 2), normalised (N, 2): Brown-Conrady."""
    k1, k2, p1, p2, k3 = calibration.distortion
    x, y = points[:, 0], points[:, 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y],
        axis=1,
    )


def undistort(calibration: Calibration, pixels: Array) -> Array:
    """Normalised image coordinates (N, 2) of pixels (N, 2), distortion removed by Newton's method.

    NaN where no ray meets the pixel: strong distortion folds, and its polynomial ends before the image does.
    """
    seen = np.stack(
        [(pixels[:, 0] - calibration.cx) / calibration.fx, (pixels[:, 1] - calibration.cy) / calibration.fy], axis=1
    )
    if not any(calibration.distortion):
        return seen
    point = seen
    with np.errstate(all="ignore"):
        for _ in range(12):
            a, b, d = _slope(calibration, point)
            ex, ey = (distort(calibration, point) - seen).T
            det = a * d - b * b
            point = point - np.stack([(d * ex - b * ey) / det, (a * ey - b * ex) / det], axis=1)
        a, b, d = _slope(calibration, point)
        missed = np.abs(distort(calibration, point) - seen).max(axis=1)
        return np.where(((missed < 1e-9) & (a > 0) & (a * d - b * b > 0))[:, None], point, np.nan)


def _slope(calibration: Calibration, points: Array) -> tuple[Array, Array, Array]:
    """The derivative of `distort`, which is symmetric: d xd/dx, d xd/dy = d yd/dx, d yd/dy; each (N,)."""
    k1, k2, p1, p2, k3 = calibration.distortion
    x, y = points[:, 0], points[:, 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bend = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))
    return (
        radial + x * x * bend + 2 * p1 * y + 6 * p2 * x,
        x * y * bend + 2 * p1 * x + 2 * p2 * y,
        radial + y * y * bend + 6 * p1 * y + 2 * p2 * x,
    )


def level_rays(calibration: Calibration, attitude: Attitude, pixels: Array) -> Array:
    """Unit rays (N, 3) in level axes (ahead, starboard, down) through pixels (N, 2); NaN as `undistort`."""
    flat = undistort(calibration, pixels)
    rays = np.concatenate([flat, np.ones((len(flat), 1))], axis=1) @ camera_to_level(calibration, attitude).T
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def water_point(calibration: Calibration, attitude: Attitude, x: float, y: float) -> tuple[float, float] | None:
    """Metres (ahead, starboard) from below the camera to where pixel (x, y) meets flat water; None above the horizon.

    None too where no ray meets the pixel.  `d = h / tan(angle below the horizon)`, for a lens `height_m` above the
    water; waves are not known here.
    """
    ray = level_rays(calibration, attitude, np.array([[x, y]], dtype=np.float64))[0]
    if not ray[2] > 1e-4:  # NaN is not
        return None
    scale = calibration.height_m / float(ray[2])
    return float(ray[0]) * scale, float(ray[1]) * scale


def water_distance(calibration: Calibration, attitude: Attitude, x: float, y: float) -> float | None:
    """Horizontal metres to the water at pixel (x, y), or None above the horizon."""
    point = water_point(calibration, attitude, x, y)
    return None if point is None else math.hypot(*point)


def project(
    calibration: Calibration, attitude: Attitude, ahead_m: float, starboard_m: float, up_m: float = 0.0
) -> tuple[float, float] | None:
    """Pixel of a point given in metres from below the camera, `up_m` over the water; None where the lens cannot see it.

    That is behind the camera, and beyond where the distortion folds back and would show it at a false place.
    """
    level = np.array([ahead_m, starboard_m, calibration.height_m - up_m])
    right, down, forward = camera_to_level(calibration, attitude).T @ level
    if forward <= 1e-6:
        return None
    flat = np.array([[right / forward, down / forward]])
    pixel = distort(calibration, flat) * (calibration.fx, calibration.fy) + (calibration.cx, calibration.cy)
    if any(calibration.distortion) and not np.allclose(undistort(calibration, pixel), flat, rtol=1e-6, atol=1e-6):
        return None
    return float(pixel[0, 0]), float(pixel[0, 1])
