"""`dicem compile --explain`: what was made of a program, and why; tables for a terminal, plain lines for a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from .place import plan_text
from .place.order import in_order
from .place.words import amount, dollars, seconds, size
from .types import CallNode, CompiledProgram, Diagnostic, Placement, printable

SERIAL, MERGED = "serial", "merged"
"""Codes of diagnostics: a call that starts where it stands, and calls that are one."""


def explain(compiled: CompiledProgram, console: Console) -> None:
    """Print it; tables where the console is a terminal."""
    if not console.is_terminal:
        console.print(explanation(compiled), end="", markup=False, highlight=False, soft_wrap=True)
        return
    for part in _tables(compiled):
        console.print(part)


def explanation(compiled: CompiledProgram) -> str:
    """The same as text; the same program, the same text."""
    names = {site.number: printable(site.text) for site in compiled.sites}
    graph = [
        f"  {'*' if critical else ' '} {node.site.number:>3}  line {node.site.line}: {names[node.site.number]}"
        f"  [{_waits(node)}]{''.join(f'  {each}' for each in _circumstances(node))}"
        for node, critical in _nodes(compiled)
    ]
    lines = [
        "dataflow: each call, and the calls that it waits for (* on the critical path)",
        *(graph or ["    no calls"]),
    ]
    lines.append(f"critical path: {_path_text(compiled)}")
    for title, code in (("left serial", SERIAL), ("merged", MERGED)):
        said = _said(compiled, code)
        lines += [f"{title}:", *(f"    line {each.line}: {printable(each.message)}" for each in said)] if said else []
        lines += [f"{title}: nothing"] if not said else []
    return "\n".join(lines) + "\n" + plan_text(compiled.plan, names)


def critical_path(compiled: CompiledProgram) -> tuple[int, ...]:
    """The numbers of the calls on the longest chain, by the times of the plan; what a frame cannot do without."""
    longest: dict[int, float] = {}
    before: dict[int, int] = {}
    for node, waits, _ in in_order(compiled.nodes):
        number = node.site.number
        last = max(waits, key=lambda each: (longest.get(each, 0.0), -each), default=0)
        longest[number] = longest.get(last, 0.0) + _seconds(compiled.plan.placements.get(number))
        before[number] = last
    path = []
    number = max(longest, key=lambda each: (longest[each], -each), default=0)
    while number:
        path.append(number)
        number = before.get(number, 0)
    return tuple(reversed(path))


def _seconds(placement: Placement | None) -> float:
    """What a call is expected to take where it was placed; of several functions the slowest."""
    if placement is None:
        return 0.0
    chosen = dict(placement.sites)
    times = [a.latency_s for a in placement.alternatives if a.feasible and chosen.get(a.function) == a.site]
    return max(times, default=0.0)


def _nodes(compiled: CompiledProgram) -> Iterator[tuple[CallNode, bool]]:
    path = set(critical_path(compiled))
    for node in sorted(compiled.nodes, key=lambda node: node.site.number):
        yield node, node.site.number in path


def _path_text(compiled: CompiledProgram) -> str:
    path = critical_path(compiled)
    if not path:
        return "none, there are no calls"
    total = sum(_seconds(compiled.plan.placements.get(number)) for number in path)
    return f"{' -> '.join(str(number) for number in path)}, {seconds(total)} of calls expected a frame"


def _waits(node: CallNode) -> str:
    return f"after {', '.join(str(number) for number in node.after)}" if node.after else "from the start"


def _circumstances(node: CallNode) -> list[str]:
    return [*(f"each {loop}" for loop in node.loops), *(["if reached"] if node.guarded else [])]


def _said(compiled: CompiledProgram, code: str) -> list[Diagnostic]:
    return [each for each in compiled.diagnostics if each.code == code]


def _tables(compiled: CompiledProgram) -> Iterator[RenderableType]:
    names = {site.number: escape(printable(site.text)) for site in compiled.sites}
    graph = Table("", "call", "line", "", "waits for", "", title="dataflow", title_justify="left")
    for node, critical in _nodes(compiled):
        site = node.site
        mark = "[bold]*[/bold]" if critical else ""
        where = escape(", ".join(_circumstances(node)))
        graph.add_row(mark, str(site.number), str(site.line), names[site.number], escape(_waits(node)), where)
    yield graph
    yield f"critical path: {_path_text(compiled)}\n"
    for title, code in (("left serial", SERIAL), ("merged", MERGED)):
        table = Table("line", "why", title=title, title_justify="left")
        for each in _said(compiled, code):
            table.add_row(str(each.line), escape(printable(each.message)))
        yield table if table.rows else f"{title}: nothing\n"
    yield _placements(compiled, names)
    plan = compiled.plan
    yield (
        f"{escape(plan.link)}, {escape(plan.edge_profile)}, {escape(plan.cloud_profile)}: expected of a frame "
        f"{seconds(plan.latency_s)}, {dollars(plan.cost_usd)}, {size(plan.bytes_up)} up"
    )
    for assumption in plan.assumptions:
        yield f"[dim]assumed: {escape(assumption)}[/dim]"


def _placements(compiled: CompiledProgram, names: dict[int, str]) -> Table:
    table = Table("call", "", "", "takes", "costs", "sends", "why", title="placement", title_justify="left")
    for number, placement in sorted(compiled.plan.placements.items()):
        chosen = dict(placement.sites)
        first = True
        for other in placement.alternatives:
            here = other.feasible and chosen.get(other.function) == other.site
            figures = (seconds(other.latency_s), dollars(other.cost_usd), size(other.bytes_up))
            where = f"{other.function} {other.site}"
            table.add_row(
                str(number) if first else "",
                names.get(number, "") if first else "",
                f"[bold]{where} *[/bold]" if here else where,
                *(figures if other.feasible else ("-", "-", "-")),
                escape(_why(compiled, placement) if here else other.reason),
            )
            first = False
    return table


def _why(compiled: CompiledProgram, placement: Placement) -> str:
    margin = placement.margin
    better = "" if margin is None else f"; elsewhere {amount(margin, compiled.plan.objective)} worse"
    return placement.reason + better
