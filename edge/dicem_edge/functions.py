"""What a vehicle serves itself: the detector, and distance by the horizon."""

from __future__ import annotations

from dataclasses import dataclass

from dicem_shared.implementations import Implementation
from dicem_shared.implementations.depth import Depth
from dicem_shared.implementations.yolov8 import load_yolov8

from .config import EdgeConfig


@dataclass(frozen=True)
class EdgeFunctions:
    """The functions by name, and the words that the detector knows (its classes and groups)."""

    functions: dict[str, Implementation]
    vocabulary: tuple[str, ...]


def build_edge(config: EdgeConfig, *, can_range: bool = True) -> EdgeFunctions:
    """Load what the config names.  Without calibration or attitude (`can_range` False) distances are the cloud's.

    :raises ModelError: the detector's file cannot be used
    :raises ConfigError: a group names a class that it does not know
    """
    detector = load_yolov8(config.detector)
    horizon: dict[str, Implementation] = {"depth": Depth()} if can_range else {}
    return EdgeFunctions({"yolov8": detector, **horizon}, detector.vocabulary)
