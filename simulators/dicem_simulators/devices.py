"""What a device takes for a call: profiles, and a device on the virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from dicem_shared.camera import Strict
from dicem_shared.clock import VirtualClock
from dicem_shared.config import load_config
from dicem_shared.errors import ConfigError
from dicem_shared.implementations import Implementation, Work
from dicem_shared.resources import need

Seconds = Annotated[float, Field(gt=0, le=3600)]


class FunctionProfile(Strict):
    """One function on one device."""

    latency_s: Seconds
    source: str
    """measured on which device, or declared from which publication"""


class DeviceProfile(Strict):
    """A device."""

    name: str
    slots: Annotated[int, Field(ge=1, le=1024)] = 1
    """calls at once"""
    usd_per_hour: Annotated[float, Field(ge=0, le=1000)] = 0.0
    usd_source: str = ""
    program_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    """the interpreter's own time for one frame"""
    program_source: str = ""
    encode_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    """cutting and encoding one crop"""
    encode_source: str = ""
    functions: dict[str, FunctionProfile]

    def latency(self, function: str) -> float:
        """Seconds of one call.

        :raises ConfigError: the profile has none
        """
        if function not in self.functions:
            raise ConfigError(
                f"profile {self.name} has no latency of {function}", expected=", ".join(self.functions),
                todo="Add it with its source.",
            )  # fmt: skip
        return self.functions[function].latency_s


def load_profile(given: str) -> DeviceProfile:
    """A profile by name or path.

    :raises ConfigError: not there, or not a profile
    """
    return load_config(DeviceProfile, need(given, "profile", "configs/profiles", suffix=".yaml"))


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
