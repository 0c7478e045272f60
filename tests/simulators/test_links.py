"""The modelled link, against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.clock import VirtualClock
from dicem_shared.links import HEADER_BYTES, SEGMENT_BYTES, Condition, Link, load_link
from dicem_simulators.links import Channel


def steady(up_kbps: float = 1000, rtt_ms: float = 100, loss: float = 0.0) -> Link:
    condition = Condition(t_s=0, up_kbps=up_kbps, down_kbps=4000, rtt_ms=rtt_ms, loss=loss)
    return Link("steady", (condition,), 0.0, "test")


def arrivals(link: Link, sends: list[tuple[float, int]], seed: int = 0) -> list[float]:
    """When messages of so many bytes, sent at these moments, arrive."""
    clock = VirtualClock()
    channel = Channel(link, "up", clock, np.random.default_rng(seed))
    arrived: dict[int, float] = {}

    def send(number: int, size: int) -> None:
        def note() -> None:
            arrived[number] = clock.monotonic()

        channel.send(size, note)

    for number, (moment, size) in enumerate(sends):
        clock.call_at(moment, lambda n=number, s=size: send(n, s))
    clock.run()
    return [arrived[n] for n in range(len(sends))]


def test_one_message() -> None:
    size = 10_000
    packets = -(-size // SEGMENT_BYTES)
    kbits = (size + packets * HEADER_BYTES) * 8 / 1000
    assert arrivals(steady(), [(0, size)]) == [pytest.approx(kbits / 1000 + 0.05)]


def test_messages_wait_for_each_other() -> None:
    first, second = arrivals(steady(), [(0, 1000), (0, 1000)])
    assert second - first == pytest.approx((1000 + HEADER_BYTES) * 8 / 1e6)


def test_directions_do_not_share_a_rate() -> None:
    clock = VirtualClock()
    down = Channel(steady(), "down", clock, np.random.default_rng(0))
    moments: list[float] = []
    down.send(1000, lambda: moments.append(clock.monotonic()))
    clock.run()
    assert moments == [pytest.approx((1000 + HEADER_BYTES) * 8 / 4e6 + 0.05)]


def test_an_outage_is_waited_out() -> None:
    """0.5 s at 1 Mbit/s, five dark seconds, then the rest at 2 Mbit/s."""
    link = Link(
        "cut",
        (
            Condition(t_s=0, up_kbps=1000, down_kbps=1000, rtt_ms=0, loss=0),
            Condition(t_s=0.5, up_kbps=0, down_kbps=0, rtt_ms=0, loss=0, up=False),
            Condition(t_s=5.5, up_kbps=2000, down_kbps=1000, rtt_ms=0, loss=0),
        ),
        0.0,
        "test",
    )
    size = 125_000
    packets = -(-size // SEGMENT_BYTES)
    kbits = (size + packets * HEADER_BYTES) * 8 / 1000
    assert arrivals(link, [(0, size)]) == [pytest.approx(5.5 + (kbits - 500) / 2000)]
    assert arrivals(link, [(3, 100)])[0] > 5.5


def test_loss_costs_round_trips() -> None:
    clean = arrivals(steady(), [(0, 100_000)])[0]
    lossy = [arrivals(steady(loss=0.2), [(0, 100_000)], seed)[0] - clean for seed in range(20)]
    assert all(abs(extra / 0.1 - round(extra / 0.1)) < 1e-6 for extra in lossy), "whole round trips only"
    assert 1.0 < np.mean(lossy) / 0.1 < 6.0


def test_same_seed_same_arrivals() -> None:
    sends = [(i * 0.1, 5000) for i in range(20)]
    assert arrivals(steady(loss=0.1), sends, 7) == arrivals(steady(loss=0.1), sends, 7)
    assert arrivals(steady(loss=0.1), sends, 7) != arrivals(steady(loss=0.1), sends, 8)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50_000)), min_size=1, max_size=10), st.floats(0, 0.5))
def test_nothing_arrives_faster_than_the_link(sends: list[tuple[float, int]], loss: float) -> None:
    moments = arrivals(steady(loss=loss), sends)
    for (sent, size), arrived in zip(sends, moments, strict=True):
        assert arrived >= sent + size * 8 / 1e6 + 0.05 - 1e-9
    total = sum(size for _, size in sends)
    assert max(moments) >= total * 8 / 1e6


@pytest.mark.parametrize("name", ["harbour-wifi", "coastal-lte", "satellite", "dead-zones"])
def test_presets(name: str) -> None:
    link = load_link(name)
    assert link.name == name
    assert link.conditions[0].t_s == 0
    assert link.source
