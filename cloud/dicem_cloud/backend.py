"""Where a cloud's functions run: in this process, or on replicas that Ray Serve keeps.

Whoever calls them sees no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dicem_shared.errors import ConfigError
from dicem_shared.implementations import Implementation

from .batcher import Load
from .config import CloudConfig
from .functions import build
from .functions_config import FunctionsConfig

Loads = Callable[[], Mapping[str, Load]]


@dataclass(frozen=True)
class Backend:
    """The functions by name.  `watch` tells it where to see what waits for them: replicas come and go by that."""

    functions: Mapping[str, Implementation]
    watch: Callable[[Loads], None] = lambda loads: None


@contextmanager
def backend(config: CloudConfig) -> Iterator[Backend]:
    """The functions of a config, for as long as they are used.

    :raises DicemError: a model is missing, damaged, or its backend is not installed; on Ray also: there is no such
        cluster, or it is too small
    """
    if config.backend == "inprocess":
        yield Backend(build(config))
        return
    from .ray_backend.backend import ray_functions

    here = [name for name in config.functions.configured if name in config.ray.inprocess]
    if len(here) == len(config.functions.configured):
        raise ConfigError("backend: ray is configured, but ray.inprocess keeps every function in this process")
    alone = FunctionsConfig(**{name: getattr(config.functions, name) for name in here}) if here else None
    kept = build(config.model_copy(update={"functions": alone})) if alone is not None else {}
    with ray_functions(config) as remote:
        yield Backend({**kept, **remote.functions}, remote.watch)
