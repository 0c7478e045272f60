"""A device that several networks share: held for as long as a batch computes, and no longer.

    device = Device("cuda:0", capacity_bytes=24 * 10**9, torch_memory)
    placed = device.place("blip2", weights)
    with placed.held(items=8):                    # weights are on the device, and there is room to compute
        ...

The gate is sized in memory: as many batches compute at once as fit, each with its weights and its scratch space.
Weights that nobody uses leave for host memory when others need the room, the least recently used first, and come back
when they are asked for.  Whoever came first is served first, so that a large network is not starved by small ones.  On
a machine without a GPU the same code runs, with a capacity that is not bounded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from dicem_shared.errors import OutOfDeviceMemory


class Weights(Protocol):
    """A network's weights, which can be moved."""

    @property
    def size_bytes(self) -> int:
        """what they take on the device"""

    def to_device(self) -> None:
        """Move them there.

        :raises OutOfDeviceMemory: they do not fit
        """

    def to_host(self) -> None:
        """Move them into host memory, and give the device's back."""


class Scratch(Protocol):
    """What a device says of the memory that computing takes beside the weights."""

    def begin(self) -> None:
        """Measure from here."""

    def peak_bytes(self) -> int:
        """The most that was taken at once since `begin`, over what was taken then."""

    def failure(self, error: BaseException) -> OutOfDeviceMemory | None:
        """The error as ours, where it says that memory ran out."""


class NoScratch(Scratch):
    """A device whose memory is not counted."""

    def begin(self) -> None:
        """See `Scratch.begin`."""

    def peak_bytes(self) -> int:
        """See `Scratch.peak_bytes`."""
        return 0

    def failure(self, error: BaseException) -> OutOfDeviceMemory | None:
        """See `Scratch.failure`."""
        return None


@dataclass(eq=False)
class Placed:
    """One network on a device."""

    device: Device
    name: str
    weights: Weights
    item_bytes: int = 0
    """what one item of a batch takes beside the weights: declared at first, then the most that was seen"""
    users: int = 0

    @contextmanager
    def held(self, items: int = 1) -> Iterator[None]:
        """The device, with the weights on it and room to compute `items` at once.

        :raises OutOfDeviceMemory: it is too small for that, or memory ran out while computing
        """
        with self.device.hold(self, items):
            yield


@dataclass
class Device:
    """See the module's text; safe to be shared by threads."""

    name: str
    capacity_bytes: int | None = None
    """what networks may take together; None: not bounded"""
    scratch: Scratch = field(default_factory=NoScratch)
    now: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._resident: OrderedDict[str, Placed] = OrderedDict()
        """what is on the device, the least recently used first"""
        self._taken = 0
        """bytes of scratch that batches under way were granted"""
        self._line: deque[object] = deque()
        self._computing = 0
        self.moves = 0
        """how often weights were brought here"""
        self.busy_s = 0.0
        """for how long at least one batch computed"""
        self._busy_since = 0.0

    def place(self, name: str, weights: Weights, *, item_bytes: int = 0) -> Placed:
        """Give a network a place here; its weights come when they are first needed."""
        return Placed(self, name, weights, item_bytes)

    @property
    def resident(self) -> tuple[str, ...]:
        """The networks whose weights are here, the least recently used first."""
        with self._changed:
            return tuple(self._resident)

    @contextmanager
    def hold(self, placed: Placed, items: int) -> Iterator[None]:
        """See `Placed.held`."""
        granted = items * placed.item_bytes
        self._enter(placed, granted)
        started = self.now()
        alone = self._computing == 1
        try:
            if alone:
                self.scratch.begin()
            yield
            if alone and self._computing == 1:  # else the peak is not this batch's alone
                placed.item_bytes = max(placed.item_bytes, self.scratch.peak_bytes() // max(items, 1))
        except Exception as error:
            if (ours := self.scratch.failure(error)) is not None:
                self._make_room()
                raise ours from error
            raise
        finally:
            _held.seconds = held_seconds() + self.now() - started
            self._leave(placed, granted)

    def _enter(self, placed: Placed, granted: int) -> None:
        me = object()
        with self._changed:
            self._line.append(me)
            try:
                self._refuse_if_never(placed, granted)
                self._changed.wait_for(lambda: self._line[0] is me and self._fits(placed, granted))
                self._bring(placed, granted)
            finally:
                self._line.remove(me)
                self._changed.notify_all()
            placed.users += 1
            self._taken += granted
            if not self._computing:
                self._busy_since = self.now()
            self._computing += 1

    def _leave(self, placed: Placed, granted: int) -> None:
        with self._changed:
            placed.users -= 1
            self._taken -= granted
            self._computing -= 1
            if not self._computing:
                self.busy_s += self.now() - self._busy_since
            self._changed.notify_all()

    def _refuse_if_never(self, placed: Placed, granted: int) -> None:
        needed = placed.weights.size_bytes + granted
        if self.capacity_bytes is not None and needed > self.capacity_bytes:
            raise OutOfDeviceMemory(
                f"{placed.name} does not fit on {self.name}",
                expected=f"at most {self.capacity_bytes / 1e9:.1f} GB",
                got=f"{placed.weights.size_bytes / 1e9:.1f} GB of weights and {granted / 1e9:.1f} GB to compute",
            )

    def _fits(self, placed: Placed, granted: int) -> bool:
        """Whether there is room once all that is idle has left."""
        if self.capacity_bytes is None:
            return True
        used = sum(one.weights.size_bytes for one in self._resident.values() if one.users and one is not placed)
        return used + self._taken + placed.weights.size_bytes + granted <= self.capacity_bytes

    def _bring(self, placed: Placed, granted: int) -> None:
        """Have the weights on the device; others leave as far as they must."""
        if self.capacity_bytes is not None:
            needed = self._taken + granted + placed.weights.size_bytes
            for name, one in list(self._resident.items()):
                here = sum(each.weights.size_bytes for each in self._resident.values() if each is not placed)
                if here + needed <= self.capacity_bytes:
                    break
                if not one.users and one is not placed:
                    one.weights.to_host()
                    del self._resident[name]
        if placed.name not in self._resident:
            placed.weights.to_device()
            self.moves += 1
            self._resident[placed.name] = placed
        self._resident.move_to_end(placed.name)

    def _make_room(self) -> None:
        """Memory ran out though it should not have: whatever is idle leaves."""
        with self._changed:
            for name, one in list(self._resident.items()):
                if not one.users:
                    one.weights.to_host()
                    del self._resident[name]


_held = threading.local()


def held_seconds() -> float:
    """For how long this thread has held devices so far: the difference over a batch is what it is billed for."""
    return float(getattr(_held, "seconds", 0.0))
