"""Where a pixel meets the sea: hand-worked cases, then the way there and back.

The camera of the hand-worked cases: 640 x 480, 700 px focal length, level, 1.2 m above the water.  70 px are then a
tenth of the focal length: a pixel 70 px below the middle looks 1 down for 10 ahead, and meets the water at 12 m.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dicem_shared.camera import (
    Attitude,
    Calibration,
    camera_to_level,
    distort,
    level_rays,
    project,
    rotation,
    undistort,
    water_distance,
    water_point,
)

LEVEL = Attitude()
BEND, SHIFT = st.floats(-0.3, 0.3), st.floats(-5e-3, 5e-3)
CAMERA = Calibration(width=640, height=480, fx=700, fy=700, cx=320, cy=240, height_m=1.2)


def camera(**changes: Any) -> Calibration:
    return Calibration.model_validate(CAMERA.model_dump() | changes)


def down_px(degrees: float) -> float:
    """Rows below the middle at which the camera looks so far below its axis."""
    return 700 * math.tan(math.radians(degrees))


@pytest.mark.parametrize(
    ("changes", "attitude", "pixel", "point"),
    [
        ({}, LEVEL, (320, 310), (12.0, 0.0)),
        ({}, LEVEL, (390, 310), (12.0, 1.2)),
        ({}, LEVEL, (250, 380), (6.0, -0.6)),
        ({"height_m": 2.4}, LEVEL, (390, 310), (24.0, 2.4)),
        ({"fy": 1400}, LEVEL, (390, 380), (12.0, 1.2)),
        ({"cx": 300, "cy": 200}, LEVEL, (300, 270), (12.0, 0.0)),
        ({"mount_pitch_deg": -45}, LEVEL, (320, 240), (1.2, 0.0)),
        ({}, Attitude(pitch_deg=-45), (320, 240), (1.2, 0.0)),
        ({"mount_pitch_deg": -50}, Attitude(pitch_deg=5), (320, 240), (1.2, 0.0)),
        ({"mount_yaw_deg": 90, "mount_pitch_deg": -45}, LEVEL, (320, 240), (0.0, 1.2)),
        ({"mount_yaw_deg": -90, "mount_pitch_deg": -45}, LEVEL, (320, 240), (0.0, -1.2)),
        ({}, Attitude(roll_deg=90), (390, 240), (12.0, 0.0)),  # starboard side down: the right of the image is below
        ({}, Attitude(roll_deg=-90), (250, 240), (12.0, 0.0)),
        ({"mount_roll_deg": 180}, LEVEL, (320, 170), (12.0, 0.0)),  # mounted upside down
        ({"mount_yaw_deg": 90}, Attitude(roll_deg=45), (320, 240), (0.0, 1.2)),  # looks to starboard, which is down
        ({"mount_yaw_deg": 90}, Attitude(pitch_deg=45), (390, 240), (-1.2, 12 * math.sqrt(2))),  # its right is aft
    ],
)  # fmt: skip
def test_pixels_worked_by_hand(
    changes: dict[str, float], attitude: Attitude, pixel: tuple[float, float], point: tuple[float, float]
) -> None:
    calibration = camera(**changes)
    assert water_point(calibration, attitude, *pixel) == pytest.approx(point, abs=1e-9)
    assert water_distance(calibration, attitude, *pixel) == pytest.approx(math.hypot(*point))
    assert project(calibration, attitude, *point) == pytest.approx(pixel, abs=1e-9)


def test_a_bow_that_rises_lowers_the_horizon() -> None:
    up = Attitude(pitch_deg=5)
    horizon = 240 + down_px(5)
    assert water_point(CAMERA, up, 320, horizon - 0.5) is None
    assert water_distance(CAMERA, up, 320, horizon - 0.5) is None
    assert water_distance(CAMERA, up, 320, horizon + 0.5) is not None
    assert water_distance(CAMERA, up, 320, 240 + down_px(15)) == pytest.approx(1.2 / math.tan(math.radians(10)))


def test_heading_is_left_out() -> None:
    for heading in (0, 90, 359):
        assert water_point(CAMERA, Attitude(heading_deg=heading), 390, 310) == pytest.approx((12.0, 1.2))


@pytest.mark.parametrize("row", [0, 239, 240, 240.001])
def test_nothing_floats_above_the_horizon(row: float) -> None:
    assert water_point(CAMERA, LEVEL, 320, row) is None


def test_points_over_the_water_and_behind() -> None:
    assert project(CAMERA, LEVEL, 12, 0, up_m=1.2) == pytest.approx((320, 240))
    assert project(CAMERA, LEVEL, 12, 0, up_m=2.4) == pytest.approx((320, 170))
    assert project(CAMERA, LEVEL, -12, 0) is None
    assert project(CAMERA, LEVEL, 0, 5) is None
    assert project(camera(mount_yaw_deg=180), LEVEL, -12, 0) == pytest.approx((320, 310))


def test_rotations_worked_by_hand() -> None:
    forward, right, down = np.eye(3)
    np.testing.assert_allclose(rotation(0, 0, 90) @ forward, right, atol=1e-12)
    np.testing.assert_allclose(rotation(0, 90, 0) @ forward, -down, atol=1e-12)
    np.testing.assert_allclose(rotation(90, 0, 0) @ right, down, atol=1e-12)
    np.testing.assert_allclose(rotation(0, 90, 90) @ right, -forward, atol=1e-12)  # pitch first, then yaw
    np.testing.assert_allclose(camera_to_level(CAMERA, LEVEL) @ (0, 0, 1), forward, atol=1e-12)


ANGLES = st.floats(-180, 180)


@given(ANGLES, ANGLES, ANGLES)
def test_rotations_turn_and_do_not_bend(roll: float, pitch: float, yaw: float) -> None:
    matrix = rotation(roll, pitch, yaw)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_rays_are_unit_and_many_at_once() -> None:
    rays = level_rays(CAMERA, LEVEL, np.array([[320.0, 240.0], [320.0, 940.0], [1020.0, 240.0]]))
    half = math.sqrt(0.5)
    np.testing.assert_allclose(rays, [[1, 0, 0], [half, 0, half], [half, half, 0]], atol=1e-12)


# Distortion


def test_distortion_worked_by_hand() -> None:
    """At (0.5, 0): r2 = 0.25, radial = 1 - 0.2 * 0.25 = 0.95; x = 0.475 + 0.02 * 0.75, y = 0.01 * 0.25."""
    lens = camera(distortion=(-0.2, 0, 0.01, 0.02, 0))
    np.testing.assert_allclose(distort(lens, np.array([[0.5, 0.0]])), [[0.49, 0.0025]], atol=1e-12)
    np.testing.assert_allclose(undistort(lens, np.array([[663.0, 241.75]])), [[0.5, 0.0]], atol=1e-9)
    higher = camera(distortion=(0, 0.4, 0, 0, 0.8))  # 1 + 0.4 * 0.25 ** 2 + 0.8 * 0.25 ** 3 = 1.0375
    np.testing.assert_allclose(distort(higher, np.array([[0.0, 0.5]])), [[0.0, 0.51875]], atol=1e-12)


def test_without_distortion_pixels_are_scaled_and_no_more() -> None:
    np.testing.assert_array_equal(undistort(CAMERA, np.array([[1020.0, -460.0]])), [[1.0, -1.0]])


def test_a_barrel_shows_the_edge_nearer_the_middle() -> None:
    barrel = camera(distortion=(-0.2, 0, 0, 0, 0))
    straight, bent = project(CAMERA, LEVEL, 3, 1), project(barrel, LEVEL, 3, 1)
    assert straight is not None
    assert bent is not None
    assert math.dist(bent, (320, 240)) < math.dist(straight, (320, 240)) - 10


def test_where_the_lens_folds_there_is_no_answer() -> None:
    """x (1 - 0.5 x2) is largest at x = sqrt(2 / 3), where it is 0.544: no ray lands farther out than 381 px."""
    lens = camera(distortion=(-0.5, 0, 0, 0, 0))
    assert water_point(lens, LEVEL, 320, 240 + 375) is not None
    assert water_point(lens, LEVEL, 320, 240 + 385) is None
    assert np.isnan(undistort(lens, np.array([[320.0 + 385, 240.0]]))).all()
    assert project(lens, LEVEL, 1.6, 0) is not None
    assert project(lens, LEVEL, 1.2, 0) is None  # beyond the fold; the formula would show it at 350 px, a false place
    mixed = undistort(lens, np.array([[320.0, 240.0], [320.0 + 385, 240.0]]))
    assert not np.isnan(mixed[0]).any()


@given(
    st.tuples(BEND, st.floats(-0.1, 0.1), SHIFT, SHIFT, st.floats(-0.02, 0.02)), st.floats(0, 640), st.floats(0, 480)
)
def test_distortion_is_undone_to_a_millionth_of_a_pixel(lens: tuple[float, ...], x: float, y: float) -> None:
    calibration = camera(distortion=lens)
    seen = np.array([[x, y]])
    flat = undistort(calibration, seen)
    assert not np.isnan(flat).any()  # within this camera's image these lenses do not fold
    np.testing.assert_allclose(distort(calibration, flat) * 700 + (320, 240), seen, atol=1e-6)


SCENE = st.fixed_dictionaries(
    {
        "distortion": st.tuples(BEND, st.floats(-0.1, 0.1), SHIFT, SHIFT, st.just(0.0)),
        "height_m": st.floats(0.3, 30),
        "mount_pitch_deg": st.floats(-40, 5),
        "mount_roll_deg": st.floats(-10, 10),
        "mount_yaw_deg": st.floats(-60, 60),
        "fx": st.floats(300, 2000),
        "fy": st.floats(300, 2000),
    }
)
TILT = st.builds(Attitude, roll_deg=st.floats(-30, 30), pitch_deg=st.floats(-20, 20))


@settings(max_examples=200)
@given(SCENE, TILT, st.floats(0, 640), st.floats(0, 480))
def test_from_pixel_to_water_and_back(scene: dict[str, Any], tilt: Attitude, x: float, y: float) -> None:
    calibration = camera(**scene)
    point = water_point(calibration, tilt, x, y)
    assume(point is not None)
    assert point is not None
    assert project(calibration, tilt, *point) == pytest.approx((x, y), abs=1e-4)


@settings(max_examples=200)
@given(SCENE, TILT, st.floats(0.5, 300), st.floats(-1, 1))
def test_from_water_to_pixel_and_back(scene: dict[str, Any], tilt: Attitude, ahead: float, slant: float) -> None:
    calibration = camera(**scene)
    pixel = project(calibration, tilt, ahead, slant * ahead)
    assume(pixel is not None)
    assert pixel is not None
    assert water_point(calibration, tilt, *pixel) == pytest.approx((ahead, slant * ahead), rel=1e-4, abs=1e-6)


def test_a_pixel_that_is_none_has_no_place() -> None:
    for x, y in ((math.nan, 300), (320, math.nan), (math.inf, 300)):
        with np.errstate(invalid="ignore"):
            assert water_point(CAMERA, LEVEL, x, y) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0), ("height", 20_000), ("fx", 0), ("fy", -700), ("cx", math.nan), ("cy", math.inf), ("height_m", 0),
        ("height_m", 201), ("mount_pitch_deg", -91), ("mount_roll_deg", 181), ("mount_yaw_deg", math.nan),
        ("distortion", (0, 0, 0, 0)), ("distortion", (0, 0, 0, 0, math.nan)), ("lever_arm_m", (0, 0)), ("focal", 700),
    ],
)  # fmt: skip
def test_calibrations_that_no_camera_has(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        camera(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("roll_deg", 181), ("pitch_deg", 91), ("heading_deg", 360), ("heading_deg", -1), ("yaw_deg", 0)],
)
def test_attitudes_that_no_boat_has(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Attitude.model_validate({field: value})
