"""Windows: the first calls of the elements to come, started before it is sure that the loop comes to them.

A loop that a `return` or `break` may end goes on one element at a time, because what comes after may never be asked.
With a budget for calls that may be in vain, those of the next few elements are started too.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ahead import Planner
from .ir import Ask, Branch, Exit, Loop, Node

CALL_USD = 0.00022
"""what a call is taken to cost: 0.365 s of an A100 at 2.2 $/h, as in configs/profiles/cloud-a100.yaml"""
WIDEST = 8
"""elements ahead at most"""


@dataclass(eq=False)
class Window:
    """A loop, how many elements are looked at ahead of it, and what is started for each."""

    loop: Loop
    width: int
    asks: dict[Ask, int]
    """with the steps that each needs in its iteration, as bits"""


def windows(planner: Planner, budget_usd: float) -> list[Window]:
    """The windows that a budget allows, in dollars a frame for calls in vain; it is shared evenly."""
    found = []
    for loop in planner.order:
        if isinstance(loop, Loop) and loop.block.stmts is not None and loop.body.stmts is not None:
            asks = {ask: steps for ask in _asks_in(loop) if (steps := _steps_for(planner, loop, ask)) is not None}
            if asks:
                found.append(Window(loop, 0, asks))
    in_vain = sum(len(window.asks) for window in found)
    width = min(int(budget_usd / (CALL_USD * in_vain)), WIDEST) if in_vain else 0
    if width < 1:
        return []
    for window in found:
        window.width = width
    return found


def _asks_in(loop: Loop) -> list[Ask]:
    """The calls of the loop's own iterations, not those of loops and barriers inside it."""
    found: list[Ask] = []
    stack: list[Node] = list(loop.body.nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, Ask):
            found.append(node)
        elif isinstance(node, Branch):
            stack.extend(inner for block in node.blocks for inner in block.nodes)
    return sorted(found, key=lambda ask: ask.index)


def _steps_for(planner: Planner, loop: Loop, ask: Ask) -> int | None:
    """What a call needs in its iteration, if nothing but an exit of the loop stands between it and its start."""
    if not isinstance(planner.why_serial(loop, ask), Exit):
        return None
    steps = planner.needed_in(loop, ask)
    if steps is None:
        return None
    nodes = list(planner.nodes(steps))
    if any(isinstance(n, Ask) or (isinstance(n, Exit) and n.kind != "continue") for n in nodes if n is not ask):
        return None
    for node in (*nodes, loop):
        if any(around is loop and not isinstance(source, Exit) for source, around in node.needs):
            return None
    return steps & ~(1 << ask.index)
