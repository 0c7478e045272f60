"""Generated programs for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from .program import BUDGET, MAX_LINES, MIN_LINES, Generated, generate


@st.composite
def programs(draw: st.DrawFn, *, largest: int = MAX_LINES) -> Generated:
    """Any generated program.  It shrinks to fewer lines and fewer calls of the same program, then to a smaller seed."""
    size = draw(st.integers(MIN_LINES, largest))
    budget = draw(st.sampled_from((0.0, 2.0, 6.0, 15.0, BUDGET)))
    return generate(draw(st.integers(0, 2**32 - 1)), size=size, budget=budget)
