"""Programs that compute until they are stopped leave the others their frames."""

from __future__ import annotations

import pytest

from dicem_edge.patience import Patience
from dicem_shared.clock import VirtualClock
from dicem_shared.program import Program, prepare


def program(name: str) -> Program:
    return prepare(f"def execute_command(image):\n    return {name!r}\n", name=name)


GOOD, LOOP, SPIN = program("good"), program("loop"), program("spin")
ALL = [GOOD, LOOP, SPIN]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000.0)


@pytest.fixture
def patience(clock: VirtualClock) -> Patience:
    return Patience(clock, too_long_s=1.0)


def wait(clock: VirtualClock, seconds: float) -> None:
    clock.call_later(seconds, lambda: None)
    clock.run()


def run(patience: Patience, clock: VirtualClock, each: Program, seconds: float, *, failed: bool = True) -> None:
    """A run that ends in a step of so many seconds."""
    patience.begin()
    wait(clock, seconds)
    patience.ended(each, failed=failed)


def test_who_computes_until_he_is_stopped_rests_four_times_as_long(patience: Patience, clock: VirtualClock) -> None:
    assert patience.choose(ALL) == ALL
    run(patience, clock, LOOP, 2.0)
    assert patience.choose(ALL) == [GOOD, SPIN]
    wait(clock, 7.9)
    assert patience.choose(ALL) == [GOOD, SPIN]
    wait(clock, 0.1)
    assert patience.choose(ALL) == ALL
    assert patience.choose(ALL) == [GOOD, SPIN]  # one frame at a time
    run(patience, clock, LOOP, 2.0)
    assert patience.choose(ALL) == [GOOD, SPIN]


def test_several_of_them_share_one_rest_and_take_turns(patience: Patience, clock: VirtualClock) -> None:
    run(patience, clock, LOOP, 2.0)
    run(patience, clock, SPIN, 2.0)
    for expected in (LOOP, SPIN, LOOP):
        wait(clock, 8.0)
        assert patience.choose(ALL) == [GOOD, expected]
        run(patience, clock, expected, 2.0)


def test_whoever_is_mended_runs_on_every_frame_again(patience: Patience, clock: VirtualClock) -> None:
    run(patience, clock, LOOP, 2.0)
    wait(clock, 8.0)
    assert LOOP in patience.choose(ALL)
    run(patience, clock, LOOP, 0.1)
    assert patience.choose(ALL) == patience.choose(ALL) == ALL


def test_one_that_is_gone_is_in_nobodys_way(patience: Patience, clock: VirtualClock) -> None:
    run(patience, clock, LOOP, 2.0)
    run(patience, clock, SPIN, 2.0)
    wait(clock, 8.0)
    assert patience.choose([GOOD, SPIN]) == [GOOD, SPIN]  # it was not its turn


def test_others_are_not_held_back(patience: Patience, clock: VirtualClock) -> None:
    run(patience, clock, GOOD, 1.5, failed=False)  # within what it may take
    run(patience, clock, SPIN, 0.5)  # a mistake, found at once
    assert patience.choose(ALL) == ALL


def test_a_step_that_ends_several_runs_is_not_counted_twice(patience: Patience, clock: VirtualClock) -> None:
    patience.begin()
    wait(clock, 2.0)
    patience.ended(LOOP, failed=True)
    patience.ended(SPIN, failed=True)
    assert patience.choose(ALL) == [GOOD, SPIN]
