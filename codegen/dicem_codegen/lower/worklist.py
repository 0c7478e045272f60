"""What is still to be evaluated, and what is to be evaluated again because something that it has read has grown.

Statements of functions that were found later go first, so that a call is known when what follows it is evaluated; one
that was evaluated often waits for the others, so that the work grows with the program and not with its square.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from ..walking import inner_blocks
from .scopes import FUNCTIONS, Scope, Scopes
from .values import Value, Values

EAGER_RUNS: Final = 4
"""So often a statement is evaluated before those that were found earlier; then it waits for them."""


@dataclass(slots=True, eq=False)
class Task:
    """A statement, or the value of a lambda, to be evaluated in a scope."""

    node: ast.AST
    scope: Scope
    rank: int
    """of its function: the later found, the smaller"""
    number: int
    runs: int = 0
    waiting: bool = False


class Worklist:
    """Tasks, and the sets that they read."""

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self._queue: list[tuple[int, int, int, Task]] = []
        self._count = 0
        self._rank = 0
        self._readers: dict[int, dict[Task, None]] = {}
        """what is to be evaluated again when a set grows, by the set's `id`"""
        self._now: Task | None = None

    def add_body(self, nodes: Sequence[ast.AST], scope: Scope) -> None:
        """Add a function that was just found; see `add`."""
        self._rank -= 1
        self.add(nodes, scope)

    def add(self, nodes: Sequence[ast.AST], scope: Scope) -> None:
        """Evaluate these, with the statements in them that run in the same scope, now and whenever it may matter."""
        for node in nodes:
            self._count += 1
            self._wake(Task(node, scope, self._rank, self._count))
            if isinstance(node, ast.ClassDef):
                self.add(node.body, self.scopes.inside[node])
            elif isinstance(node, ast.stmt) and not isinstance(node, FUNCTIONS):
                for block in inner_blocks(node):
                    self.add(block, scope)

    def settle(self) -> None:
        """Evaluate what there is until nothing is new."""
        while self._queue:
            *_, task = heappop(self._queue)
            task.waiting = False
            task.runs += 1
            self._now = task
            self.evaluate(task.node, task.scope)
        self._now = None

    def evaluate(self, node: ast.AST, scope: Scope) -> None:
        """Evaluate one; what does it says how."""
        raise NotImplementedError

    def _wake(self, task: Task) -> None:
        if not task.waiting:
            task.waiting = True
            heappush(self._queue, (max(0, task.runs - EAGER_RUNS), task.rank, task.number, task))

    def see(self, cell: Values) -> Values:
        """The set itself; whatever is evaluated now is evaluated again when it grows."""
        if self._now is not None:
            self._readers.setdefault(id(cell), {})[self._now] = None
        return cell

    def put(self, into: Values, values: Iterable[Value]) -> None:
        """Add, and wake those that have read it if that was new."""
        before = len(into)
        into.update(values)
        if len(into) != before:
            for task in self._readers.get(id(into), ()):
                self._wake(task)
