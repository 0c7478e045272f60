"""The queue in front of a function: who goes first, who is refused, and that nobody is lost."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicem_cloud.waiting import Bounds, Flow, State, Ticket, Waiting
from dicem_shared.errors import Overloaded

A, B, C = Flow("a"), Flow("b"), Flow("c")
FAR = 1e9


def queue(max_batch: int = 1, max_wait_s: float = 0.0, max_waiting: int = 1000) -> Waiting[str]:
    return Waiting("blip2", Bounds(max_batch, max_wait_s, max_waiting))


def put(
    waiting: Waiting[str], item: str, flow: Flow = A, priority: int = 5, deadline_s: float = FAR, now_s: float = 0.0
) -> Ticket[str]:
    return waiting.offer(item, flow, priority=priority, deadline_s=deadline_s, now_s=now_s)[0]


def order(waiting: Waiting[str], now_s: float = 0.0) -> str:
    found = []
    while batch := waiting.take(now_s)[0]:
        found += [ticket.item for ticket in batch]
    return "".join(found)


def test_what_matters_more_goes_first() -> None:
    waiting = queue()
    for item, priority in (("c", 9), ("a", 0), ("b", 5)):
        put(waiting, item, priority=priority)
    assert order(waiting) == "abc"


def test_a_vehicle_gets_no_more_turns_by_naming_more_programs() -> None:
    waiting = queue()
    for number in range(30):
        put(waiting, "a", Flow("a", f"p{number}"))
    for _ in range(4):
        put(waiting, "b", B)
    assert order(waiting)[:8] == "abababab"


def test_the_programs_of_a_vehicle_share_its_turns() -> None:
    waiting = queue()
    for _ in range(9):
        put(waiting, "x", Flow("a", "x"))
    for _ in range(2):
        put(waiting, "y", Flow("a", "y"))
    for _ in range(3):
        put(waiting, "b", B)
    assert order(waiting)[:7] == "xbybxby"


def test_a_crowd_of_programs_makes_room_for_another_vehicle() -> None:
    waiting = queue(max_waiting=4)
    for number in range(4):
        put(waiting, "a", Flow("a", f"p{number}"))
    with pytest.raises(Overloaded):
        put(waiting, "a", Flow("a", "p9"))
    assert put(waiting, "b", B).state is State.WAITING
    assert len(waiting) == 4


def test_a_batch_that_has_not_begun_gives_way_to_what_matters_more() -> None:
    waiting = queue(3)
    tickets = {item: put(waiting, item, priority=priority) for item, priority in (("a", 5), ("b", 8), ("c", 9))}
    batch, _ = waiting.take(0.0)
    for item, priority in (("x", 8), ("y", 5), ("z", 0)):
        put(waiting, item, Flow(item), priority=priority)
    batch = waiting.exchange(batch)
    assert [ticket.item for ticket in batch] == ["z", "a", "y"]
    assert {tickets[item].state for item in "bc"} == {State.WAITING}
    assert waiting.exchange(batch) == batch
    assert sorted(order(waiting)) == ["b", "c", "x"]
    assert (waiting.counts.offered, waiting.counts.ended[State.TAKEN]) == (6, 6)


def test_within_a_flow_the_earliest_deadline_goes_first_and_of_equals_the_first_to_come() -> None:
    waiting = queue()
    for item, deadline_s in (("c", 30), ("a", 10), ("d", 30), ("b", 20)):
        put(waiting, item, deadline_s=deadline_s)
    assert order(waiting) == "abcd"


def test_flows_take_turns_however_much_one_of_them_wants() -> None:
    waiting = queue()
    for number in range(100):
        put(waiting, "a", A, deadline_s=number + 1000)
    for _ in range(3):
        put(waiting, "b", B)
    put(waiting, "c", C)
    assert order(waiting)[:7] == "abcabab"


def test_a_flow_that_was_away_has_saved_nothing_up() -> None:
    waiting = queue()
    for _ in range(50):
        put(waiting, "a", A)
    taken = "".join(waiting.take(0.0)[0][0].item for _ in range(30))
    assert taken == "a" * 30
    for _ in range(20):
        put(waiting, "b", B)
    assert order(waiting)[:10] == "ab" * 5 or "ba" * 5


def test_a_turn_in_one_priority_counts_in_all() -> None:
    waiting = queue()
    for _ in range(4):
        put(waiting, "A", A, priority=0)
    for _ in range(4):
        put(waiting, "a", A)
        put(waiting, "b", B)
    assert order(waiting) == "AAAA" + "bbbb" + "aaaa"  # until b is as far as a, it is b's turn


def test_a_full_batch_is_due_at_once_and_another_when_its_first_has_waited() -> None:
    waiting = queue(max_batch=3, max_wait_s=0.5)
    assert waiting.due_s(0.0) == math.inf
    put(waiting, "a", now_s=1.0)
    put(waiting, "b", now_s=1.2)
    assert waiting.due_s(1.2) == 1.5
    put(waiting, "c", now_s=1.3)
    assert waiting.due_s(1.3) == 1.3
    batch, late = waiting.take(1.3)
    assert ([t.item for t in batch], late) == (["a", "b", "c"], [])
    assert waiting.due_s(1.4) == math.inf


def test_it_does_not_wait_for_company_until_it_is_too_late() -> None:
    waiting = queue(max_batch=8, max_wait_s=10.0)
    waiting.running = 1
    waiting.ended(2.0)
    put(waiting, "a", deadline_s=5.0)
    assert waiting.due_s(0.0) == 3.0


def test_what_is_too_old_is_never_computed() -> None:
    waiting = queue(max_batch=4)
    old, good = put(waiting, "old", deadline_s=1.0), put(waiting, "good", deadline_s=3.0)
    batch, late = waiting.take(1.0)
    assert (batch, late) == ([good], [old])
    assert (old.state, good.state) == (State.EXPIRED, State.TAKEN)


def test_what_would_come_too_late_is_refused_at_the_door() -> None:
    waiting = queue(max_batch=2)
    waiting.running = 1
    waiting.ended(1.0)
    for _ in range(4):
        put(waiting, "a")
    assert waiting.expected_wait_s(5) == 3.0
    with pytest.raises(Overloaded, match="after the call's deadline") as refused:
        put(waiting, "b", deadline_s=2.9)
    assert refused.value.retry_after_s == 3.0
    put(waiting, "c", deadline_s=3.1)
    put(waiting, "d", priority=0, deadline_s=1.1)  # for this one there is nobody before it


def test_a_batch_that_took_long_once_does_not_lock_the_function_up() -> None:
    """A network of 40 s to read, and calls that have 30 s."""
    waiting = queue(max_batch=2)
    put(waiting, "first", deadline_s=30.0)
    waiting.take(0.0)
    waiting.ended(40.0)
    put(waiting, "probe", deadline_s=70.0, now_s=40.0)
    with pytest.raises(Overloaded):
        put(waiting, "behind it", deadline_s=70.0, now_s=40.0)
    assert order(waiting, 40.0) == "probe"
    waiting.ended(0.03)
    put(waiting, "a", deadline_s=71.0, now_s=41.0)
    put(waiting, "b", deadline_s=71.0, now_s=41.0)
    with pytest.raises(Overloaded):
        put(waiting, "too late already", deadline_s=40.0, now_s=41.0)


def test_what_is_too_late_anyway_makes_room_first() -> None:
    waiting = queue(max_waiting=2)
    dead = put(waiting, "dead", B, priority=0, deadline_s=1.0)
    put(waiting, "a", A)
    assert waiting.check(A, priority=9, deadline_s=FAR, now_s=1.0) is dead
    assert (len(waiting), dead.state) == (2, State.WAITING)
    _, displaced = waiting.offer("a", A, priority=9, deadline_s=FAR, now_s=1.0)
    assert (displaced, dead.state) == ([dead], State.EXPIRED)


def test_beyond_its_bound_it_refuses() -> None:
    waiting = queue(max_waiting=3)
    for item in "abc":
        put(waiting, item)
    with pytest.raises(Overloaded, match="too many calls wait"):
        put(waiting, "d")
    assert len(waiting) == 3
    assert waiting.counts.refused == 1


def test_who_matters_more_or_wants_less_gets_a_place() -> None:
    waiting = queue(max_waiting=4)
    many = [put(waiting, f"a{n}", A, deadline_s=100 + n) for n in range(4)]
    _, displaced = waiting.offer("b", B, priority=5, deadline_s=FAR, now_s=0.0)
    assert displaced == [many[3]]  # of the one who wants most, the last in his own order
    _, displaced = waiting.offer("now", C, priority=0, deadline_s=FAR, now_s=0.0)
    assert displaced == [many[2]]
    with pytest.raises(Overloaded):
        put(waiting, "a", A)
    with pytest.raises(Overloaded):
        put(waiting, "later", C, priority=9)
    assert many[2].state is State.DISPLACED
    assert len(waiting) == 4


def test_what_nobody_waits_for_is_not_computed() -> None:
    waiting = queue(max_batch=2)
    one, two = put(waiting, "one"), put(waiting, "two")
    assert waiting.cancel(one)
    assert not waiting.cancel(one)
    assert waiting.take(0.0)[0] == [two]
    assert not waiting.cancel(two)


def test_at_the_end_all_get_their_tickets_back() -> None:
    waiting = queue()
    tickets = [put(waiting, item, flow) for item, flow in (("a", A), ("b", B))]
    assert set(waiting.drain()) == set(tickets)
    assert (len(waiting), waiting.due_s(0.0)) == (0, math.inf)


def test_cancelled_calls_leave_nothing_behind() -> None:
    waiting = queue(max_waiting=10)
    put(waiting, "first", deadline_s=1.0)
    for number in range(5000):
        waiting.cancel(put(waiting, "x", Flow(f"v{number % 3}"), deadline_s=FAR + number))
    assert waiting_inside(waiting) < 100
    for number in range(5000):
        waiting.take(0.0)
        put(waiting, "x", Flow(f"v{number}"))
    assert len(waiting._arrivals) + len(waiting._deadlines) + waiting_inside(waiting) < 300
    for number in range(5000):
        waiting.cancel(put(waiting, "x", Flow("one", f"p{number}")))
        waiting.cancel(put(waiting, "x", Flow(f"v{number}", "one")))
    assert waiting_inside(waiting) < 300
    assert sum(len(each._by_vehicle) for each in waiting._classes) < 300


def waiting_inside(waiting: Waiting[str]) -> int:
    """Everything that is kept of tickets, vehicles and programs."""
    vehicles = [vehicle for each in waiting._classes for vehicle in each._by_vehicle.values()]
    heaps = [heap for vehicle in vehicles for heap in (vehicle._turns, *vehicle._by_program.values())]
    return sum(map(len, heaps)) + sum(len(each._turns) for each in waiting._classes) + len(waiting._shares)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("aaaab"), min_size=1, max_size=120), st.integers(1, 8))
def test_no_flow_that_waits_is_left_behind(arrivals: list[str], max_batch: int) -> None:
    """While two flows wait, neither is served more than one turn (and the rest of a batch) ahead of the other."""
    waiting = queue(max_batch)
    for name in arrivals:
        put(waiting, name, Flow(name))
    left, served = Counter(arrivals), Counter[str]()
    while batch := waiting.take(0.0)[0]:
        for ticket in batch:
            served[ticket.item] += 1
        if all(served[name] < left[name] for name in left):
            assert max(served[name] for name in left) - min(served[name] for name in left) <= 1


class Machine(RuleBasedStateMachine):
    """Offers, cancellations and batches at random, against a list of what should be waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = Waiting[int]("f", Bounds(max_batch=3, max_wait_s=1.0, max_waiting=6))
        self.open: list[Ticket[int]] = []
        self.all: list[Ticket[int]] = []
        self.now_s = 0.0
        self.ahead: list[Ticket[int]] = []
        """taken, and not begun"""

    @rule(
        flow=st.sampled_from([A, B, C]), priority=st.integers(0, 9), patience_s=st.floats(0.1, 20.0),
        pause_s=st.floats(0.0, 2.0),
    )  # fmt: skip
    def offer(self, flow: Flow, priority: int, patience_s: float, pause_s: float) -> None:
        self.now_s += pause_s
        try:
            ticket, displaced = self.waiting.offer(
                len(self.all), flow, priority=priority, deadline_s=self.now_s + patience_s, now_s=self.now_s
            )
        except Overloaded:
            return
        for each in displaced:
            assert each.priority >= priority or each.deadline_s <= self.now_s
            self.open.remove(each)
        self.open.append(ticket)
        self.all.append(ticket)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.open))
        assert self.waiting.cancel(ticket)
        self.open.remove(ticket)

    @rule(pause_s=st.floats(0.0, 3.0), seconds=st.floats(0.0, 2.0))
    def take(self, pause_s: float, seconds: float) -> None:
        self.now_s += pause_s
        batch, late = self.waiting.take(self.now_s)
        assert all(ticket.deadline_s <= self.now_s for ticket in late)
        assert all(ticket.deadline_s > self.now_s for ticket in batch)
        for ticket in (*batch, *late):
            self.open.remove(ticket)
        if batch and self.open:
            assert len(batch) == 3
            assert max(ticket.priority for ticket in batch) <= min(ticket.priority for ticket in self.open)
        if batch:
            self.waiting.ended(seconds)

    @precondition(lambda self: not self.ahead)
    @rule()
    def take_ahead(self) -> None:
        self.ahead, late = self.waiting.take(self.now_s)
        for ticket in (*self.ahead, *late):
            self.open.remove(ticket)

    @precondition(lambda self: self.ahead)
    @rule(pause_s=st.floats(0.0, 3.0), seconds=st.floats(0.0, 2.0))
    def begin(self, pause_s: float, seconds: float) -> None:
        self.now_s += pause_s
        batch = self.waiting.exchange(self.ahead)
        assert len(batch) == len(self.ahead)
        for ticket in set(batch) - set(self.ahead):
            self.open.remove(ticket)
        self.open += [ticket for ticket in self.ahead if ticket not in batch]
        if self.open:
            assert max(ticket.priority for ticket in batch) <= min(ticket.priority for ticket in self.open)
        self.ahead = []
        self.waiting.ended(seconds)

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.waiting) == len(self.open) <= 6 + 3
        assert (self.waiting.due_s(self.now_s) == math.inf) == (not self.open)
        ended = self.waiting.counts.ended
        assert sum(ended.values()) + len(self.open) == len(self.all)
        assert self.waiting.running == bool(self.ahead)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
