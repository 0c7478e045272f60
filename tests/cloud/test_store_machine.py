"""Shared results against a model one can hold in one's head: whatever gateways do in whatever order."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dicem_cloud.results import Claim
from dicem_cloud.store.database import Database
from dicem_cloud.store.results import SqlResults
from dicem_shared.types import Reply

from .stores import SetClock, reply

LEASE_S = 30.0
GATEWAYS = st.integers(0, 1)
KEYS = st.sampled_from([("boat", "c1"), ("other", "c1"), ("boat", "c2")])


class SharedResults(RuleBasedStateMachine):
    """Two gateways on one SQLite."""

    @initialize()
    def begin(self) -> None:
        self.clock = SetClock()
        self.database = Database("sqlite://")
        self.stores = [self.store() for _ in range(2)]
        self.replies: dict[tuple[str, str], tuple[Reply, float]] = {}
        self.claims: dict[tuple[str, str], tuple[int, float]] = {}

    def store(self) -> SqlResults:
        return SqlResults(self.database, self.clock, lease_s=LEASE_S, max_age_s=1000.0)

    @rule(gateway=GATEWAYS, key=KEYS)
    def claim(self, gateway: int, key: tuple[str, str]) -> None:
        expected: Reply | Claim = Claim.OURS
        if key in self.replies:
            expected = self.replies[key][0]
        elif key in self.claims and self.claims[key][0] != gateway and self.clock.now < self.claims[key][1]:
            expected = Claim.ELSEWHERE
        if expected is Claim.OURS:
            self.claims[key] = gateway, self.clock.now + LEASE_S
        assert self.stores[gateway].claim(*key) == expected

    @rule(gateway=GATEWAYS, key=KEYS, result=st.integers())
    def put(self, gateway: int, key: tuple[str, str], result: int) -> None:
        new = reply(key[1], str(result))
        self.claims.pop(key, None)
        kept, _ = self.replies.setdefault(key, (new, self.clock.now))
        assert self.stores[gateway].put(key[0], new) == kept

    @rule(gateway=GATEWAYS, key=KEYS)
    def release(self, gateway: int, key: tuple[str, str]) -> None:
        if key in self.claims and self.claims[key][0] == gateway:
            del self.claims[key]
        self.stores[gateway].release(*key)

    @rule(gateway=GATEWAYS, key=KEYS, early=st.booleans())
    def at_the_lease_s_end(self, gateway: int, key: tuple[str, str], early: bool) -> None:
        """Exactly then a claim can be taken over, and not before."""
        if key in self.claims:
            until = self.claims[key][1]
            self.clock.now = max(self.clock.now, math.nextafter(until, 0.0) if early else until)
            self.claim(gateway, key)

    @rule(seconds=st.sampled_from([30.0, 0.5, 29.5, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(gateway=GATEWAYS)
    def prune(self, gateway: int) -> None:
        old = self.clock.now - 1000.0
        self.replies = {key: kept for key, kept in self.replies.items() if kept[1] >= old}
        self.claims = {key: claim for key, claim in self.claims.items() if claim[1] - LEASE_S >= old}
        self.stores[gateway].prune()

    @rule(gateway=GATEWAYS)
    def crash(self, gateway: int) -> None:
        """A gateway that starts again knows nothing of its claims: they run out."""
        self.stores[gateway] = self.store()
        self.claims = {
            key: (-1 if owner == gateway else owner, until) for key, (owner, until) in self.claims.items()
        }  # fmt: skip

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "stores"):
            assert self.stores[0].count() == len(self.replies)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()


TestSharedResults = SharedResults.TestCase
TestSharedResults.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
