"""What a link is expected to take: sums by hand, and against counting."""

from __future__ import annotations

import numpy as np
import pytest

from dicem_shared.errors import ConfigError
from dicem_shared.links import Condition, Link, expected_retries, load_link, wire_bytes
from dicem_shared.profiles import Workload, load_profile


def trace(*rows: tuple[float, bool]) -> Link:
    conditions = tuple(Condition(t_s=t, up_kbps=100, down_kbps=100, rtt_ms=10, loss=0, up=up) for t, up in rows)
    return Link("trace", conditions, 0.0, "test")


@pytest.mark.parametrize(("payload", "size"), [(0, 40), (1, 41), (1460, 1500), (1461, 1541), (14_600, 15_000)])
def test_bytes_on_the_wire(payload: int, size: int) -> None:
    assert wire_bytes(payload) == size


@pytest.mark.parametrize(("payload", "loss"), [(100, 0.5), (14_600, 0.01), (44_600, 0.2)])
def test_expected_retries_against_counting(payload: int, loss: float) -> None:
    random = np.random.default_rng(1)
    counts = []
    for _ in range(4000):
        packets, rounds = max(1, -(-payload // 1460)), 0
        while packets := int(random.binomial(packets, loss)):
            rounds += 1
        counts.append(rounds)
    assert expected_retries(payload, loss) == pytest.approx(np.mean(counts), rel=0.06)


def test_nothing_is_lost_on_a_clean_link() -> None:
    assert expected_retries(1_000_000, 0.0) == 0


@pytest.mark.parametrize(
    ("t", "expected"), [(0, (0, 0)), (9.9, (0, 0)), (10, (20, 10)), (15, (20, 5)), (20, (20, 0)), (99, (40, 0))]
)
def test_when_the_link_is_up_next(t: float, expected: tuple[float, float]) -> None:
    link = trace((0, True), (10, False), (20, True), (30, False), (40, True))
    up = link.next_up(t)
    assert up is not None
    assert (up[0].t_s, up[1]) == expected


def test_a_link_that_stays_down() -> None:
    assert trace((0, True), (10, False)).next_up(11) is None
    assert trace((0, True), (10, False)).next_up(3) is not None


@pytest.mark.parametrize(
    ("rows", "longest"),
    [
        ([(0, True)], None),
        ([(0, True), (10, False), (25, True)], 15),
        ([(0, False), (4, True), (5, False), (6, True)], 4),
        ([(0, True), (10, False), (12, False), (20, True)], 10),
        ([(0, True), (10, False)], None),
    ],
)
def test_the_longest_outage(rows: list[tuple[float, bool]], longest: float | None) -> None:
    assert trace(*rows).longest_outage_s == longest


def test_a_rate_of_nothing_is_an_outage() -> None:
    assert not Condition(t_s=0, up_kbps=0, down_kbps=100, rtt_ms=0, loss=0).carries
    assert load_link("dead-zones").longest_outage_s == 15


@pytest.mark.parametrize("name", ["cloud-a100", "jetson-nano", "jetson-orin-nano", "raspberry-pi-4"])
def test_every_profile_says_where_its_figures_come_from(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert all(function.source.split(":")[0] for function in profile.functions.values())
    assert bool(profile.encode_s) == bool(profile.encode_source)
    assert bool(profile.usd_per_hour) == bool(profile.usd_source)


def test_what_a_profile_lacks() -> None:
    with pytest.raises(ConfigError, match="profile jetson-nano has no latency of llm"):
        load_profile("jetson-nano").latency("llm")


def test_the_workload_names_its_source() -> None:
    assert Workload().source.startswith("measured: ")
