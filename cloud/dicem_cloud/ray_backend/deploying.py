"""Applications of Ray Serve: one for each function, put there or found there, and waited for until they are up."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicem_shared import errors
from dicem_shared.errors import ConfigError, DicemError, ModelError, SiteUnavailable

from .cluster import ENVIRONMENT, Cluster
from .replica import Replica, Source
from .settings import ReplicasConfig

MAX_ONGOING = 64
"""batches that a replica takes in; with 1, Ray's router backs off and is three times slower"""
LOOK_S = 0.1
DRAIN_S = 60.0
"""for so long a replica that must go may finish what it has"""
_OURS = re.compile(r"^dicem_shared\.errors\.(\w+): (.+)$", re.MULTILINE)
_LAST = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Exit)): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Wanted:
    """One function (and its alias) that is to be served."""

    name: str
    source: Source
    replicas: ReplicasConfig
    application: str
    """as Ray Serve has it"""
    declared: str
    """as Ray Serve has it where somebody else put it there, for instance KubeRay"""


@dataclass(frozen=True)
class Seen:
    """An application, as it is."""

    status: str
    up: int
    """replicas that run"""
    coming: int
    """replicas that start"""
    message: str


def application(serve: Any, wanted: Wanted, *, here: bool) -> Any:
    """What Ray Serve runs; `here`: on machines that have this process's environment."""
    options: dict[str, Any] = {"num_cpus": wanted.replicas.num_cpus, "num_gpus": wanted.replicas.num_gpus}
    if not here:
        options["runtime_env"] = {"env_vars": dict(ENVIRONMENT)}
    routing = importlib.import_module(f"{__package__}.routing")  # it imports Ray
    config = importlib.import_module("ray.serve.config")
    deployment = serve.deployment(
        Replica,
        name=wanted.name,
        num_replicas=max(1, wanted.replicas.min_replicas),
        max_ongoing_requests=MAX_ONGOING,
        request_router_config=config.RequestRouterConfig(request_router_class=routing.LeastLoaded),
        health_check_period_s=1.0,
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options=options,
    )
    return deployment.bind(wanted.source)


def deploy(cluster: Cluster, wanted: Sequence[Wanted]) -> dict[str, Wanted]:
    """Have every function there; gives them by their applications' names.  Does not wait until they are up.

    :raises SiteUnavailable: one that is being taken away does not go
    """
    there = _settled(cluster, {one.application for one in wanted})
    known = {
        one.name: next((name for name in (one.declared, one.application) if _usable(there.get(name))), None)
        for one in wanted
    }
    new = [one for one in wanted if known[one.name] is None]
    if new:
        targets = [
            cluster.serve.RunTarget(
                application(cluster.serve, one, here=cluster.ours),
                name=one.application,
                route_prefix=None,
                external_scaler_enabled=True,
            )
            for one in new
        ]
        cluster.serve.run_many(targets, wait_for_applications_running=False)
    for one in wanted:
        name = known[one.name]
        if name is not None and not there[name].up + there[name].coming:  # other gateways let it go to sleep
            set_replicas(cluster, name, one.name, 1)
    return {known[one.name] or one.application: one for one in wanted}


def _settled(cluster: Cluster, names: set[str]) -> dict[str, Seen]:
    """What is there, once none of these is being taken away any more: the gateway before us may just have ended."""
    ends_s = time.monotonic() + 2 * DRAIN_S
    while True:
        there = look(cluster)
        going = [name for name in names if name in there and there[name].status == "DELETING"]
        if not going:
            return there
        if time.monotonic() > ends_s:
            raise SiteUnavailable(f"{', '.join(going)} is being taken off the Ray cluster, and does not go")
        time.sleep(LOOK_S)


def set_replicas(cluster: Cluster, application: str, deployment: str, number: int) -> None:
    """Tell Ray Serve how many there should be.

    It is what Ray's own HTTP call for external scalers does (`external_scaler_enabled`), without its dashboard.
    """
    common = importlib.import_module("ray.serve._private.common")
    which = common.DeploymentID(name=deployment, app_name=application)
    cluster.ray.get(cluster.controller().update_deployment_replicas.remote(which, number), timeout=30)


