"""What was left serial, and why; and which calls are one: the compiler's notes to the author."""

from __future__ import annotations

import ast

from ..types import Diagnostic
from .ahead import Planner
from .ir import Ask, Exit, Loop, Node, Pinned


def notes(planner: Planner) -> list[Diagnostic]:
    """One note for each loop that goes step by step, each line that nothing crosses, and each call that is merged."""
    found: dict[tuple[int, str], Diagnostic] = {}
    asks = [node for node in planner.order if isinstance(node, Ask) and not node.common]
    for ask in asks:
        around = ask.block.parent
        while around is not None and not isinstance(around, Pinned):
            if isinstance(around, Loop):
                why = planner.why_serial(around, ask)
                if why is not None:
                    line = around.anchor.lineno
                    message = f"the loop goes on one element at a time, because {_because(why)}"
                    found[line, message] = Diagnostic(line, 1, "note", "serial", message)
            around = around.block.parent
    last = asks[-1].index if asks else 0
    for node in planner.order:
        if isinstance(node, Pinned) and planner.is_opaque(node) and node.index < last:
            message = f"nothing below is started before this: {_what(node)}"
            found[node.anchor.lineno, message] = Diagnostic(node.anchor.lineno, 1, "note", "serial", message)
    for first, again in _equal(asks):
        assert again.site is not None
        message = f"{again.site.text} is the call of line {first.anchor.lineno}, and is made once"
        found[again.anchor.lineno, message] = Diagnostic(again.anchor.lineno, 1, "note", "merged", message)
    return sorted(found.values())


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
