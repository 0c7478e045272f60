"""The `ray` section of the cloud's config."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.types import Id

_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(\d{1,5})")

Replicas = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ReplicasConfig(Strict):
    """How many replicas a function has, and what each of them takes."""

    min_replicas: Replicas = 1
    """0: none while nobody asks; the first call then waits for one to start"""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    num_cpus: Annotated[float, Field(ge=0, le=1024)] = 0.25
    """cores that Ray counts for a replica; it bounds nothing, `threads` of the function does"""
    num_gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """GPUs for a replica, for as long as it lives; below 1, several replicas share one GPU, each its part of the
    memory"""
    waiting_per_replica: Annotated[int, Field(ge=1, le=100_000)] = 16
    """calls that may wait for each replica before there are more of them"""
    target_age_s: Seconds = 1.0
    """a call that waits longer than that asks for one replica more"""
    down_after_s: Seconds = 30.0
    """replicas go once fewer have been enough for so long"""
    idle_s: Seconds = 300.0
    """without a call for so long, there are `min_replicas`"""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is more than max_replicas")
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError("num_gpus must be whole above 1: only one GPU can be shared")
        return self


class RayConfig(Strict):
    """Ray Serve, where `backend` is ray."""

    address: Annotated[str, Field(max_length=300)] | None = None
    """HOST:PORT of a running cluster, or auto for the one of this machine; left out: one is started here, and ends with
    the cloud"""
    inprocess: frozenset[Id] = frozenset({"llm"})
    """functions that stay in the gateway's own process: those that only ask others, or take microseconds"""
    default: ReplicasConfig = ReplicasConfig()
    """for functions that are not named below"""
    functions: Annotated[dict[Id, ReplicasConfig], Field(max_length=64)] = {}
    """by name; a key that is left out there is not taken from `default`"""
    ready_s: Seconds = 600.0
    """until all functions must be up when the cloud starts, models loaded"""
    answer_s: Seconds = 300.0
    """until a batch must be answered, a replica's start and retries included"""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """how often a batch is sent again whose replica died"""

    @field_validator("address")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        there = _ADDRESS.fullmatch(value or "")
        if value not in (None, "auto") and (there is None or not 0 < int(there[1]) < 65536):
            raise ValueError("must be HOST:PORT, or auto for the cluster of this machine")
        return value

    def replicas(self, function: str) -> ReplicasConfig:
        """How many of that function."""
        return self.functions.get(function, self.default)
