"""What KubeRay has Ray Serve import: a function of a cloud's config, as an application (configs/kubernetes/ray).

    - name: dicem-depth
      import_path: dicem_cloud.kuberay:build
      args: {config: /etc/dicem/cloud.yaml, function: depth}

The same as what a gateway would put there itself; under this name it finds it, and leaves it to KubeRay.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dicem_shared.camera import Strict
from dicem_shared.config import parse_config
from dicem_shared.errors import ConfigError
from dicem_shared.types import Id

from .config import load_cloud_config
from .ray_backend.backend import configured
from .ray_backend.cluster import load
from .ray_backend.deploying import application


class Arguments(Strict):
    """The application's `args`."""

    config: str = Field(min_length=1, max_length=4096)
    """the cloud's config: the gateways' own, as the nodes of Ray see it"""
    function: Id


def build(args: dict[str, Any]) -> Any:
    """The application of Ray Serve that its `args` describe.

    :raises ConfigError: they do not fit, or the config cannot be read or names no such function
    :raises MissingExtra: Ray is not installed
    """
    given = parse_config(Arguments, args, where="args")
    config = load_cloud_config(given.config)
    remote = [name for name in config.functions.configured if name not in config.ray.inprocess]
    if given.function not in remote:
        raise ConfigError(
            f"{given.config} has no function {given.function} for Ray", expected=", ".join(remote) or "any at all"
        )
    _, serve = load()
    return application(serve, configured(config, given.function), here=False)
