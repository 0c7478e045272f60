"""The held-out scenes, frozen before any training: what every figure in a `metrics.json` is measured on.

Do not change these numbers, nor the renderer that they feed, without training and measuring everything again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dicem_simulators.scenes.render import Picture, Scene, random_scene, take

HELDOUT_SEED = 20_260_601
HELDOUT_SCENES = 300
HELDOUT_DIFFICULTY = 0.5
HELDOUT_CROWD = 3.0
"""objects in a scene, on average"""

TRAINING_SEED = 11
"""Scenes are drawn from `default_rng([seed, index])`: another first number is another, disjoint stream."""


def scene(seed: int, index: int, difficulty: float, crowd: float) -> Scene:
    """Scene number `index` of the stream `seed`."""
    return random_scene(np.random.default_rng([seed, index]), difficulty, crowd)


def heldout() -> Iterator[Picture]:
    """The held-out pictures with their truths, in order."""
    for index in range(HELDOUT_SCENES):
        yield take(scene(HELDOUT_SEED, index, HELDOUT_DIFFICULTY, HELDOUT_CROWD), HELDOUT_SEED + index)
