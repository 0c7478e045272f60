"""Where the gateways of one Ray cluster tell each other what waits for them, so that the cluster is sized for all.

The same class is an object in the gateway whose own cluster it is, and an actor in a cluster that several share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .scaling import Demand

EXPIRES_S = 15.0
"""a gateway that has posted nothing for so long has gone without saying so, unless it said that it would be silent"""


REPLY_S = 10.0
"""until a board that is somewhere else must have answered"""


@dataclass(frozen=True)
class Posted:
    """What a gateway learns when it posts."""

    demands: dict[str, Demand]
    """of all gateways, by application"""
    leads: frozenset[str]
    """the applications that it decides about: of those who use one, exactly one does"""


class BoardLike(Protocol):
    """A `Board`, wherever it is."""

    def post(self, member: str, demands: Mapping[str, Demand], lasts_s: float = EXPIRES_S) -> Posted:
        """See `Board.post`."""

    def leave(self, member: str) -> bool:
        """See `Board.leave`."""

    def unused(self, names: Sequence[str]) -> list[str]:
        """See `Board.unused`."""

    def end(self) -> None:
        """Nobody needs it any more."""


class Board:
    """See the module's text.  `now` gives seconds of a clock that does not go back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._members: dict[str, tuple[float, dict[str, Demand]]] = {}

    def post(self, member: str, demands: Mapping[str, Demand], lasts_s: float = EXPIRES_S) -> Posted:
        """Say what waits for this gateway, by application; naming one keeps it alive.  It counts for `lasts_s`."""
        self._members[member] = (self._now() + lasts_s, dict(demands))
        self._forget()
        total: dict[str, Demand] = {}
        leaders: dict[str, str] = {}
        for one, (_, posted) in sorted(self._members.items()):
            for name, demand in posted.items():
                total[name] = total.get(name, Demand()) + demand
                leaders.setdefault(name, one)
        return Posted(total, frozenset(name for name, leader in leaders.items() if leader == member))

    def leave(self, member: str) -> bool:
        """This gateway ends.  True: it was the last."""
        self._members.pop(member, None)
        self._forget()
        return not self._members

    def unused(self, names: Sequence[str]) -> list[str]:
        """Those of the applications that no gateway uses."""
        self._forget()
        used = {name for _, posted in self._members.values() for name in posted}
        return [name for name in names if name not in used]

    def end(self) -> None:
        """See `BoardLike.end`: it goes with the process."""

    def _forget(self) -> None:
        now_s = self._now()
        self._members = {name: one for name, one in self._members.items() if one[0] > now_s}


class SharedBoard:
    """The board of a cluster that several gateways share: an actor, which whoever misses it puts there."""

    def __init__(self, ray: Any, namespace: str) -> None:
        self._ray, self._namespace = ray, namespace
        self._actor: Any = None

    def post(self, member: str, demands: Mapping[str, Demand], lasts_s: float = EXPIRES_S) -> Posted:
        """See `Board.post`."""
        posted: Posted = self._asked("post", member, dict(demands), lasts_s)
        return posted

    def leave(self, member: str) -> bool:
        """See `Board.leave`."""
        return bool(self._asked("leave", member))

    def unused(self, names: Sequence[str]) -> list[str]:
        """See `Board.unused`."""
        return list(self._asked("unused", list(names)))

    def end(self) -> None:
        """See `BoardLike.end`."""
        if self._actor is not None:
            self._ray.kill(self._actor)
            self._actor = None

    def _asked(self, method: str, *arguments: Any) -> Any:
        try:
            return self._told(method, *arguments)
        except self._ray.exceptions.ActorDiedError:  # the last gateway but us has just left, and taken it down
            self._actor = None
            return self._told(method, *arguments)

    def _told(self, method: str, *arguments: Any) -> Any:
        if self._actor is None:
            # It restarts where its node goes; what was on it is posted again within a second.
            kind = self._ray.remote(num_cpus=0, max_restarts=-1)(Board)
            options = {"name": "board", "namespace": self._namespace, "lifetime": "detached"}
            self._actor = kind.options(get_if_exists=True, **options).remote()
        return self._ray.get(getattr(self._actor, method).remote(*arguments), timeout=REPLY_S)
