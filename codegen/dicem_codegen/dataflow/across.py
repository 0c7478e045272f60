"""What calls wait for across functions: those inside a helper for what the helper's own call waits for, and those that
need what the helper gives for the calls inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..types import CallNode


@dataclass(frozen=True)
class HelperCall:
    """A line that calls a helper of the program."""

    number: int
    """of its call site"""
    caller: str
    helper: str
    after: tuple[int, ...]
    """the sites that it waits for"""
    loops: tuple[str, ...]
    guarded: bool


def joined(nodes: Mapping[str, Sequence[CallNode]], calls: Sequence[HelperCall]) -> list[CallNode]:
    """The calls of all functions, by function, as nodes that wait for each other whatever function they are in."""
    called: dict[str, list[HelperCall]] = {}
    for call in calls:
        called.setdefault(call.helper, []).append(call)
    helper_of = {call.number: call.helper for call in calls}
    made: list[CallNode] = []
    for function, own in nodes.items():
        ways = _ways_into(function, called)
        before = {number for way in ways for number in way.after}
        # Several lines may call it: their loops are not its own then, and its trips are those of the first.
        loops = ways[0].loops if ways else ()
        guarded = bool(ways) and all(way.guarded for way in ways)
        for node in own:
            after = _through(sorted({*node.after, *before}), helper_of, nodes, calls)
            made.append(
                replace(
                    node, after=tuple(sorted(after - {node.site.number})), loops=(*loops, *node.loops),
                    guarded=node.guarded or guarded,
                )
            )  # fmt: skip
    return made


def _ways_into(function: str, called: Mapping[str, Sequence[HelperCall]]) -> list[HelperCall]:
    """The lines that call a function, each with all that stands around it in the functions that lead to it."""
    found: list[HelperCall] = []
    for call in called.get(function, ()):
        way, seen = call, {function}
        while way.caller not in seen and called.get(way.caller):
            seen.add(way.caller)
            outer = called[way.caller][0]
            after = tuple(sorted({*outer.after, *way.after}))
            loops = (*outer.loops, *way.loops)
            way = replace(way, caller=outer.caller, after=after, loops=loops, guarded=way.guarded or outer.guarded)
        found.append(way)
    return found


def _through(
    numbers: Iterable[int], helper_of: Mapping[int, str], nodes: Mapping[str, Sequence[CallNode]],
    calls: Sequence[HelperCall],
) -> set[int]:  # fmt: skip
    """The same sites, with the last calls inside of it in place of each call of a helper."""
    found: set[int] = set()
    pending, seen = list(numbers), set[int]()
    while pending:
        number = pending.pop()
        if number in seen:
            continue
        seen.add(number)
        helper = helper_of.get(number)
        if helper is None:
            found.add(number)
            continue
        inside = nodes.get(helper, ())
        needed = {other for node in inside for other in node.after}
        pending += [node.site.number for node in inside if node.site.number not in needed]
        for call in calls:
            if call.caller == helper and call.number not in needed:
                pending.append(call.number)
            if call.number == number:
                pending += call.after
    return found
