"""Time as an argument."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.clock import SystemClock, VirtualClock


def test_virtual_time_moves_from_event_to_event() -> None:
    clock = VirtualClock(start_utc=1000.0)
    seen: list[tuple[str, float, float]] = []

    def note(name: str) -> None:
        seen.append((name, clock.monotonic(), clock.utc()))

    clock.call_at(5.0, lambda: note("five"))
    clock.call_later(2.0, lambda: note("two"))
    assert (clock.monotonic(), clock.utc()) == (0.0, 1000.0)
    clock.run()
    assert seen == [("two", 2.0, 1002.0), ("five", 5.0, 1005.0)]
    assert clock.monotonic() == 5.0


def test_events_may_schedule_events_and_the_past_means_now() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    def first() -> None:
        clock.call_at(1.0, lambda: seen.append(("late", clock.monotonic())))
        clock.call_later(0.0, lambda: seen.append(("at once", clock.monotonic())))
        clock.call_later(1.5, lambda: seen.append(("later", clock.monotonic())))

    clock.call_at(3.0, first)
    clock.run()
    assert seen == [("late", 3.0), ("at once", 3.0), ("later", 4.5)]


def test_run_stops_when_told_and_goes_on_later() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    for i in range(4):
        clock.call_at(float(i), lambda i=i: seen.append(i))  # type: ignore[misc]
    clock.run(until=lambda: len(seen) == 2)
    assert (seen, clock.monotonic()) == ([0, 1], 1.0)
    clock.run()
    assert seen == [0, 1, 2, 3]


@given(st.lists(st.floats(0, 100) | st.sampled_from([1.0, 2.0])))
def test_events_run_in_order_of_time_then_of_scheduling(moments: list[float]) -> None:
    clock = VirtualClock()
    seen: list[tuple[float, int]] = []
    for i, moment in enumerate(moments):
        clock.call_at(moment, lambda i=i: seen.append((clock.monotonic(), i)))  # type: ignore[misc]
    clock.run()
    assert seen == sorted((moment, i) for i, moment in enumerate(moments))


def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    before, utc, after = time.time(), clock.utc(), time.time()
    assert before <= utc <= after
    start, now, end = time.monotonic(), clock.monotonic(), time.monotonic()
    assert start <= now <= end
