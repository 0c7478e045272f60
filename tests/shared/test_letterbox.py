"""Frames into the network's square and boxes back, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.detector.letterbox import PAD, ULTRALYTICS, YOLOX, Letterbox

side = st.integers(1, 4000)
canvas_side = st.integers(1, 32).map(lambda cells: cells * 32)


def test_a_known_frame() -> None:
    box = Letterbox.fit((640, 480), (320, 320), centred=True)
    assert (box.width, box.height, box.left, box.top) == (320, 240, 0, 40)
    box = Letterbox.fit((480, 640), (320, 320), centred=True)
    assert (box.width, box.height, box.left, box.top) == (240, 320, 40, 0)
    box = Letterbox.fit((640, 480), (416, 416), centred=False)
    assert (box.width, box.height, box.left, box.top) == (416, 312, 0, 0)


def test_a_free_canvas_loses_its_padding() -> None:
    box = Letterbox.fit((640, 480), (320, 320), centred=True, shrink_to=32)
    assert (box.canvas_width, box.canvas_height, box.left, box.top) == (320, 256, 0, 8)


@given(side, side, canvas_side, canvas_side, st.booleans(), st.booleans())
def test_every_frame_fits_and_comes_back(
    width: int, height: int, across: int, down: int, centred: bool, free: bool
) -> None:
    box = Letterbox.fit((width, height), (across, down), centred=centred, shrink_to=32 if free else None)
    assert 1 <= box.width <= box.canvas_width <= across
    assert 1 <= box.height <= box.canvas_height <= down
    assert box.width == box.canvas_width or box.height == box.canvas_height or free
    assert 0 <= box.left <= box.canvas_width - box.width
    assert 0 <= box.top <= box.canvas_height - box.height
    assert abs(box.width - width * min(across / width, down / height)) <= 1
    whole = [box.left, box.top, box.left + box.width, box.top + box.height]
    back = box.to_frame(np.array([whole], dtype=np.float32))
    assert back.tolist() == [[0, 0, width, height]]


@given(st.integers(32, 3000), st.integers(32, 3000), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_round_trip_of_a_box(width: int, height: int, corners: list[float]) -> None:
    box = Letterbox.fit((width, height), (640, 640), centred=True)
    frame = np.array(corners) * [width, height, width, height]
    ratio = np.array([box.width / width, box.height / height] * 2)
    canvas = (frame * ratio + [box.left, box.top, box.left, box.top]).astype(np.float32)
    assert np.allclose(box.to_frame(canvas[None])[0], frame, atol=1e-2)


def test_what_lies_in_the_padding_is_clipped() -> None:
    box = Letterbox.fit((640, 480), (320, 320), centred=True)
    boxes = np.array([[-50, 0, 400, 320], [10, 0, 20, 39]], dtype=np.float32)
    assert box.to_frame(boxes).tolist() == [[0, 0, 640, 480], [20, 0, 40, 0]]


@pytest.mark.parametrize("style", [ULTRALYTICS, YOLOX])
def test_what_the_network_sees(style: object) -> None:
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    image[:, :40], image[:, 40:] = (255, 0, 10), (0, 128, 250)
    chosen = YOLOX if style is YOLOX else ULTRALYTICS
    box = Letterbox.fit((80, 60), (80, 80), centred=chosen.centred)
    canvas = box.paint(image, chosen)
    assert canvas.shape == (1, 3, 80, 80)
    assert canvas.dtype == np.float32
    if chosen is YOLOX:
        assert canvas[0, :, 0, 0].tolist() == [10, 0, 255]
        assert canvas[0, :, 59, 79].tolist() == [250, 128, 0]
        assert np.all(canvas[0, :, 60:] == PAD)
    else:
        assert np.allclose(canvas[0, :, 10, 0], [1, 0, 10 / 255])
        assert np.allclose(canvas[0, :, 69, 79], [0, 128 / 255, 250 / 255])
        assert np.allclose(canvas[0, :, :10], PAD / 255)
        assert np.allclose(canvas[0, :, 70:], PAD / 255)


def test_halving_averages_four_pixels() -> None:
    image = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    box = Letterbox.fit((96, 64), (48, 32), centred=True)
    means = image.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(box.paint(image, ULTRALYTICS)[0] * 255 - means).max() <= 0.51


def test_views_and_single_rows_are_painted() -> None:
    image = np.arange(90 * 120 * 3, dtype=np.uint32).reshape(90, 120, 3).astype(np.uint8)
    box = Letterbox.fit((60, 45), (64, 64), centred=True)
    assert np.array_equal(box.paint(image[::2, ::2], ULTRALYTICS), box.paint(image[::2, ::2].copy(), ULTRALYTICS))
    assert Letterbox.fit((4000, 1), (64, 64), centred=True).paint(np.zeros((1, 4000, 3), np.uint8), YOLOX).any()
