"""The cloud's config: every key with its unit and its bounds; a key that is not here is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from dicem_shared.broker_config import BrokerConfig
from dicem_shared.camera import Strict
from dicem_shared.config import load_config, parse_config
from dicem_shared.errors import ConfigError
from dicem_shared.images import CEILING_PIXELS, NETWORK_MAX_PIXELS
from dicem_shared.messages import MAX_MESSAGE_BYTES
from dicem_shared.resources import need
from dicem_shared.types import Id

from .functions_config import DeviceConfig, FunctionsConfig
from .http.settings import HttpConfig, MetricsConfig, TracingConfig
from .ray_backend.settings import RayConfig
from .store.settings import StoreConfig

PlacedOn = Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,2})?)$")]
"""a device by name"""


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
    metrics: MetricsConfig = MetricsConfig()
    tracing: TracingConfig | None = None
    """left out: nothing is traced"""
    functions: FunctionsConfig
    devices: Annotated[dict[PlacedOn, DeviceConfig], Field(max_length=64)] = {}
    """how much of each device the functions may use; a device that is not named: what is free of it"""
    backend: Literal["inprocess", "ray"] = "inprocess"
    """where functions run: in the gateway's own process, or on replicas that Ray Serve keeps"""
    ray: RayConfig = RayConfig()
    blobs: BlobsConfig = BlobsConfig()
    limits: Limits = Limits()
    store: StoreConfig = StoreConfig()

    @model_validator(mode="after")
    def _ray_names_functions(self) -> Self:
        for name in (*self.ray.functions, *self.ray.inprocess):
            if name not in FunctionsConfig.model_fields:
                known = ", ".join(FunctionsConfig.model_fields)
                raise ValueError(f"ray names {name!r}, which is no function with a section of its own ({known})")
        return self

    def run_by(self, backend: Literal["inprocess", "ray"] | None, address: str | None) -> CloudConfig:
        """The same with another backend, or with Ray at another address; None: as it is.

        :raises ConfigError: an address that is none, or one though functions do not run on Ray
        """
        chosen = backend or self.backend
        if address is not None and chosen != "ray":
            raise ConfigError("an address is given, but functions run in process", todo="Add --backend ray.")
        settings = self.ray.model_dump(exclude_unset=True) | ({} if address is None else {"address": address})
        return self.model_copy(update={"backend": chosen, "ray": parse_config(RayConfig, settings, where="ray")})

    def relative_to(self, folder: Path) -> CloudConfig:
        """The same with every path taken from `folder`, where the config file lies."""
        functions = self.functions.relative_to(folder)
        broker = None if self.broker is None else self.broker.relative_to(folder)
        return self.model_copy(update={"functions": functions, "broker": broker})


def load_cloud_config(given: str | Path) -> CloudConfig:
    """The config by name (in `configs/`) or path, its paths resolved.

    :raises ConfigError: missing, not YAML, an unknown key, or a value out of bounds
    """
    path = need(given, "config", "configs", suffix=".yaml")
    return load_config(CloudConfig, path).relative_to(path.resolve().parent)
