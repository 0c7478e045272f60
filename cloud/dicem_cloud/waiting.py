"""What waits for one function, and what runs next: a queue without threads, sleeps or a clock of its own.

    ticket = queue.offer(call, flow, priority=5, deadline_s=now + 10, now_s=now)     # or Overloaded
    if queue.due_s(now) <= now:
        batch = queue.take(now)

In this order: a lower priority number goes first; within a priority the vehicles take turns, and the programs of a
vehicle share its turns, by start-time fair queueing (Goyal, Vin and Cheng, 1996), so that a boat with a thousand calls
does not keep one with a single call waiting; within a program the earliest deadline goes first.  What cannot be
answered in time is refused at the door, and what has grown too old is never computed.  The same code runs in the
gateway and in simulations.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from dicem_shared.errors import Overloaded

T = TypeVar("T")
Turn = tuple[float, int, str]
"""Of a vehicle or a program: how far it was, a number that breaks ties, its name.  In a heap it may be out of date,
never too late."""
PRIORITIES: Final = range(10)
SMOOTHING: Final = 0.2
"""How much the last batch counts in what the next is expected to take."""
MOST: Final = 2.0
"""Times what the last batch took: more is not expected of the next."""
MIN_RETRY_S: Final = 0.05


class Flow(NamedTuple):
    """Who a call is for: within a priority vehicles get equal shares of a function, and a vehicle's programs of its."""

    vehicle: str
    program: str = ""


class State(Enum):
    """Where a ticket is; all but the first are its end here."""

    WAITING = "waiting"
    TAKEN = "taken"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DISPLACED = "displaced"
    """it made room for a call that matters more"""


@dataclass(eq=False)
class Ticket(Generic[T]):
    """One call that waits.  Times are seconds on the clock that the queue is told the time by."""

    item: T
    flow: Flow
    priority: int
    deadline_s: float
    arrived_s: float
    number: int
    """counts arrivals: the tie-breaker that makes the order the same each time"""
    state: State = State.WAITING


@dataclass(frozen=True)
class Bounds:
    """What a function takes at once, and what may wait for it."""

    max_batch: int = 1
    max_wait_s: float = 0.0
    """so long the first of a batch waits for company"""
    max_waiting: int = 256


@dataclass
class Counts:
    """What has become of all that was offered."""

    offered: int = 0
    refused: int = 0
    ended: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))


