"""What goes out next: the window, live before backlog, the rate, and that nothing is forgotten."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicem_edge.dispatch import Dispatch, Entry, Pace

FAST = Pace(window=4, live_places=1, backlog_per_s=1e6, resend_s=10.0)


def dispatch(pace: Pace = FAST, *, up: bool = True) -> Dispatch:
    made = Dispatch(pace)
    if up:
        made.connected(0.0)
    return made


def add(at: Dispatch, *calls: str, priority: int = 5) -> None:
    for call_id in calls:
        at.add(call_id, priority=priority, size_bytes=1)


def out(at: Dispatch, now_s: float = 0.0) -> str:
    """All that goes out now."""
    found = []
    while (entry := at.next(now_s)) is not None:
        found.append(entry.call_id)
    return "".join(found)


def test_no_more_than_the_window_is_in_flight_and_a_reply_makes_room() -> None:
    at = dispatch()
    add(at, *"abcdef")
    assert out(at) == "abcd"
    assert at.in_flight == 4
    at.remove("b")
    assert out(at) == "e"


def test_what_matters_more_goes_first_then_what_came_first() -> None:
    at = dispatch()
    add(at, "a", "b", priority=7)
    add(at, "c", "d", priority=2)
    assert out(at) == "cdab"


def test_nothing_goes_out_without_a_connection() -> None:
    at = dispatch(up=False)
    add(at, "a")
    assert (out(at), at.due_s(0.0)) == ("", math.inf)
    at.connected(1.0)
    assert out(at, 2.0) == "a"
    at.disconnected()
    add(at, "b")
    assert out(at, 3.0) == ""


def test_after_a_cut_all_that_has_no_reply_goes_out_again_within_the_window() -> None:
    at = dispatch()
    add(at, *"abcdef")
    assert out(at) == "abcd"
    at.remove("a")
    at.disconnected()
    at.connected(1.0)
    assert at.in_flight == 0
    assert out(at, 2.0) == "bcd"  # one place of the four is kept for what is live
    add(at, "z")
    assert out(at, 2.0) == "z"


def test_live_calls_pass_the_backlog() -> None:
    at = dispatch(up=False)
    add(at, *"abcdef")
    at.connected(0.0)
    add(at, "z", priority=9)
    assert out(at, 1.0) == "zabc"


def test_backlog_goes_out_at_its_rate() -> None:
    at = dispatch(Pace(window=100, live_places=1, backlog_per_s=10.0, resend_s=1000.0), up=False)
    add(at, *(f"{number:02}" for number in range(40)))
    at.connected(0.0)
    sent = [len(out(at, tick / 10)) // 2 for tick in range(21)]
    assert sent == [0] + [1] * 20
    assert at.due_s(2.0) == 2.1
    add(at, "live")
    assert out(at, 2.0) == "live"  # which does not wait for it


def test_what_gets_no_reply_goes_out_again_in_time() -> None:
    at = dispatch()
    add(at, "a")
    assert out(at) == "a"
    assert (out(at, 9.9), at.due_s(9.9)) == ("", 10.0)
    assert out(at, 10.0) == "a"
    entry = at.remove("a")
    assert isinstance(entry, Entry)
    assert (entry.sends, at.in_flight, out(at, 30.0)) == (2, 0, "")


def test_what_is_put_off_gives_its_place_to_others_until_its_moment() -> None:
    at = dispatch(Pace(window=1, live_places=0, backlog_per_s=1e6, resend_s=100.0))
    add(at, "a", "b")
    assert out(at) == "a"
    at.put_off("a", 5.0)
    assert out(at) == "b"
    at.remove("b")
    assert (out(at, 4.9), at.due_s(4.9)) == ("", 5.0)
    assert out(at, 5.0) == "a"


def test_a_call_that_is_here_is_not_added_twice() -> None:
    at = dispatch()
    add(at, "a", "a")
    assert (len(at), out(at)) == (1, "a")
    add(at, "a")
    assert out(at) == ""


class Machine(RuleBasedStateMachine):
    """Against what must hold after any sequence of events."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace(window=3, live_places=1, backlog_per_s=5.0, resend_s=7.0)
        self.at = Dispatch(self.pace)
        self.now_s, self.up = 0.0, False
        self.open: dict[str, int] = {}
        self.sent_at: dict[str, float] = {}
        self.put_off: dict[str, float] = {}
        self.number = 0

    @rule(priority=st.integers(0, 9))
    def add(self, priority: int) -> None:
        call_id = str(self.number)
        self.number += 1
        self.at.add(call_id, priority=priority, size_bytes=1)
        self.open[call_id] = priority

    @rule(seconds=st.floats(0.01, 8.0))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def connect(self) -> None:
        self.at.connected(self.now_s)
        self.up = True
        self.sent_at, self.put_off = {}, {}

    @rule()
    def cut(self) -> None:
        self.at.disconnected()
        self.up = False

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.open)))
        assert self.at.remove(call_id) is not None
        for known in (self.open, self.sent_at, self.put_off):
            known.pop(call_id, None)

    @precondition(lambda self: self.sent_at)
    @rule(data=st.data(), seconds=st.floats(0.1, 5.0))
    def busy(self, data: st.DataObject, seconds: float) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.sent_at)))
        self.at.put_off(call_id, self.now_s + seconds)
        del self.sent_at[call_id]
        self.put_off[call_id] = self.now_s + seconds

    @rule()
    def send(self) -> None:
        due_s = self.at.due_s(self.now_s)
        entry = self.at.next(self.now_s)
        if entry is None:
            assert due_s > self.now_s - 1e-6
            return
        assert self.up
        assert due_s <= self.now_s + 1e-6
        assert entry.call_id in self.open
        before = self.sent_at.get(entry.call_id)
        assert before is None or self.now_s >= before + self.pace.resend_s - 1e-6
        assert self.now_s >= self.put_off.pop(entry.call_id, 0.0) - 1e-6
        self.sent_at[entry.call_id] = self.now_s

    @invariant()
    def nothing_is_forgotten_and_the_window_holds(self) -> None:
        assert {entry.call_id for entry in self.at} == set(self.open)
        assert self.at.in_flight == sum(entry.in_flight for entry in self.at) <= self.pace.window

    def teardown(self) -> None:
        """Whatever happened: with a connection and replies, all of it goes out."""
        self.at.connected(self.now_s)
        for _ in range(20 * (len(self.open) + 1)):
            self.now_s += 1.0
            while (entry := self.at.next(self.now_s)) is not None:
                self.at.remove(entry.call_id)
                del self.open[entry.call_id]
        assert not self.open


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_order_is_live_then_priority_then_age(calls: list[tuple[bool, int]]) -> None:
    at = Dispatch(Pace(window=10**6, live_places=1, backlog_per_s=1e9, resend_s=1e9))
    given_ = [(live, priority, number) for number, (live, priority) in enumerate(calls)]
    for _, priority, number in (call for call in given_ if not call[0]):
        at.add(str(number), priority=priority, size_bytes=1)
    at.connected(0.0)
    for _, priority, number in (call for call in given_ if call[0]):
        at.add(str(number), priority=priority, size_bytes=1)
    expected = [number for _, _, number in sorted(given_, key=lambda call: (not call[0], call[1], call[2]))]
    found = []
    while (entry := at.next(1.0)) is not None:
        found.append(int(entry.call_id))
    assert found == expected
