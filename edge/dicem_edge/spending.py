"""What the calls of a run send and cost, held against its limits before a request leaves.

What a call will cost is known only when it has been answered.  Until then it counts with the highest price that its
function has had so far, so that a flood of calls started at once is stopped after the first replies and not by them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dicem_shared.limits import RunLimits

USD_DIGITS = 9
"""Sums of prices are compared to a billionth of a dollar."""


@dataclass
class Spending:
    """Of one run."""

    up: int = 0
    """bytes of the requests that have left, every attempt"""
    usd: float = 0.0
    """what the replies said that they cost"""
    expected_usd: float = 0.0
    """what the calls that are not answered yet may cost"""


@dataclass
class Prices:
    """What a call of each function has cost at most so far, in US dollars."""

    _highest: dict[str, float] = field(default_factory=dict)

    def of(self, function: str) -> float:
        """What to expect; 0 as long as nobody knows."""
        return self._highest.get(function, 0.0)

    def learn(self, function: str, usd: float) -> None:
        """A reply brought its price."""
        self._highest[function] = max(usd, self.of(function))


def refusal(spending: Spending, limits: RunLimits, size: int, usd: float) -> tuple[str, str] | None:
    """Why a request of `size` bytes that may cost `usd` must not leave: the limit, and what it would come to."""
    if spending.up + size > limits.bytes_up:
        return "bytes_up_kb", f"{(spending.up + size) / 1024:.1f} kB"
    would_be = round(spending.usd + spending.expected_usd + usd, USD_DIGITS)
    if usd and would_be > limits.usd:
        return "usd", f"{would_be:g} USD"
    return None


def overspent(spending: Spending, limits: RunLimits) -> str:
    """What a run has cost, if that is more than it may; else nothing."""
    spent = round(spending.usd, USD_DIGITS)
    return f"{spent:g} USD" if spent > limits.usd else ""
