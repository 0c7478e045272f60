"""The vehicle's config: strict, with a unit and a bound on each field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dicem_shared.broker_config import BrokerConfig
from dicem_shared.camera import Strict
from dicem_shared.config import load_config
from dicem_shared.implementations.yolov8 import DetectorConfig
from dicem_shared.messages import MAX_MESSAGE_BYTES
from dicem_shared.resources import need
from dicem_shared.runner import RunLimits
from dicem_shared.types import Id, Site, WhenAway

from .deployed import DeployConfig
from .shipping import ShippingConfig


class EdgeLimits(Strict):
    """What one frame may take."""

    program: RunLimits = RunLimits()
    deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """seconds from the frame's stamp after which an unanswered call fails"""
    message_bytes: Annotated[int, Field(ge=4096, le=268_435_455)] = MAX_MESSAGE_BYTES
    calls_under_way: Annotated[int, Field(ge=1, le=10_000)] = 64
    """requests to the cloud that wait for their replies at once"""
    frames_waiting: Annotated[int, Field(ge=1, le=10_000)] = 32
    """frames that may wait for the detector; live, more are missed and counted"""


class EdgeConfig(Strict):
    """`dicem edge --config`."""

    fleet: Id = "demo"
    vehicle: Id = "demo-boat"
    survey: str = "survey"
    """what answers are filed under"""
    broker: BrokerConfig = BrokerConfig()
    detector: DetectorConfig
    program: str = "litter_best"
    """a program's name or path"""
    programs: list[str] = []
    """more of them, to run on every frame beside it; what several of them ask is asked once"""
    placement: dict[str, Site] = {}
    """where a function runs if the program does not say; else at the edge what is served here"""
    away: dict[str, WhenAway] = {}
    """what to do with a function's calls while the cloud cannot be reached, if the program does not say; else wait"""
    shipping: ShippingConfig = ShippingConfig()
    limits: EdgeLimits = EdgeLimits()
    deploy: DeployConfig = DeployConfig()
    answers: str = "answers.db"
    """SQLite file that keeps every answer, taken from the working folder"""


def load_edge_config(given: str) -> EdgeConfig:
    """The config by name or path, its model found.

    :raises ConfigError: not there, an unknown key, a value out of bounds, no such model
    """
    path = need(given, "config", "configs", suffix=".yaml")
    config = load_config(EdgeConfig, path)
    model = need_beside(path, config.detector.model)
    return config.model_copy(update={"detector": config.detector.model_copy(update={"model": str(model)})})


def need_beside(config: Path, given: str) -> Path:
    """A file that a config names: beside the config, or where dicem's own files lie.

    :raises ConfigError: in neither place
    """
    beside = config.parent / given
    return beside if beside.exists() else need(given, "model")
