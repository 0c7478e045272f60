"""What a cloud says of itself over MQTT: the functions that it serves.  Retained, so that whoever asks finds it.

`dicem/v1/_cloud/<worker>/functions`: not below any fleet, because a cloud may serve them all; no vehicle may write
there.  The broker removes it (its last will is an empty message) when the worker is gone, in peace or not.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from .camera import Strict
from .topics import ROOT, topic
from .types import Id

CLOUD: Final = "_cloud"
"""Stands where a fleet's name does; no fleet may have it."""
EVERY: Final = f"{ROOT}/{CLOUD}/+/functions"
"""What whoever asks subscribes to."""
MAX_FUNCTIONS: Final = 200


class Announcement(Strict):
    """One worker's functions."""

    schema_version: Literal[1] = 1
    fleets: tuple[Id, ...] | None = None
    """whom it serves; None: every fleet"""
    functions: Annotated[tuple[dict[str, Any], ...], Field(max_length=MAX_FUNCTIONS)]
    """as `GET /v1/functions` lists them"""


def announcement_topic(worker: str) -> str:
    """Where a worker of that name announces; what cannot stand in a topic is left out of the name."""
    return topic(CLOUD, re.sub(r"[^A-Za-z0-9_-]", "-", worker)[-32:] or "worker", "functions")