class Waiting(Generic[T]):
    """See the module's text."""

    def __init__(self, name: str, bounds: Bounds) -> None:
        self.name, self.bounds = name, bounds
        self.batch_s = 0.0
        """what a batch is expected to take, from those that have run; 0: nothing is known yet"""
        self.counts = Counts()
        self.running = 0
        """batches that were taken and have not ended"""
        self.at_once = 1
        """batches that are computed at the same time"""
        self._numbers = itertools.count()
        self._classes = [_Class[T]() for _ in PRIORITIES]
        self._shares = _Shares()
        self._arrivals: list[tuple[float, int, Ticket[T]]] = []
        self._deadlines: list[tuple[float, int, Ticket[T]]] = []

    def __len__(self) -> int:
        """Tickets that wait."""
        return sum(len(each) for each in self._classes)

    # At the door

    def offer(
        self, item: T, flow: Flow, *, priority: int, deadline_s: float, now_s: float
    ) -> tuple[Ticket[T], list[Ticket[T]]]:  # fmt: skip
        """A ticket for a call, and those that had to make room for it.

        :raises Overloaded: there is no room, or its turn would come after its deadline; says when to try again
        """
        worst = self.check(flow, priority=priority, deadline_s=deadline_s, now_s=now_s)
        self.counts.offered += 1
        if worst is not None:
            self._end(worst, State.EXPIRED if worst.deadline_s <= now_s else State.DISPLACED)
        displaced = [] if worst is None else [worst]
        ticket = Ticket(item, flow, priority, deadline_s, now_s, next(self._numbers))
        self._add(ticket)
        heapq.heappush(self._arrivals, (now_s, ticket.number, ticket))
        heapq.heappush(self._deadlines, (deadline_s, ticket.number, ticket))
        return ticket, displaced

    def check(self, flow: Flow, *, priority: int, deadline_s: float, now_s: float) -> Ticket[T] | None:
        """Whether `offer` would take such a call now: gives the ticket that would have to make room for it, if any.

        Where nothing runs and nothing waits, a call is let in however long batches have taken so far: what is expected
        may come from weights that were read meanwhile, and only another batch can show that.

        :raises Overloaded: it would not; says when to try again
        """
        wait_s = self.expected_wait_s(priority)
        is_idle = not self.running and not len(self)
        if now_s + wait_s > deadline_s and not (is_idle and now_s < deadline_s):
            what = f"{self.name} is busy: its turn would come after the call's deadline"
            raise self._refused(what, f"{wait_s:.1f} s", wait_s)
        if len(self) < self.bounds.max_waiting:
            return None
        worst = self._worst(flow, priority, now_s)
        if worst is None:
            what = f"{self.name} is busy: too many calls wait for it"
            raise self._refused(what, f"at most {self.bounds.max_waiting}", wait_s)
        return worst

    def _refused(self, what: str, expected: str, wait_s: float) -> Overloaded:
        self.counts.offered += 1
        self.counts.refused += 1
        return Overloaded(what, expected=expected, retry_after_s=max(wait_s, MIN_RETRY_S))

    def expected_wait_s(self, priority: int) -> float:
        """Seconds until a call of this priority that came now would have its result, as far as can be told."""
        ahead = sum(len(each) for each in self._classes[: priority + 1])
        batches = math.ceil((ahead + 1) / self.bounds.max_batch) + self.running
        return math.ceil(batches / max(self.at_once, 1)) * self.batch_s

    @property
    def is_full(self) -> bool:
        """Whether what waits fills a batch."""
        return len(self) >= self.bounds.max_batch

    @property
    def wants_company(self) -> bool:
        """Whether a lone call would wait for others."""
        return self.bounds.max_batch > 1 and self.bounds.max_wait_s > 0

    def oldest_s(self, now_s: float) -> float:
        """For how long the first of what waits has waited."""
        first = _first(self._arrivals)
        return 0.0 if first is None else max(0.0, now_s - first.arrived_s)

    def cancel(self, ticket: Ticket[T]) -> bool:
        """Nobody waits for it any more; False: it is not waiting here."""
        if ticket.state is not State.WAITING:
            return False
        self._end(ticket, State.CANCELLED)
        self._forget()
        return True

    # At the counter

    def due_s(self, now_s: float) -> float:
        """When the next batch should be taken: `now_s` or earlier means at once, infinity that nothing waits."""
        waiting = len(self)
        if not waiting:
            return math.inf
        if self.is_full:
            return now_s
        first, urgent = _first(self._arrivals), _first(self._deadlines)
        assert first is not None
        assert urgent is not None
        return min(first.arrived_s + self.bounds.max_wait_s, urgent.deadline_s - self.batch_s)

    def take(self, now_s: float) -> tuple[list[Ticket[T]], list[Ticket[T]]]:
        """The next batch, perhaps empty, and what has waited past its deadline, which is not computed."""
        late = self._expire(now_s)
        batch: list[Ticket[T]] = []
        while len(batch) < self.bounds.max_batch and (ticket := self._next()) is not None:
            self._end(ticket, State.TAKEN)
            batch.append(ticket)
        if batch:
            self.running += 1
        self._forget()
        return batch, late

    def exchange(self, batch: list[Ticket[T]]) -> list[Ticket[T]]:
        """A batch that was taken and has not begun, as it is to run now: what has come since and matters more takes the
        place of what matters least in it, which waits again."""
        batch = sorted(batch, key=_priority)
        while batch and (newcomer := self._above(batch[-1].priority)) is not None:
            self._end(newcomer, State.TAKEN)
            self._put_back(batch.pop())
            bisect.insort(batch, newcomer, key=_priority)
        return batch

    def ended(self, seconds: float | None) -> None:
        """A batch has run for so long; None: there was nothing in it to run.

        One that took long only because a network came in is forgotten with the next: expecting too much would refuse
        calls for nothing, and what is refused shows nothing.
        """
        self.running -= 1
        if seconds is not None:
            smooth = seconds if not self.batch_s else self.batch_s + SMOOTHING * (seconds - self.batch_s)
            self.batch_s = min(smooth, MOST * seconds)

    def drain(self) -> list[Ticket[T]]:
        """Cancel all that waits, for the end."""
        left = [ticket for each in self._classes for ticket in each.tickets()]
        for ticket in left:
            self._end(ticket, State.CANCELLED)
        return left

    # Inside

    def _add(self, ticket: Ticket[T]) -> None:
        vehicle = ticket.flow.vehicle
        waits = any(each.holds(vehicle) for each in self._classes)
        self._classes[ticket.priority].add(ticket, self._shares.tag(vehicle, waits=waits))

    def _above(self, priority: int) -> Ticket[T] | None:
        """The next ticket, if it matters more than that."""
        return self._next() if any(len(each) for each in self._classes[:priority]) else None

    def _put_back(self, ticket: Ticket[T]) -> None:
        """It waits again, where its deadline puts it; the turn that its flow has had is gone."""
        ticket.state = State.WAITING
        self.counts.ended[State.TAKEN] -= 1
        self._add(ticket)
        heapq.heappush(self._arrivals, (ticket.arrived_s, ticket.number, ticket))
        heapq.heappush(self._deadlines, (ticket.deadline_s, ticket.number, ticket))

    def _next(self) -> Ticket[T] | None:
        for each in self._classes:
            ticket = each.first(self._shares)
            if ticket is not None:
                self._shares.take(ticket.flow.vehicle)
                each.took(ticket)
                return ticket
        return None

    def _worst(self, flow: Flow, priority: int, now_s: float) -> Ticket[T] | None:
        """Which ticket is to make room for a newcomer: one that is too late anyway, or one that matters less.  None:
        none is worse off for it than the newcomer would be."""
        urgent = _first(self._deadlines)
        if urgent is not None and urgent.deadline_s <= now_s:
            return urgent
        for least in reversed(PRIORITIES):
            held = self._classes[least]
            if len(held):
                return held.last() if least > priority else held.worse_off(flow) if least == priority else None
        return None

    def _expire(self, now_s: float) -> list[Ticket[T]]:
        late = []
        while (ticket := _first(self._deadlines)) is not None and ticket.deadline_s <= now_s:
            self._end(ticket, State.EXPIRED)
            late.append(ticket)
        return late

    def _end(self, ticket: Ticket[T], state: State) -> None:
        ticket.state = state
        self.counts.ended[state] += 1
        self._classes[ticket.priority].drop(ticket)

    def _forget(self) -> None:
        """Of what has ended, nothing is kept for longer than it takes as many others to come."""
        room = 2 * len(self) + 64
        if len(self._arrivals) > room:
            self._arrivals = [entry for entry in self._arrivals if entry[2].state is State.WAITING]
            heapq.heapify(self._arrivals)
        if len(self._deadlines) > room:
            self._deadlines = [entry for entry in self._deadlines if entry[2].state is State.WAITING]
            heapq.heapify(self._deadlines)
        if len(self._shares) > room:  # who is forgotten may come a turn early once
            self._shares.keep({vehicle for each in self._classes for vehicle in each.vehicles()})


