"""What was left serial, and why; and which calls are one: the compiler's notes to the author."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ..lower.scopes import COMPREHENSIONS
from ..types import Diagnostic
from ..walking import walk
from .ahead import Planner
from .ir import STARTED, Ask, Bind, Exit, Loop, Node, Pinned


def notes(planner: Planner, place: Callable[[ast.AST], tuple[int, int]]) -> list[Diagnostic]:
    """One note for each loop that goes step by step, each line that nothing crosses, and each call that is merged.

    :param place: line and column of a statement in the source
    """
    found: set[Diagnostic] = set()

    def say(where: ast.stmt, code: str, message: str) -> None:
        found.add(Diagnostic(*place(where), "note", code, message))

    asks = [node for node in planner.order if isinstance(node, Ask) and not node.common]
    for ask in asks:
        around = ask.block.parent
        while around is not None and not isinstance(around, Pinned):
            if isinstance(around, Loop):
                why = planner.why_serial(around, ask)
                if why is not None:
                    message = f"the loop goes on one element at a time, because {_because(why)}"
                    say(around.anchor, "serial", message)
            around = around.block.parent
    last = asks[-1].index if asks else 0
    for node in planner.order:
        if isinstance(node, Pinned) and planner.is_opaque(node) and node.index < last:
            say(node.anchor, "serial", f"nothing below is started before this: {_what(node)}")
        elif isinstance(node, Pinned) and _asks_inside(node):
            say(node.anchor, "serial", f"its calls are made when the program comes to it: {_what(node)}")
        elif isinstance(node, Loop) and any(not ask.twin for ask in asks if node.index < ask.index < node.end):
            for step in _changers(node, planner):
                message = f"the loop waits for line {step.anchor.lineno}, which changes what it walks"
                say(node.anchor, "serial", message)
    for first, again in _equal(asks):
        assert again.site is not None
        message = f"{again.site.text} is the call of line {first.anchor.lineno}, and is made once"
        say(again.anchor, "merged", message)
    return sorted(found)


def _asks_inside(node: Pinned) -> bool:
    """Whether it makes calls that nothing else can start; impure ones, which are made in order anyway, aside."""
    if node.regions:
        return any(isinstance(n, Ask) or (isinstance(n, Pinned) and n.awaits) for r in node.regions for n in r.walk())
    is_impure = node.site is not None and node.site.form != "helper"
    return node.awaits and not is_impure and node.why != STARTED


def _changers(loop: Loop, planner: Planner) -> list[Node]:
    """Steps after a call that change what a loop walks, before it."""
    return [
        step for step, around in loop.needs
        if around is None and isinstance(step, Bind) and step.mutates & loop.reads and planner.waits_of(step)
        and not any(isinstance(part, COMPREHENSIONS) for part in walk(step.anchor))
    ]  # fmt: skip


def _because(step: Node) -> str:
    line = step.anchor.lineno
    match step:
        case Exit(kind="return"):
            return f"line {line} may end the program first"
        case Exit():
            return f"line {line} may leave it first"
        case Pinned():
            return f"of line {line}: {_what(step)}"
    names = sorted(name for kind, name in step.writes if kind == "name" and not name.startswith("_"))
    return f"each needs {', '.join(names) or 'what is collected'} of the one before (line {line})"


def _what(node: Pinned) -> str:
    known = {"while": "a while loop", "try": "a try block", "with": "a with block"}
    return known.get(node.why, node.why if " " in node.why else f"{node.why}(...), of which nothing is known")


def _equal(asks: list[Ask]) -> list[tuple[Ask, Ask]]:
    """Pairs of calls that are surely equal: the same words, about the same values."""
    seen: dict[tuple[str, frozenset[int]], Ask] = {}
    pairs = []
    for ask in asks:
        values = frozenset(n.index for n, _ in ask.needs if n.writes & ask.reads)
        first = seen.setdefault((ast.dump(ask.call), values), ask)
        if first is not ask and first.site is not ask.site:
            pairs.append((first, ask))
    return pairs