def _usable(seen: Seen | None) -> bool:
    return seen is not None and seen.status in ("RUNNING", "DEPLOYING", "UNHEALTHY")


def look(cluster: Cluster) -> dict[str, Seen]:
    """Every application that is there, by its name."""
    seen = {}
    for name, one in cluster.serve.status().applications.items():
        states = [deployment.replica_states for deployment in one.deployments.values()]
        messages = [one.message, *(deployment.message for deployment in one.deployments.values())]
        seen[name] = Seen(
            status=str(one.status.value),
            up=_count(states, "RUNNING"),
            coming=_count(states, "STARTING", "UPDATING", "RECOVERING"),
            message=next((message for message in reversed(messages) if message), ""),
        )
    return seen


def _count(states: Iterable[Mapping[Any, int]], *wanted: str) -> int:
    return sum(number for each in states for state, number in each.items() if state in wanted)


def wait_until_up(cluster: Cluster, wanted: Mapping[str, Wanted], ready_s: float) -> None:
    """Wait until a replica of each application is up; `wanted` is by application.

    :raises DicemError: what a function's own start raised
    :raises SiteUnavailable: one is not up in time; says what is missing
    """
    ends_s = time.monotonic() + ready_s
    while True:
        there = look(cluster)
        waiting = {name: one for name, one in wanted.items() if name not in there or not there[name].up}
        for name, one in waiting.items():
            if name in there and there[name].status == "DEPLOY_FAILED":  # UNHEALTHY passes: a replica is replaced
                raise failure(one.name, there[name].message)
        if not waiting:
            return
        missing = _missing(cluster, wanted.values())
        if missing and cluster.ours:  # it will not grow
            raise _too_small(missing)
        if time.monotonic() > ends_s:
            if missing:
                raise _too_small(missing)
            names = ", ".join(one.name for one in waiting.values())
            said = "; ".join(_line(there[name].message) for name in waiting if name in there and there[name].message)
            raise SiteUnavailable(
                f"no replica of {names} is up", expected=f"one within {ready_s:g} s (ray.ready_s)", got=said
            )
        time.sleep(LOOK_S)


def failure(name: str, message: str) -> DicemError:
    """The error that kept a function from starting, out of what Ray says about it."""
    ours = _OURS.findall(message)
    if ours:
        kind = getattr(errors, ours[-1][0], None)
        if isinstance(kind, type) and issubclass(kind, ModelError | ConfigError):
            return kind(f"{name}: {ours[-1][1]}")
        return ModelError(f"{name}: {ours[-1][1]}")
    others = _LAST.findall(message)
    got = f"{others[-1][0]}: {others[-1][1]}" if others else _line(message)
    return ModelError(
        f"{name} does not start on Ray", got=got[:300], todo="Every node needs the same dicem, and the models' files."
    )


def _line(message: str) -> str:
    return " ".join(message.split())[:300]


def _missing(cluster: Cluster, wanted: Iterable[Wanted]) -> list[str]:
    """What the cluster as a whole has too little of, for one replica of each function."""
    there = cluster.ray.cluster_resources()
    wanted = list(wanted)
    lacking = []
    for resource, needs in (
        ("GPU", {one.name: one.replicas.num_gpus * max(1, one.replicas.min_replicas) for one in wanted}),
        ("CPU", {one.name: one.replicas.num_cpus * max(1, one.replicas.min_replicas) for one in wanted}),
    ):
        total, has = sum(needs.values()), float(there.get(resource, 0.0))
        if total > has + 1e-6:
            by = ", ".join(f"{name} {need:g}" for name, need in needs.items() if need)
            lacking.append(f"{total:g} {resource}s ({by}), and it has {has:g}")
    return lacking


def _too_small(missing: list[str]) -> SiteUnavailable:
    return SiteUnavailable(
        f"the Ray cluster is too small: the functions take {'; '.join(missing)}",
        todo="Lower num_gpus, num_cpus or min_replicas under ray, or add nodes.",
    )
