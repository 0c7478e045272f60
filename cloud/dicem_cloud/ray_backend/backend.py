"""What a gateway gets: its functions, each on replicas of its own that Ray Serve keeps."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dicem_shared.catalog import catalog
from dicem_shared.functions import FunctionSpec
from dicem_shared.ids import digest

from ..config import CloudConfig
from ..functions_config import FunctionsConfig
from .board import BoardLike
from .cluster import Cluster, connected
from .crossing import Described
from .deploying import Wanted, deploy, look, wait_until_up
from .function import Patience, RayFunction, Remote
from .replica import Configured, Source
from .scaler import Loads, Scaled, Scaler
from .scaling import Demand
from .settings import RayConfig

log = logging.getLogger(__name__)

PREFIX = "dicem-"
START_S = 60.0
"""longer than everything takes that comes after the functions are up"""


@dataclass(frozen=True)
class RayBackend:
    """The functions by name, their replicas by application, and who looks after these."""

    functions: Mapping[str, RayFunction]
    applications: Mapping[str, Scaled]
    scaler: Scaler

    def watch(self, loads: Loads) -> None:
        """Size the replicas by what waits in these queues too, by function."""
        self.scaler.watch(loads)


@contextmanager
def ray_functions(config: CloudConfig) -> Iterator[RayBackend]:
    """Every configured function that does not stay in this process.

    :raises MissingExtra: Ray is not installed
    :raises SiteUnavailable: there is no such cluster, or it is too small
    :raises DicemError: a function does not start: a model is missing or damaged, or its backend is not installed
    """
    settings = config.ray
    names = [name for name in config.functions.configured if name not in settings.inprocess]
    wanted = [configured(config, name) for name in names]
    with connected(settings.address) as cluster, serving(cluster, wanted, settings) as backend:
        yield backend


def configured(config: CloudConfig, name: str) -> Wanted:
    """One function of a config, as it is to be served."""
    replicas = config.ray.replicas(name)
    alone = FunctionsConfig(**{name: getattr(config.functions, name)})
    # Nothing but its own section crosses: where the broker and the store are is not a replica's business.
    source = Configured(CloudConfig(functions=alone, devices=config.devices), name, replicas.num_gpus)
    version = digest(
        "ray", name, source.config.model_dump(mode="json"), [replicas.num_cpus, replicas.num_gpus], _version()
    )
    return wanting(name, source, replicas=config.ray, version=version)


def wanting(name: str, source: Source, *, replicas: RayConfig, version: str) -> Wanted:
    """A function from any source; gateways that name the same `version` share its replicas."""
    return Wanted(name, source, replicas.replicas(name), f"{PREFIX}{name}-{version[:12]}", f"{PREFIX}{name}")


def _version() -> str:
    from importlib.metadata import version

    return version("dicem")


@contextmanager
def serving(
    cluster: Cluster, wanted: list[Wanted], settings: RayConfig, *, specs: Mapping[str, FunctionSpec] | None = None
) -> Iterator[RayBackend]:
    """Functions on a cluster.  They go when the last gateway has gone that uses them.

    `specs` are those of functions that are not in the catalog.

    :raises SiteUnavailable: they are not up in time, or the cluster is too small
    :raises DicemError: what kept one from starting
    """
    member = uuid.uuid4().hex
    with ExitStack() as stack:
        board = stack.enter_context(_board(cluster, member))
        used = {name: Demand() for one in wanted for name in (one.application, one.declared)}
        board.post(member, used, settings.ready_s + START_S)
        _sweep(cluster)
        by_application = deploy(cluster, wanted)
        wait_until_up(cluster, by_application, settings.ready_s)
        applications: dict[str, Scaled] = {}
        functions: dict[str, RayFunction] = {}
        for name, one in by_application.items():
            remote = stack.enter_context(_remote(cluster, name, one.name, settings))
            described = remote.describe()
            applications[name] = Scaled(remote, one.name, tuple(each.name for each in described), one.replicas)
            for each in described:
                functions[each.name] = RayFunction(_spec(each, specs or {}), each, remote)
        scaler = stack.enter_context(Scaler(cluster, applications, board, member))
        yield RayBackend(functions, applications, scaler)


def _spec(described: Described, specs: Mapping[str, FunctionSpec]) -> FunctionSpec:
    known = specs.get(described.name) or catalog().get(described.name)
    return replace(known, batch=described.batch)


@contextmanager
def _remote(cluster: Cluster, application: str, name: str, settings: RayConfig) -> Iterator[Remote]:
    async def made() -> Any:
        return cluster.serve.get_app_handle(application)

    handle = cluster.loop.call(made())
    known = cluster.ray.exceptions
    lost = (
        known.RayActorError,
        known.ObjectLostError,
        known.NodeDiedError,
        known.WorkerCrashedError,
        known.TaskCancelledError,
        known.ActorUnschedulableError,
    )
    try:
        yield Remote(name, handle, cluster.loop, Patience(settings.answer_s, settings.retries), lost)
    finally:
        cluster.loop.call(handle.shutdown_async())


@contextmanager
def _board(cluster: Cluster, member: str) -> Iterator[BoardLike]:
    try:
        yield cluster.board
    finally:
        try:
            last = cluster.board.leave(member)
            _sweep(cluster)
            if last:
                cluster.board.end()
        except Exception as error:  # the cluster is going, or has gone: there is nobody to tell
            log.warning("the Ray cluster was left without a word: %s", error)


def _sweep(cluster: Cluster) -> None:
    """Take away what no gateway uses, of what gateways put there: such a name has a version behind the function's."""
    ours = [name for name in look(cluster) if name.startswith(PREFIX) and name.count("-") > 1]
    for name in cluster.board.unused(ours):
        cluster.serve.delete(name, _blocking=False)
