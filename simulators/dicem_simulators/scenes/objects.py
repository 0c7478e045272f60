"""What floats: kinds, materials, colours and sizes, and one object in front of the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = (
    "plastic bottle",
    "plastic bag",
    "metal can",
    "glass bottle",
    "styrofoam",
    "wood",
    "tyre",
    "buoy",
    "boat",
)
"""The order of the detector's classes."""

LITTER = frozenset(KINDS) - {"buoy", "boat"}

MATERIAL = {
    "plastic bottle": "plastic",
    "plastic bag": "plastic",
    "metal can": "metal",
    "glass bottle": "glass",
    "styrofoam": "foam",
    "wood": "wood",
    "tyre": "rubber",
    "buoy": "plastic",
    "boat": "fibreglass",
}

COLOURS = {
    "white": (0.93, 0.93, 0.91),
    "red": (0.80, 0.09, 0.10),
    "green": (0.08, 0.55, 0.22),
    "blue": (0.10, 0.30, 0.80),
    "yellow": (0.95, 0.82, 0.12),
    "orange": (0.96, 0.47, 0.06),
    "brown": (0.42, 0.24, 0.11),
    "black": (0.08, 0.08, 0.09),
    "grey": (0.50, 0.51, 0.52),
}
"""Base reflectance, RGB in 0..1."""


@dataclass(frozen=True)
class Make:
    """How a kind is made: metres of length, and the colours it comes in."""

    length_m: tuple[float, float]
    colours: tuple[str, ...]


MAKES = {
    "plastic bottle": Make((0.22, 0.34), ("white", "blue", "green", "red", "yellow", "orange")),
    "plastic bag": Make((0.30, 0.50), ("white", "blue", "green", "yellow", "black", "red", "orange")),
    "metal can": Make((0.17, 0.25), ("red", "blue", "green", "grey", "yellow", "orange")),
    "glass bottle": Make((0.24, 0.34), ("green", "brown", "blue")),
    "styrofoam": Make((0.25, 0.60), ("white", "white", "white", "blue", "yellow", "orange")),
    "wood": Make((0.50, 1.20), ("brown", "brown", "grey")),
    "tyre": Make((0.56, 0.64), ("black", "black", "grey")),
    "buoy": Make((0.50, 0.90), ("red", "orange", "yellow", "green", "white")),
    "boat": Make((4.0, 7.0), ("white", "white", "blue", "red", "green", "grey", "orange")),
}


@dataclass(frozen=True)
class SceneObject:
    """One floating object. Its place is its waterline foot, the point of it on the water that is nearest."""

    kind: str
    material: str
    colour: str
    ahead_m: float
    starboard_m: float
    length_m: float
    tilt_deg: float = 15.0
    """of its long axis from the horizon, as seen from the camera"""
    yaw_deg: float = 20.0
    """about the vertical; foreshortens it"""
    submerged: float = 0.3
    """fraction of its height under water"""
    seed: int = 0
    """of its texture and build"""

    @property
    def litter(self) -> bool:
        return self.kind in LITTER


def random_object(rng: np.random.Generator, kind: str, ahead_m: float, starboard_m: float) -> SceneObject:
    """An object of `kind` with a random colour, size, attitude and build."""
    make = MAKES[kind]
    steep = {"wood": 12.0, "glass bottle": 65.0, "plastic bottle": 55.0, "metal can": 85.0, "tyre": 60.0}.get(
        kind, 10.0
    )
    return SceneObject(
        kind=kind,
        material=MATERIAL[kind],
        colour=make.colours[int(rng.integers(len(make.colours)))],
        ahead_m=ahead_m,
        starboard_m=starboard_m,
        length_m=float(rng.uniform(*make.length_m)),
        tilt_deg=float(rng.uniform(-steep, steep)),
        yaw_deg=float(rng.uniform(-50.0, 50.0)),
        submerged=float(rng.uniform(0.12, 0.34)),
        seed=int(rng.integers(1 << 31)),
    )