class _Shares:
    """Whose turn it is: how far each has come, in turns that it has had.  One that was away comes in where the others
    are, and has saved nothing up."""

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._turn = 0.0

    def __len__(self) -> int:
        return len(self._served)

    def tag(self, name: str, *, waits: bool) -> float:
        """Where somebody stands who comes, or who waits already."""
        known = self._served.get(name, self._turn)
        self._served[name] = known if waits else max(known, self._turn)
        return self._served[name]

    def take(self, name: str) -> None:
        """He has a turn."""
        self._turn = max(self._turn, self._served[name])
        self._served[name] += 1.0

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        self._served = {name: tag for name, tag in self._served.items() if name in names}

    def first(self, turns: list[Turn], waits: Callable[[str], bool]) -> str | None:
        """The one of a heap of turns who is first; who does not wait any more is dropped from it."""
        while turns:
            tag, number, name = turns[0]
            if not waits(name):
                heapq.heappop(turns)
            elif self._served[name] > tag:
                heapq.heapreplace(turns, (self._served[name], number, name))
            else:
                return name
        return None


class _Class(Generic[T]):
    """The tickets of one priority, by vehicle."""

    def __init__(self) -> None:
        self._by_vehicle: dict[str, _Vehicle[T]] = {}
        self._turns: list[Turn] = []
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, ticket: Ticket[T], tag: float) -> None:
        name = ticket.flow.vehicle
        if name not in self._by_vehicle:
            self._by_vehicle[name] = _Vehicle()
            heapq.heappush(self._turns, (tag, ticket.number, name))
        self._by_vehicle[name].add(ticket)
        self._total += 1

    def drop(self, ticket: Ticket[T]) -> None:
        """It does not wait any more."""
        self._total -= 1
        self._by_vehicle[ticket.flow.vehicle].drop(ticket)
        if len(self._by_vehicle) > 2 * self._total + 64:
            self._by_vehicle = {name: self._by_vehicle[name] for name in self.vehicles()}
            self._turns = [turn for turn in self._turns if turn[2] in self._by_vehicle]
            heapq.heapify(self._turns)

    def first(self, shares: _Shares) -> Ticket[T] | None:
        """The one whose turn it is."""
        name = shares.first(self._turns, self._waits)
        return None if name is None else self._by_vehicle[name].first()

    def took(self, ticket: Ticket[T]) -> None:
        """Its program has had its turn among the vehicle's."""
        self._by_vehicle[ticket.flow.vehicle].took(ticket)

    def holds(self, vehicle: str) -> bool:
        return vehicle in self._by_vehicle and len(self._by_vehicle[vehicle]) > 0

    def vehicles(self) -> Iterator[str]:
        """Those that wait."""
        return filter(self.holds, self._by_vehicle)

    def last(self) -> Ticket[T]:
        """The one whose turn comes last of what wants most; of several the vehicle that came last."""
        return self._largest()[1].last()

    def worse_off(self, flow: Flow) -> Ticket[T] | None:
        """One of a vehicle, or of a program of the same vehicle, that has more even without it than `flow` would with
        one more."""
        name, largest = self._largest()
        own = self._by_vehicle.get(flow.vehicle)
        if name == flow.vehicle:
            return largest.last() if largest.most() > largest.count(flow.program) + 1 else None
        return largest.last() if len(largest) > (len(own) if own else 0) + 1 else None

    def tickets(self) -> Iterator[Ticket[T]]:
        for vehicle in self._by_vehicle.values():
            yield from vehicle.tickets()

    def _largest(self) -> tuple[str, _Vehicle[T]]:
        waiting = ((name, self._by_vehicle[name]) for name in self.vehicles())
        return max(waiting, key=lambda one: (len(one[1]), one[1].latest()))

    def _waits(self, vehicle: str) -> bool:
        """Whether it does; one that does not is forgotten."""
        if len(self._by_vehicle[vehicle]):
            return True
        del self._by_vehicle[vehicle]
        return False


