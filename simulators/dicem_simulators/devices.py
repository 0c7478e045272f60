"""A device on the virtual clock: it takes what its profile says."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from dicem_shared.clock import VirtualClock
from dicem_shared.implementations import Implementation, Work
from dicem_shared.profiles import DeviceProfile


class SimulatedDevice:
    """Computes for real, but takes the profile's time on the virtual clock, `slots` calls at once, first come first."""

    def __init__(self, profile: DeviceProfile, clock: VirtualClock) -> None:
        self.profile, self._clock = profile, clock
        self._free_at = [0.0] * profile.slots
        self.busy_s = 0.0
        self.calls: dict[str, int] = {}

    def submit(self, implementation: Implementation, work: Work, on_done: Callable[[Any, float], None]) -> None:
        """See `dicem_edge.agent.Executor`."""
        try:
            (result,) = implementation.run([work])
        except Exception as cause:
            result = cause
        latency = self.occupy(implementation.spec.name, lambda: on_done(result, latency))

    def occupy(self, function: str, then: Callable[[], None]) -> float:
        """Hold a slot for one call of `function` and go on with `then`; the call's seconds."""
        latency = self.profile.latency(function)
        start = max(heapq.heappop(self._free_at), self._clock.monotonic())
        heapq.heappush(self._free_at, start + latency)
        self.busy_s += latency
        self.calls[function] = self.calls.get(function, 0) + 1
        self._clock.call_at(start + latency, then)
        return latency
