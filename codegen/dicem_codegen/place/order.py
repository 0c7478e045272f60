"""Call sites in an order in which each comes after those that it waits for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from ..types import CallNode


def in_order(nodes: Sequence[CallNode]) -> Iterable[tuple[CallNode, tuple[int, ...], bool]]:
    """Each node, the numbers of those before it, and whether its calls go one after the other.

    Sites that wait for each other in a circle carry something from one trip of a loop to the next: their calls are in
    a row, and within a trip they come in the order of the source.  Of those that are free to go, the lowest number is
    first.
    """
    by_number = {node.site.number: node for node in nodes}
    circle = _circles(by_number)
    waits: dict[int, tuple[int, ...]] = {}
    wanted_by: dict[int, list[int]] = {number: [] for number in by_number}
    for number, node in by_number.items():
        waits[number] = tuple(
            sorted(
                {
                    other
                    for other in node.after
                    if other in by_number and (circle[other] != circle[number] or other < number)
                }
            )
        )
        for other in waits[number]:
            wanted_by[other].append(number)
    in_a_row = _sizes(circle)
    left = {number: len(before) for number, before in waits.items()}
    ready = [number for number, count in left.items() if count == 0]
    heapq.heapify(ready)
    while ready:
        number = heapq.heappop(ready)
        node = by_number[number]
        yield node, waits[number], in_a_row[circle[number]] > 1 or number in node.after
        for other in wanted_by[number]:
            left[other] -= 1
            if left[other] == 0:
                heapq.heappush(ready, other)


def _sizes(circle: dict[int, int]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for which in circle.values():
        sizes[which] = sizes.get(which, 0) + 1
    return sizes


def _circles(nodes: dict[int, CallNode]) -> dict[int, int]:
    """For each number, which circle it is in, by Tarjan's algorithm; without recursion, because chains are long."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    circle: dict[int, int] = {}
    stack: list[int] = []
    for root, node in nodes.items():
        if root in index:
            continue
        path = [(root, iter(node.after))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while path:
            number, others = path[-1]
            for other in others:
                if other not in nodes:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    path.append((other, iter(nodes[other].after)))
                    break
                if other not in circle:
                    low[number] = min(low[number], index[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[number])
                if low[number] == index[number]:
                    while True:
                        member = stack.pop()
                        circle[member] = number
                        if member == number:
                            break
    return circle