class _Vehicle(Generic[T]):
    """The tickets of one vehicle and priority, by program: a heap by deadline each, in which what has ended stays until
    it comes to the top."""

    def __init__(self) -> None:
        self._by_program: dict[str, list[tuple[float, int, Ticket[T]]]] = {}
        self._counts: dict[str, int] = {}
        self._turns: list[Turn] = []
        self._shares = _Shares()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, ticket: Ticket[T]) -> None:
        name = ticket.flow.program
        tag = self._shares.tag(name, waits=name in self._counts)
        if name not in self._by_program:
            self._by_program[name] = []
            heapq.heappush(self._turns, (tag, ticket.number, name))
        heapq.heappush(self._by_program[name], (ticket.deadline_s, ticket.number, ticket))
        self._counts[name] = self.count(name) + 1
        self._total += 1

    def drop(self, ticket: Ticket[T]) -> None:
        name = ticket.flow.program
        self._total -= 1
        left = self._counts.pop(name) - 1
        if left:
            self._counts[name] = left
        if len(self._by_program[name]) > 2 * left + 16:
            self._by_program[name] = [entry for entry in self._by_program[name] if entry[2].state is State.WAITING]
            heapq.heapify(self._by_program[name])
        if len(self._by_program) > 2 * len(self._counts) + 16:
            self._by_program = {each: heap for each, heap in self._by_program.items() if each in self._counts}
            self._turns = [turn for turn in self._turns if turn[2] in self._counts]
            heapq.heapify(self._turns)
            self._shares.keep(set(self._counts))

    def first(self) -> Ticket[T] | None:
        name = self._shares.first(self._turns, self._waits)
        return None if name is None else self._by_program[name][0][2]

    def took(self, ticket: Ticket[T]) -> None:
        self._shares.take(ticket.flow.program)

    def count(self, program: str) -> int:
        return self._counts.get(program, 0)

    def most(self) -> int:
        """Of the program that wants most."""
        return max(self._counts.values())

    def last(self) -> Ticket[T]:
        """Of the program that wants most, the one whose turn comes last."""
        longest = max(self._counts, key=lambda name: (self._counts[name], self._latest(name)))
        return max(self._entries(longest), key=lambda entry: entry[:2])[2]

    def latest(self) -> int:
        """The number of the ticket that came last."""
        return max(map(self._latest, self._counts))

    def tickets(self) -> Iterator[Ticket[T]]:
        for name in self._counts:
            yield from (ticket for _, _, ticket in self._entries(name))

    def _latest(self, program: str) -> int:
        return max(number for _, number, _ in self._entries(program))

    def _entries(self, program: str) -> Iterator[tuple[float, int, Ticket[T]]]:
        return (entry for entry in self._by_program[program] if entry[2].state is State.WAITING)

    def _waits(self, program: str) -> bool:
        """Whether it does; one that does not is forgotten.  What has ended leaves the top of its heap."""
        heap = self._by_program[program]
        while heap and heap[0][2].state is not State.WAITING:
            heapq.heappop(heap)
        if not heap:
            del self._by_program[program]
        return bool(heap)


def _priority(ticket: Ticket[T]) -> int:
    return ticket.priority


def _first(heap: list[tuple[float, int, Ticket[T]]]) -> Ticket[T] | None:
    """The first ticket of a heap that still waits."""
    while heap and heap[0][2].state is not State.WAITING:
        heapq.heappop(heap)
    return heap[0][2] if heap else None
