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
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
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
        """Move them there; where that fails, all of them are back in host memory.

        :raises OutOfDeviceMemory: they do not fit
        """

    def to_host(self) -> None:
        """Move them into host memory, and give the device's back.  Not called while anybody computes with them."""


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
    """batches that compute with it, or for which its weights are under way"""

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
        self._resident: OrderedDict[Placed, None] = OrderedDict()
        """what is on the device, or on its way there or away, the least recently used first"""
        self._moving: set[Placed] = set()
        """what is on its way: moved by one thread at a time and without the lock, for it may take seconds"""
        self._line: deque[object] = deque()
        self._taken = 0
        """bytes of scratch that batches under way were granted"""
        self._computing = 0
        self._events = 0
        """how many batches and moves have begun so far"""
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
            return tuple(one.name for one in self._resident if one not in self._moving)

    @contextmanager
    def hold(self, placed: Placed, items: int) -> Iterator[None]:
        """See `Placed.held`."""
        granted = items * placed.item_bytes
        self._enter(placed, granted)
        started = self.now()
        try:
            event, alone = self._begin(started)
            yield
            if alone and event == self._events:  # else the peak is not this batch's own
                self._remember(placed, self.scratch.peak_bytes() // max(items, 1))
        except Exception as error:
            if (ours := self.scratch.failure(error)) is None:
                raise
            traceback.clear_frames(error.__traceback__)  # they hold what was computed so far, on the device
            if alone and event == self._events:
                self._remember_too_much(placed, items)
            self._make_room()
            raise ours from error
        finally:
            _held.seconds = held_seconds() + self.now() - started
            self._end(placed, granted)

    # Into the device

    def _enter(self, placed: Placed, granted: int) -> None:
        """Wait for this batch's turn and for room; then have the weights here."""
        me = object()
        with self._changed:
            self._refuse_if_never(placed, granted)
            self._line.append(me)
            try:
                self._changed.wait_for(lambda: self._line[0] is me and self._may_enter(placed, granted))
                leaving = self._to_leave(placed, granted)
                coming = placed not in self._resident
                placed.users += 1
                self._taken += granted
                self._resident[placed] = None
                self._resident.move_to_end(placed)
                if coming or leaving:
                    self._events += 1
                    self._moving.update(leaving, [placed] if coming else [])
            finally:
                self._line.remove(me)
                self._changed.notify_all()
        if coming or leaving:
            self._bring(placed, granted, leaving, coming=coming)

    def _refuse_if_never(self, placed: Placed, granted: int) -> None:
        needed = placed.weights.size_bytes + granted
        if self.capacity_bytes is not None and needed > self.capacity_bytes:
            raise OutOfDeviceMemory(
                f"{placed.name} does not fit on {self.name}",
                expected=f"at most {self.capacity_bytes / 1e9:.1f} GB",
                got=f"{placed.weights.size_bytes / 1e9:.1f} GB of weights and {granted / 1e9:.1f} GB to compute",
            )

    def _may_enter(self, placed: Placed, granted: int) -> bool:
        """Whether there is room once all that is idle has left.

        While somebody moves weights, only those come in for whom nothing has to be moved.
        """
        if self._moving:
            here = placed in self._resident and placed not in self._moving
            return here and not self._to_leave(placed, granted) and self._fits(self._resident, placed, granted)
        return self._fits((one for one in self._resident if one.users), placed, granted)

    def _fits(self, others: Iterable[Placed], placed: Placed, granted: int) -> bool:
        """Whether there is room beside the weights of `others` and what is computed now."""
        if self.capacity_bytes is None:
            return True
        beside = sum(one.weights.size_bytes for one in others if one is not placed)
        return beside + self._taken + placed.weights.size_bytes + granted <= self.capacity_bytes

    def _to_leave(self, placed: Placed, granted: int) -> list[Placed]:
        """The idle networks that have to leave for it, the least recently used first."""
        staying = dict.fromkeys(self._resident)
        leaving: list[Placed] = []
        for one in self._resident:
            if self._fits(staying, placed, granted):
                break
            if not one.users and one is not placed:
                leaving.append(one)
                del staying[one]
        return leaving

    def _bring(self, placed: Placed, granted: int, leaving: list[Placed], *, coming: bool) -> None:
        """The others out, this one in.  Whatever fails, what is written down stays true."""
        try:
            self._send_away(leaving)
            if coming:
                self._fetch(placed)
                self.moves += 1
        except BaseException as error:
            with self._changed:
                placed.users -= 1
                self._taken -= granted
                if coming:
                    del self._resident[placed]
            if (ours := self.scratch.failure(error)) is None:
                raise
            raise ours from error
        finally:
            with self._changed:
                self._moving.clear()
                self._changed.notify_all()

    def _fetch(self, placed: Placed) -> None:
        """Its weights onto the device; where there is less room than was thought, whatever is idle makes some."""
        try:
            placed.weights.to_device()
        except Exception as error:
            if self.scratch.failure(error) is None:
                raise
            with self._changed:
                idle = [one for one in self._resident if not one.users]
                self._moving.update(idle)
            if not idle:
                raise
            self._send_away(idle)
            placed.weights.to_device()

    def _send_away(self, leaving: Iterable[Placed]) -> None:
        for one in leaving:
            one.weights.to_host()
            with self._changed:
                del self._resident[one]
                self._moving.discard(one)

    # While it computes

    def _begin(self, now: float) -> tuple[int, bool]:
        """This batch's number, and whether it has the device to itself."""
        with self._changed:
            self._computing += 1
            self._events += 1
            alone = self._computing == 1
            if alone:
                self._busy_since = now
                self.scratch.begin()
            return self._events, alone

    def _remember(self, placed: Placed, item_bytes: int) -> None:
        """What one item took.  It went well, so one item always may: more than there is by our own bound is not asked
        for, or one large image would have all that come after it refused."""
        if self.capacity_bytes is not None:
            item_bytes = min(item_bytes, self.capacity_bytes - placed.weights.size_bytes)
        placed.item_bytes = max(placed.item_bytes, item_bytes)

    def _remember_too_much(self, placed: Placed, items: int) -> None:
        """So many at once are refused from now on before they are tried, and come in halves; a single one never is."""
        if self.capacity_bytes is not None and items > 1:
            room = self.capacity_bytes - placed.weights.size_bytes
            placed.item_bytes = max(placed.item_bytes, room // items + 1)

    def _make_room(self) -> None:
        """Memory ran out though it should not have: whatever is idle leaves."""
        with self._changed:
            leaving = [] if self._moving else [one for one in self._resident if not one.users]
            self._moving.update(leaving)
            self._events += 1
        if leaving:
            try:
                self._send_away(leaving)
            finally:
                with self._changed:
                    self._moving.clear()
                    self._changed.notify_all()

    def _end(self, placed: Placed, granted: int) -> None:
        with self._changed:
            placed.users -= 1
            self._taken -= granted
            self._computing -= 1
            if not self._computing:
                self.busy_s += self.now() - self._busy_since
            self._changed.notify_all()


_held = threading.local()


def held_seconds() -> float:
    """For how long this thread has held devices so far: the difference over a batch is what it is billed for."""
    return float(getattr(_held, "seconds", 0.0))


def bill(seconds: float) -> None:
    """A device of another process was held for this thread."""
    _held.seconds = held_seconds() + seconds
