"""What a device takes for a call, and what frames are like: declared figures, each with its source."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .camera import Strict
from .config import load_config
from .errors import ConfigError
from .resources import need

Seconds = Annotated[float, Field(gt=0, le=3600)]
Megabytes = Annotated[float, Field(ge=0, le=1e7)]
Bytes = Annotated[int, Field(ge=0, le=10**9)]


class FunctionProfile(Strict):
    """One function on one device."""

    latency_s: Seconds
    source: str
    """measured on which device, or declared from which publication"""
    memory_mb: Megabytes = 0.0
    """what its model holds while it is loaded; counted once, however many calls there are"""
    batches: Annotated[dict[Annotated[int, Field(ge=1, le=4096)], Seconds], Field(max_length=64)] = {}
    """seconds of a whole batch, by the number of calls in it, where that was measured"""


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
    memory_mb: Megabytes | None = None
    """for models; None: no bound is known"""
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


class Workload(Strict):
    """What a frame is expected to bring: sizes for the link, counts for loops and guards."""

    name: str = "litter-mission"
    frame_bytes: Bytes = 44_600
    """the camera's JPEG, as it is sent when a call looks at the whole frame"""
    crop_bytes: Bytes = 900
    """one encoded crop"""
    request_bytes: Bytes = 1_000
    """a request without pixels, with MQTT's own bytes"""
    reply_bytes: Bytes = 310
    """a reply, with MQTT's own bytes"""
    trips: Annotated[float, Field(ge=0, le=10_000)] = 1.5
    """how often a loop is gone through, where it is reached"""
    trips_of: dict[str, Annotated[float, Field(ge=0, le=10_000)]] = {}
    """the same for single loops, by name"""
    taken: Annotated[float, Field(ge=0, le=1)] = 0.4
    """how often an `if` lets a call through"""
    source: str = (
        "measured: `dicem simulate litter-mission`, 120 frames of 640 x 480; 44.6 kB a JPEG, 0.9 kB a WebP crop of "
        "near litter; litter in 47 of 120 frames, 70 distances asked for, 18 of the 47 within five metres"
    )


def load_profile(given: str) -> DeviceProfile:
    """A profile by name or path.

    :raises ConfigError: not there, or not a profile
    """
    return load_config(DeviceProfile, need(given, "profile", "configs/profiles", suffix=".yaml"))
