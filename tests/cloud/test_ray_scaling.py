"""How many replicas: the decision, held against what it promises, and the board that several gateways share."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_cloud.ray_backend.board import EXPIRES_S, Board
from dicem_cloud.ray_backend.scaling import Demand, Memory, decide
from dicem_cloud.ray_backend.settings import ReplicasConfig

QUIET, STEP_S = Demand(), 0.5
RULE = ReplicasConfig(
    min_replicas=0, max_replicas=4, waiting_per_replica=16, target_age_s=1.0, down_after_s=30.0, idle_s=60.0
)  # fmt: skip

rules = st.builds(
    lambda least, more, per, age, down, idle: ReplicasConfig(
        min_replicas=least, max_replicas=max(1, least + more), waiting_per_replica=per, target_age_s=age,
        down_after_s=down, idle_s=idle,
    ),
    st.integers(0, 5), st.integers(0, 10), st.integers(1, 64), st.floats(0.1, 10), st.floats(0.1, 60),
    st.floats(0.1, 600),
)  # fmt: skip
demands = st.builds(Demand, st.integers(0, 1000), st.integers(0, 20), st.floats(0, 100))


class Played:
    """A function whose replicas come up at once."""

    def __init__(self, rule: ReplicasConfig, target: int = 0) -> None:
        self.rule, self.target, self.now_s = rule, target, 0.0
        self.memory = Memory(0.0)

    def look(self, demand: Demand, *, up: int | None = None, after_s: float = STEP_S) -> int:
        self.now_s += after_s
        self.target, self.memory = decide(
            self.rule, demand, target=self.target, up=self.target if up is None else up, memory=self.memory,
            now_s=self.now_s,
        )  # fmt: skip
        return self.target

    def look_for(self, demand: Demand, seconds: float) -> list[int]:
        return [self.look(demand) for _ in range(int(seconds / STEP_S))]


@given(rules, st.lists(st.tuples(demands, st.floats(0, 100), st.integers(0, 20)), max_size=30))
def test_never_outside_the_bounds_and_never_none_while_there_is_work(
    rule: ReplicasConfig, looks: list[tuple[Demand, float, int]]
) -> None:
    played = Played(rule, rule.min_replicas)
    for demand, after_s, up in looks:
        before = played.target
        target = played.look(demand, up=up, after_s=after_s)
        assert rule.min_replicas <= target <= rule.max_replicas
        assert target >= 1 or not demand.busy
        assert target >= before or demand.waiting <= target * rule.waiting_per_replica


@given(rules, demands, st.integers(0, 10), st.integers(0, 10))
def test_more_work_never_gives_fewer(rule: ReplicasConfig, demand: Demand, target: int, up: int) -> None:
    def wanted(asked: Demand) -> int:
        return decide(rule, asked, target=target, up=up, memory=Memory(0.0), now_s=1.0)[0]

    assert wanted(demand + Demand(waiting=1, running=1)) >= wanted(demand)
    assert wanted(demand + Demand(oldest_s=1000.0)) >= wanted(demand)


@given(rules, st.builds(Demand, st.integers(0, 1000), st.integers(0, 20)), st.integers(0, 10))
def test_it_comes_to_rest(rule: ReplicasConfig, demand: Demand, target: int) -> None:
    """Under a load that does not change, whose calls do not grow old, the number ends up the same for good."""
    played = Played(rule, target)
    settled = [played.look(demand, after_s=max(rule.idle_s, rule.down_after_s) + 1.0) for _ in range(4)][-1]
    assert {played.look(demand, after_s=after_s) for after_s in (0.1, 1.0, 100.0, 1000.0)} == {settled}


def test_up_from_none_with_the_first_call() -> None:
    played = Played(RULE)
    assert played.look(QUIET) == 0
    assert played.look(Demand(running=1)) == 1


def test_up_by_number_at_once() -> None:
    assert Played(RULE, 1).look(Demand(waiting=33)) == 3
    assert Played(RULE, 1).look(Demand(waiting=1000)) == 4


def test_up_by_age_one_at_a_time_and_only_once_they_run() -> None:
    played, old = Played(RULE, 1), Demand(waiting=3, running=1, oldest_s=1.5)
    assert played.look(old) == 2
    assert played.look(old, up=1) == 2
    assert played.look(old, up=2) == 3
    assert played.look(Demand(waiting=3, running=3, oldest_s=0.9)) == 3


def test_down_only_after_a_while_and_to_what_that_while_needed() -> None:
    played = Played(RULE, 4)
    assert set(played.look_for(Demand(running=1), 15)) == {4}
    assert played.look(Demand(waiting=40)) == 4
    assert set(played.look_for(Demand(running=1), 14)) == {4}
    assert played.look_for(Demand(running=1), 2)[-1] == 3
    assert played.look_for(Demand(running=1), 31)[-1] == 1


def test_work_that_comes_and_goes_does_not_make_it_flap() -> None:
    played = Played(RULE, 2)
    waves = [Demand(running=2), QUIET, QUIET, Demand(running=1), Demand(waiting=20, running=2)]
    assert {played.look(wave) for _ in range(200) for wave in waves} == {2}


def test_none_only_after_long_quiet() -> None:
    played = Played(RULE, 1)
    played.look(Demand(running=1))
    assert set(played.look_for(QUIET, 59)) == {1}
    assert played.look_for(QUIET, 1.5)[-1] == 0
    kept = Played(RULE.model_copy(update={"min_replicas": 2}), 3)
    assert kept.look_for(QUIET, 100)[-1] == 2


def test_the_board_adds_up() -> None:
    board = Board(lambda: 0.0)
    board.post("b", {"app": Demand(3, 1, 0.5)})
    posted = board.post("a", {"app": Demand(2, 1, 2.0), "other": QUIET})
    assert posted.demands == {"app": Demand(5, 2, 2.0), "other": QUIET}
    assert board.unused(["app", "other", "old"]) == ["old"]


@given(
    st.dictionaries(st.sampled_from("abcd"), st.frozensets(st.sampled_from("xyz")), min_size=1), st.randoms()
)  # fmt: skip
def test_of_those_who_use_an_application_exactly_one_leads(members: dict[str, frozenset[str]], random: Random) -> None:
    board, order = Board(lambda: 0.0), sorted(members)
    for _ in range(2):
        random.shuffle(order)
        leads = {member: board.post(member, dict.fromkeys(members[member], QUIET)).leads for member in order}
    for name in frozenset().union(*members.values()):
        (leader,) = (member for member in members if name in leads[member])
        assert name in members[leader]


def test_the_board_forgets_who_is_silent() -> None:
    now = [0.0]
    board = Board(lambda: now[0])
    board.post("a", {"app": Demand(2)})
    board.post("busy starting", {"new": QUIET}, 100.0)
    now[0] = EXPIRES_S + 0.1
    posted = board.post("b", {"app": Demand(1)})
    assert posted.leads == {"app"}
    assert posted.demands["app"].waiting == 1
    assert board.unused(["app", "new"]) == []
    assert not board.leave("b")
    assert board.unused(["app", "new"]) == ["app"]
    assert board.leave("busy starting")
    assert board.leave("nobody")


@pytest.mark.parametrize(
    "wrong",
    [{"min_replicas": 2}, {"num_gpus": 1.5}, {"max_replicas": 0}, {"idle_s": 0}, {"num_gpus": -0.1}, {"replicas": 1}],
)
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReplicasConfig.model_validate(wrong)
