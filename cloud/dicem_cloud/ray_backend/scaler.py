"""Looks at what waits and at what runs, again and again, and tells Ray Serve how many replicas there should be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from ..batcher import Load
from .board import BoardLike
from .cluster import Cluster
from .deploying import look, set_replicas
from .function import Remote
from .scaling import Demand, Memory, decide
from .settings import ReplicasConfig

log = logging.getLogger(__name__)

LOOK_S = 0.5
Loads = Callable[[], Mapping[str, Load]]


@dataclass
class Scaled:
    """An application that is looked after."""

    remote: Remote
    deployment: str
    functions: tuple[str, ...]
    rule: ReplicasConfig
    target: int | None = None
    """what Ray Serve was told last; None: not by us"""
    memory: Memory = field(default_factory=lambda: Memory(time.monotonic()))


class Scaler:
    """A thread; a context manager.  `applications` are by name."""

    def __init__(self, cluster: Cluster, applications: Mapping[str, Scaled], board: BoardLike, member: str) -> None:
        self._cluster, self._applications, self._board, self._member = cluster, dict(applications), board, member
        self._loads: Loads = dict
        self._wake, self._stopping = threading.Event(), False
        self._thread = threading.Thread(target=self._look_after, name="scaler", daemon=True)

    def __enter__(self) -> Scaler:
        for one in self._applications.values():
            one.remote.wake = self._wake.set
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def watch(self, loads: Loads) -> None:
        """Count what waits in these queues too, by function."""
        self._loads = loads

    def _look_after(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except Exception as error:  # the cluster is away for a while: then nothing is changed
                log.warning("the replicas cannot be looked at: %s", error)
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def look(self) -> None:
        """Look once, and change what must be changed."""
        there = look(self._cluster)
        for name, one in self._applications.items():
            seen = there.get(name)
            one.remote.up, one.remote.trouble = (seen.up, seen.message) if seen is not None else (0, "")
        loads = self._loads()
        posted = self._board.post(self._member, {name: _demand(one, loads) for name, one in self._applications.items()})
        for name, one in self._applications.items():
            seen = there.get(name)
            if name not in posted.leads or seen is None:
                one.target = None
                continue
            target = seen.up + seen.coming if one.target is None else one.target
            wanted, one.memory = decide(
                one.rule, posted.demands[name], target=target, up=seen.up, memory=one.memory, now_s=time.monotonic()
            )
            if wanted != one.target:
                self._apply(name, one, wanted)

    def _apply(self, application: str, one: Scaled, wanted: int) -> None:
        set_replicas(self._cluster, application, one.deployment, wanted)
        if one.target is not None:
            log.info("%s: %d replicas instead of %d", one.deployment, wanted, one.target)
        one.target = wanted


def _demand(one: Scaled, loads: Mapping[str, Load]) -> Demand:
    mine = [loads[name] for name in one.functions if name in loads]
    return Demand(
        waiting=sum(load.waiting for load in mine),
        running=one.remote.in_flight,
        oldest_s=max((load.oldest_s for load in mine), default=0.0),
    )
