"""The cloud's config: every key with its unit and its bounds; a key that is not here is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from dicem_shared.broker_config import BrokerConfig
from dicem_shared.camera import Strict
from dicem_shared.config import load_config
from dicem_shared.errors import ConfigError
from dicem_shared.images import CEILING_PIXELS, NETWORK_MAX_PIXELS
from dicem_shared.implementations.yolov8 import DetectorConfig
from dicem_shared.messages import MAX_MESSAGE_BYTES
from dicem_shared.resources import find, need
from dicem_shared.types import Id

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
"""`owner/name` on the Hugging Face hub"""

Threads = Annotated[int, Field(ge=1, le=256)]
Model = Annotated[str, Field(min_length=1, max_length=1024)]
"""a path, taken from the config file's folder, or (backend transformers) a name on the Hugging Face hub"""
Price = Annotated[float, Field(ge=0, le=1000)]
"""USD an hour of the machine while this function computes"""
Backend = Literal["onnx", "transformers"]
Device = Literal["auto", "cpu", "cuda"]


class HttpConfig(Strict):
    """Where the HTTP API listens."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    token_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """name of the environment variable that holds the bearer token; may be left out on loopback only"""
    max_body_mb: Annotated[float, Field(gt=0, le=64)] = 8.0
    """MB (10^6 bytes)"""

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if self.host not in LOOPBACK and self.token_env is None:
            raise ValueError(f"listening on {self.host} needs token_env: only loopback may go without a token")
        return self

    def token(self) -> str | None:
        """The token from the environment, or None where none is configured.

        :raises ConfigError: `token_env` names a variable that is not set
        """
        if self.token_env is None:
            return None
        value = os.environ.get(self.token_env)
        if not value:
            raise ConfigError(
                f"the environment variable {self.token_env} is not set",
                expected="the token of the HTTP API",
                todo=f"Set {self.token_env}, or take http.token_env out of the config.",
            )
        return value


class Yolov8Config(DetectorConfig):
    """A detection network in one ONNX file."""

    price_usd_per_hour: Price = 0.0


class Blip2Config(Strict):
    """A BLIP-2 network: a folder of ONNX parts, or a checkpoint in safetensors."""

    backend: Backend = "onnx"
    model: Model
    threads: Threads = 1
    """used by the transformers backend on a CPU"""
    device: Device = "auto"
    """backend transformers only; auto takes a GPU where there is one"""
    prompt: Annotated[str, Field(max_length=1000)] = "Question: {query} Answer:"
    """backend transformers only; what the network reads, with {query} in it"""
    max_new_tokens: Annotated[int, Field(ge=1, le=256)] = 16
    """backend transformers only"""
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    """calls that share one pass"""
    price_usd_per_hour: Price = 0.0

    @model_validator(mode="after")
    def _has_query(self) -> Self:
        if self.prompt.count("{query}") != 1:
            raise ValueError("prompt must hold {query} once")
        return self


class DepthConfig(Strict):
    """The horizon, and optionally a network for frames without an attitude."""

    backend: Backend = "onnx"
    model: Model | None = None
    """left out: only frames with calibration and attitude can be measured"""
    threads: Threads = 1
    """used by the transformers backend on a CPU"""
    device: Device = "auto"
    """backend transformers only"""
    price_usd_per_hour: Price = 0.0


class FunctionsConfig(Strict):
    """Which functions are served.  `blip` comes with `blip2`."""

    yolov8: Yolov8Config | None = None
    blip2: Blip2Config | None = None
    depth: DepthConfig | None = None

    @model_validator(mode="after")
    def _serves_something(self) -> Self:
        if not self.prices:
            raise ValueError("no function is configured")
        return self

    @property
    def models(self) -> dict[str, str]:
        """Function -> its model, where it has one."""
        return {name: one.model for name, one in self if one is not None and one.model is not None}

    @property
    def prices(self) -> dict[str, float]:
        """Function -> USD an hour."""
        prices = {name: one.price_usd_per_hour for name, one in self if one is not None}
        return prices | ({"blip": prices["blip2"]} if "blip2" in prices else {})


class BlobsConfig(Strict):
    """How much of what was shipped is kept for later calls."""

    max_mb: Annotated[float, Field(gt=0, le=65536)] = 256.0
    """MB (10^6 bytes), over all vehicles"""
    max_age_s: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    """seconds since it was last used"""


class Limits(Strict):
    """What one message may be."""

    message_bytes: Annotated[int, Field(ge=1024, le=16_000_000)] = MAX_MESSAGE_BYTES
    """bytes; some brokers close the connection above 128 kB"""
    max_pixels: Annotated[int, Field(ge=1024, le=CEILING_PIXELS)] = NETWORK_MAX_PIXELS
    """width times height of one image"""
    results_kept: Annotated[int, Field(ge=0, le=1_000_000)] = 4096
    """how many results are remembered, so that a call that arrives twice is computed once"""
    waiting_calls: Annotated[int, Field(ge=1, le=100_000)] = 256
    """calls that may wait for a function; beyond it they are refused, with the time to try again"""
    waiting_mb: Annotated[float, Field(gt=0, le=65536)] = 256.0
    """MB (10^6 bytes) of images that may wait with them, over all functions"""


class CloudConfig(Strict):
    """`dicem cloud --config`."""

    broker: BrokerConfig | None = None
    """left out: only HTTP is served"""
    fleets: Annotated[frozenset[Id], Field(min_length=1, max_length=1024)] | None = None
    """serve these fleets only; every fleet if left out"""
    http: HttpConfig = HttpConfig()
    functions: FunctionsConfig
    blobs: BlobsConfig = BlobsConfig()
    limits: Limits = Limits()

    def relative_to(self, folder: Path) -> CloudConfig:
        """The same with every path taken from `folder`, where the config file lies."""
        located = {
            name: settings.model_copy(update={"model": locate(settings.model, folder)})
            for name, settings in self.functions
            if settings is not None and settings.model is not None
        }
        functions = self.functions.model_copy(update=located)
        broker = None if self.broker is None else self.broker.relative_to(folder)
        return self.model_copy(update={"functions": functions, "broker": broker})


def locate(model: str, folder: Path) -> str:
    """The path of `model`: beside the config in `folder`, or where dicem's own files lie.

    A name on the Hugging Face hub stays as it is; so does what is nowhere, for the function to say so.
    """
    beside = folder / Path(model).expanduser()
    if beside.exists():
        return str(beside.resolve())
    found = find(model)
    if found is not None:
        return str(found.resolve())
    return model if HUB_NAME.match(model) else str(beside)


def load_cloud_config(given: str | Path) -> CloudConfig:
    """The config by name (in `configs/`) or path, its paths resolved.

    :raises ConfigError: missing, not YAML, an unknown key, or a value out of bounds
    """
    path = need(given, "config", "configs", suffix=".yaml")
    return load_config(CloudConfig, path).relative_to(path.resolve().parent)
