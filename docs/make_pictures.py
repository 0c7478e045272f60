"""Draws the README's pictures from a run of the litter mission: `python docs/make_pictures.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from dicem_shared import images
from dicem_shared.recording import RecordedFrame
from dicem_shared.types import Answer
from dicem_simulators.simulate import Result, Setting, simulate
from dicem_simulators.table import print_tables

HERE = Path(__file__).parent
CELL = (640, 480)
STRIP = 3
BAND = 34
INK, PAPER, OURS = (22, 36, 44), (251, 252, 252), (255, 196, 0)


def main() -> None:
    result = simulate(Setting("litter-mission"))
    console = Console(record=True, width=104, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    print_tables(result, console)
    console.save_svg(str(HERE / "table.svg"), title="make simulate")
    strip(result).save(HERE / "mission.jpg", quality=82)


def strip(result: Result) -> Image.Image:
    """An empty frame, one with something far, one with litter near: what was seen and what was answered."""
    chosen = [pick(result, label) for label in ("empty", "far", "near")]
    width, height = CELL
    picture = Image.new("RGB", (width * STRIP, height + BAND), PAPER)
    for place, frame in enumerate(chosen):
        answer = result.answers["split"][frame.info.sequence]
        picture.paste(annotated(frame, answer), (place * width, 0))
        said = f"{answer.value}   [{answer.source}, {answer.latency_s * 1000:.0f} ms simulated]"
        text(ImageDraw.Draw(picture), (place * width + 8, height + 8), said, INK, 14)
    return picture.resize((width * STRIP * 2 // 3, (height + BAND) * 2 // 3), Image.Resampling.LANCZOS)


def pick(result: Result, label: str) -> RecordedFrame:
    """The frame of that label with the longest answer that is right in kind."""
    frames = [f for f in result.frames if f.truth and f.truth["label"] == label]
    return max(
        frames, key=lambda f: len(result.answers["split"][f.info.sequence].observations) * 10 + f.info.sequence / 1e3
    )


def annotated(frame: RecordedFrame, answer: Answer) -> Image.Image:
    pixels = images.decode(frame.data, max_pixels=4_000_000)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(picture)
    for observation in answer.observations:
        x, y, w, h = observation.bbox
        draw.rectangle((x - 2, y - 2, x + w + 2, y + h + 2), outline=OURS, width=2)
        distance = f" {observation.distance_m:.1f} m" if observation.distance_m is not None else ""
        text(draw, (min(x, CELL[0] - 150), max(y - 22, 0)), f"{observation.class_}{distance}", OURS, 15)
    return picture


def text(draw: ImageDraw.ImageDraw, at: tuple[int, int], words: str, colour: tuple[int, int, int], size: int) -> None:
    halo = 2 if colour == OURS else 0
    draw.text(at, words, fill=colour, font=ImageFont.load_default(size), stroke_width=halo, stroke_fill=INK)


if __name__ == "__main__":
    main()
