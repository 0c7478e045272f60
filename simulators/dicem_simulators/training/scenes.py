"""The training scenes: rendered once, kept as JPEG files with their truths and coarse maps of distance."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dicem_simulators.scenes.render import Truth, take
from dicem_simulators.training.heldout import TRAINING_SEED, scene

COUNT = 3600
CROWD = 6.0
"""More objects a picture than in the held-out scenes: more to learn from a picture."""
DIFFICULTY = 0.55
DEPTH_SIZE = (224, 168)
"""Width and height of the maps of distance."""


@dataclass(frozen=True)
class TrainingSet:
    """Pictures on disk, their truths, and metres (n, 168, 224) float16."""

    images: list[Path]
    truths: list[list[Truth]]
    distances: npt.NDArray[np.float16]


def _draw(folder: Path, index: int) -> tuple[list[dict[str, object]], npt.NDArray[np.float16]]:
    picture = take(scene(TRAINING_SEED, index, DIFFICULTY, CROWD), TRAINING_SEED + index)
    quality = 70 + index * 7 % 26  # as varied as what cameras and links leave of a picture
    Image.fromarray(picture.image).save(folder / f"{index:05d}.jpg", quality=quality)
    coarse = Image.fromarray(picture.distance_m).resize(DEPTH_SIZE, Image.Resampling.NEAREST)
    return [asdict(t) for t in picture.truths], np.asarray(coarse).astype(np.float16)


def write_scenes(folder: Path, progress: Callable[[int, int], None] | None = None, workers: int = 2) -> None:
    """Render the training scenes into `folder`, unless they are there."""
    if (folder / "truths.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    truths: list[list[dict[str, object]]] = []
    distances = np.zeros((COUNT, DEPTH_SIZE[1], DEPTH_SIZE[0]), dtype=np.float16)
    with ProcessPoolExecutor(workers) as pool:
        for i, (seen, away) in enumerate(pool.map(_draw, [folder] * COUNT, range(COUNT), chunksize=20)):
            truths.append(seen)
            distances[i] = away
            if progress:
                progress(i + 1, COUNT)
    np.save(folder / "distances.npy", distances)
    (folder / "truths.json").write_text(json.dumps(truths))


def read_scenes(folder: Path) -> TrainingSet:
    """What `write_scenes` wrote."""
    truths = [[Truth(**t) for t in seen] for seen in json.loads((folder / "truths.json").read_text())]
    images = [folder / f"{i:05d}.jpg" for i in range(len(truths))]
    return TrainingSet(images, truths, np.load(folder / "distances.npy", mmap_mode="r"))
