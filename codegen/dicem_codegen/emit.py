"""Writes the compiled program: the lowered one, with ahead blocks before its lines and strands before its functions."""

from __future__ import annotations

import ast
from collections.abc import Callable

from .dataflow import Graph
from .dataflow.ahead import Start
from .dataflow.cut import Cutter, NotCut
from .dataflow.names import ahead_block
from .layout import written
from .lower.expand import expand
from .types import CallSite, Lowered, Placement, Plan
from .walking import inner_blocks, statements, walk


def emit(lowered: Lowered, graph: Graph, plan: Plan | None = None) -> str:
    """The source of the compiled program."""
    tree, said = lowered.tree, _said(lowered, plan)

    def tags(site: CallSite) -> list[ast.keyword]:
        return [ast.keyword(name, ast.Constant(value)) for name, value in said.get(site.number, {}).items()]

    names = _fresh_names(tree)
    insertions: list[tuple[list[ast.stmt], ast.stmt, list[ast.stmt]]] = []
    strands: list[tuple[ast.stmt, list[ast.AsyncFunctionDef]]] = []
    cutters = {
        shadow.function: Cutter(
            shadow.planner, shadow.local, names, tags, shadow.walks_again.__contains__, graph.helpers
        )
        for shadow in graph.shadows
    }  # fmt: skip
    idle = set()
    for shadow in graph.shadows:
        helper = graph.helpers.get(shadow.function.name)
        if helper is not None:
            variant = cutters[shadow.function].variant(shadow.function, helper, shadow.planner.entry_starts())
            strands.append((shadow.function, variant.strands))
            if isinstance(variant.strands[-1].body[0], ast.Pass):
                idle |= {helper.name, helper.variant}
    for shadow in graph.shadows:
        places: dict[int, list[Start]] = {}
        for start in shadow.starts:
            called = start.ask.call.func
            if not (isinstance(called, ast.Name) and called.id in idle):
                places.setdefault(start.index, []).append(start)
        for starts in places.values():
            block, before = starts[0].block, starts[0].before
            try:
                cut = cutters[shadow.function].cut(starts)
            except NotCut as cause:
                graph.diagnostics.append(lowered.parsed.say(before, "note", "serial", str(cause)))
                continue
            assert block.stmts is not None
            insertions.append((block.stmts, before, cut.inline))
            strands.append((shadow.function, cut.strands))
        for window in shadow.windows:
            ahead, inside = cutters[shadow.function].window(window)
            outer, body = window.loop.block.stmts, window.loop.body.stmts
            assert outer is not None
            assert body is not None
            insertions += [(outer, window.loop.anchor, ahead), (body, body[0], inside)]
    _insert(insertions)
    _insert_strands(tree, strands)
    for call, site in lowered.started.items():
        call.keywords = [*call.keywords, *tags(site)]
    made = expand(lowered, said)
    if lowered.sites and not _shares_already(made):
        _insert_header(made)
    _place(made.body, 1, 0)
    return written(made, lowered.parsed)


def _place(block: list[ast.stmt], line: int, column: int) -> None:
    """Statements that were made here stand where the one around them stands."""
    for statement in block:
        if not hasattr(statement, "lineno"):
            statement.lineno, statement.col_offset = line, column
        for inner in inner_blocks(statement):
            _place(inner, statement.lineno, statement.col_offset)


def _said(lowered: Lowered, plan: Plan | None) -> dict[int, dict[str, str]]:
    """What each call says of where it runs, by the number of its site; those aside where the program says it itself."""
    said = {number: _tags(placement) for number, placement in plan.placements.items()} if plan else {}
    calls = [(node.value, site) for node, site in lowered.sites.items() if isinstance(node.value, ast.Call)]
    for call, site in [*calls, *lowered.started.items()]:
        if any(keyword.arg == "site" for keyword in call.keywords):
            said.pop(site.number, None)
    return said


def _tags(placement: Placement) -> dict[str, str]:
    """What a call says of where it runs, and of what is to be done when that is out of reach."""
    said: dict[str, str] = {"site": placement.site} if placement.site else {}
    if placement.when_away != "wait" and any(site != "edge" for _, site in placement.sites):
        said["away"] = placement.when_away
    return said


def _insert(insertions: list[tuple[list[ast.stmt], ast.stmt, list[ast.stmt]]]) -> None:
    blocks: dict[int, tuple[list[ast.stmt], ast.stmt, list[ast.stmt]]] = {}
    for lines, before, body in insertions:
        known = blocks.setdefault(id(before), (lines, before, []))
        known[2].extend(body)
    for lines, before, body in blocks.values():
        place = next(i for i, line in enumerate(lines) if line is before)
        lines.insert(place, ahead_block(body))


def _insert_strands(tree: ast.Module, strands: list[tuple[ast.stmt, list[ast.AsyncFunctionDef]]]) -> None:
    """Put the strands that anybody starts before the function that they were cut from."""
    by_name = {strand.name: strand for _, made in strands for strand in made}
    used: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        names = {n.id for n in walk(pending.pop()) if isinstance(n, ast.Name)} & by_name.keys() - used
        used |= names
        pending.extend(by_name[name] for name in names)
    tops = {id(inner): statement for statement in tree.body for inner in statements(statement)}
    before: dict[int, list[ast.stmt]] = {}
    for function, found in strands:
        before.setdefault(id(tops[id(function)]), []).extend(s for s in found if s.name in used)
    tree.body[:] = [made for statement in tree.body for made in (*before.get(id(statement), []), statement)]


def _shares_already(tree: ast.Module) -> bool:
    return any(ast.unparse(s) == "hermod.share_calls()" for s in tree.body if isinstance(s, ast.Expr))


def _insert_header(tree: ast.Module) -> None:
    share = ast.Expr(ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "share_calls", ast.Load()), [], []))
    place = 0
    if tree.body and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        place = 1
    while place < len(tree.body) and isinstance(tree.body[place], (ast.Import, ast.ImportFrom)):
        place += 1
    has_hermod = any(
        isinstance(s, ast.Import) and any(a.name == "hermod" and not a.asname for a in s.names)
        for s in tree.body[:place]
    )
    lines: list[ast.stmt] = [] if has_hermod else [ast.Import([ast.alias("hermod")])]
    tree.body[place:place] = [*lines, share]


def _fresh_names(tree: ast.Module) -> Callable[[str], str]:
    """Gives names that the program has not."""
    taken: set[str] = set()
    for node in walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                taken.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                taken.add(name)

    counts: dict[str, int] = {}

    def fresh(wanted: str) -> str:
        name, count = wanted, counts.get(wanted, 1)
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        counts[wanted] = count
        return name

    return fresh
