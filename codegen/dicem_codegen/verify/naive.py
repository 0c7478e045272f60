"""What gathering statement by statement would take: the simple rewriting that the compiler is compared with.

Statements run one after the other, as written.  Within one, all calls start together that do not wait for each other:
the elements of a comprehension, the two sides of a `+`, the arguments of a call; a function of the program that is
called there runs its own statements one after the other, beside its neighbours.  Equal calls are made as often as they
stand there.  Reckoned from the graph, which is kinder than a real rewriting: no barrier but the next statement.
"""

from __future__ import annotations

from collections.abc import Sequence

from .trace_graph import Graph, Node


def naive_seconds(graph: Graph) -> float:
    """Seconds from the start of the program to its end."""
    return _in_order(graph.calls, 0)


def _in_order(nodes: Sequence[Node], depth: int) -> float:
    """The statements of one function, one after the other; `depth` functions are around it."""
    statements: dict[tuple[int, int], list[Node]] = {}
    for node in nodes:
        statements.setdefault(node.where[depth], []).append(node)
    return sum(_together(inside, depth) for inside in statements.values())


def _together(nodes: Sequence[Node], depth: int) -> float:
    """One statement: its calls, and the functions that it calls, as soon as what they wait for has ended."""
    items: dict[tuple[str, int], list[Node]] = {}
    for node in nodes:
        own = len(node.where) == depth + 1
        key = ("call", node.number) if own else ("function", node.where[depth + 1][0])
        items.setdefault(key, []).append(node)
    ended: dict[int, float] = {}
    for (kind, _), inside in items.items():
        start = max((ended.get(number, 0.0) for node in inside for number in node.after), default=0.0)
        seconds = inside[0].seconds if kind == "call" else _in_order(inside, depth + 1)
        ended |= dict.fromkeys((node.number for node in inside), start + seconds)
    return max(ended.values(), default=0.0)
