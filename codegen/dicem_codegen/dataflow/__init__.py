"""Dataflow: what each call of a program waits for, and from where it can be started."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from dicem_shared.functions import Registry

from ..lower.kinds import Kinds, infer
from ..types import CallNode, CallSite, Diagnostic, Lowered
from .ahead import Planner, Start
from .build import Builder
from .ir import Ask, Block, Loc, Loop, Pinned, text_of
from .needs import find_needs
from .objects import Objects
from .purity import Function, ModuleFacts, Purity, bound_names, facts_of, pure_functions

_PLAIN_KINDS = frozenset({"patch", "str", "number", "bool", "none", "image", "video"})


@dataclass
class Shadow:
    """What is known of one function."""

    function: Function
    root: Block
    objects: Objects
    local: frozenset[str]
    """the names of this function and of those around it"""
    walks_again: frozenset[str]
    """names whose values can be walked any number of times"""
    starts: list[Start]
    planner: Planner


@dataclass
class Graph:
    """What the pass found out."""

    nodes: tuple[CallNode, ...]
    shadows: list[Shadow]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    helpers_pure: frozenset[str] = frozenset()

    def text(self) -> str:
        """The shadow of each function and what is started where."""
        parts = []
        for shadow in self.shadows:
            lines = [f"{shadow.function.name}:", text_of(shadow.root, "  ")]
            for start in shadow.starts:
                number = start.ask.site.number if start.ask.site else 0
                what = "strand" if start.waits else "ahead"
                lines.append(f"  #{number}: {what} before line {start.before.lineno}")
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"


def analyse(lowered: Lowered, functions: Registry, speculate: float = 0.0) -> Graph:
    """Analyse every asynchronous function of a program."""
    facts = facts_of(lowered.tree)
    kinds = infer(lowered.tree, entry=lowered.entry, form=lowered.form)
    pure = pure_functions(facts)
    asking = [(f, o) for f, o in _functions(lowered.tree) if any(isinstance(n, ast.Await) for n in ast.walk(f))]
    top = {f.name for f in lowered.tree.body if isinstance(f, ast.AsyncFunctionDef)} - facts.variables
    helpers: frozenset[str] = frozenset()
    while True:  # a helper is pure if all that it calls is: starting from none, as long as there are more
        shadows = [_shadow(function, outer, lowered, facts, kinds, pure, helpers) for function, outer in asking]
        found = helpers | {s.function.name for s in shadows if s.function.name in top and _is_pure(s, facts)}
        if found == helpers:
            break
        helpers = found
    nodes = [node for shadow in shadows for node in _call_nodes(shadow)]
    nodes.sort(key=lambda node: node.site.number)
    return Graph(tuple(nodes), shadows, helpers_pure=helpers)


def _is_pure(shadow: Shadow, facts: ModuleFacts) -> bool:
    """Whether calling the function asks, computes, and leaves no trace."""
    if any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in ast.walk(shadow.function)):
        return False
    for node in shadow.planner.order:
        if isinstance(node, Pinned) and not node.regions and node.why != "import":
            return False
        if any(kind != "object" or shadow.objects.is_shared(name) for kind, name in node.mutates):
            return False
        if any(kind == "name" and name in facts.variables for kind, name in node.reads):
            return False
    return True


def _functions(tree: ast.Module) -> list[tuple[ast.AsyncFunctionDef, frozenset[str]]]:
    """Every asynchronous function, with the names of the functions around it."""
    found: list[tuple[ast.AsyncFunctionDef, frozenset[str]]] = []

    def visit(node: ast.AST, outer: frozenset[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if isinstance(child, ast.AsyncFunctionDef):
                    found.append((child, outer))
                visit(child, outer | bound_names(child))
            elif isinstance(child, (ast.stmt, ast.excepthandler)):
                visit(child, outer)

    visit(tree, frozenset())
    return found


def _shadow(
    function: ast.AsyncFunctionDef, outer: frozenset[str], lowered: Lowered, facts: ModuleFacts, kinds: Kinds,
    pure: frozenset[str], helpers: frozenset[str],
) -> Shadow:  # fmt: skip
    local = bound_names(function) | outer
    purity = Purity(facts, local, pure)
    builder = Builder(lowered.sites, purity, _scope_names(function), helpers)
    root = builder.build(function.body)
    plain, again = _names_by_kind(function, builder, kinds)

    def is_plain(expr: ast.expr) -> bool:
        if isinstance(expr, ast.Name):
            return expr.id in plain
        return kinds.is_immutable(expr) or kinds.kind_of(expr) in _PLAIN_KINDS

    objects = Objects(is_plain)
    parameters = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    find_needs(root, objects, purity, [name for name in (*parameters, *sorted(outer)) if name not in plain])

    def locations(loc: Loc) -> set[Loc]:
        return objects.locations(ast.Name(loc[1], ast.Load())) if loc[0] == "name" else {loc}

    planner = Planner(root, frozenset(parameters) | outer, locations)
    return Shadow(function, root, objects, local | builder.made, again, planner.starts(), planner)


def _names_by_kind(function: Function, builder: Builder, kinds: Kinds) -> tuple[frozenset[str], frozenset[str]]:
    """Names whose values nobody can change, and names whose values can be walked again."""
    plain: dict[str, bool] = {}
    again: dict[str, bool] = {}
    named = [(n.id, n) for n in ast.walk(function) if isinstance(n, ast.Name)]
    made: list[tuple[str, ast.expr]] = list(builder.stands_for.items())
    for name, node in [*named, *made]:
        kind = kinds.kind_of(node)
        is_plain = kinds.is_immutable(node) or kind in _PLAIN_KINDS
        plain[name] = plain.get(name, True) and is_plain
        again[name] = again.get(name, True) and (is_plain or kinds.never_iterator(node))
    return frozenset(n for n, yes in plain.items() if yes), frozenset(n for n, yes in again.items() if yes)


def _scope_names(function: Function) -> frozenset[str]:
    """The names that the function itself binds, its comprehensions' variables not counted."""
    inner: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.comprehension):
            inner.update(id(n) for n in ast.walk(node.target))
    names = {
        n.id for n in ast.walk(function)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in inner
    }  # fmt: skip
    arguments = function.args
    return frozenset(names | {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)})


def _call_nodes(shadow: Shadow) -> list[CallNode]:
    nodes = []
    for step in shadow.planner.order:
        if isinstance(step, Ask) and step.site is not None and not step.common:
            after = tuple(sorted({a.site.number for a in shadow.planner.waits_of(step) if a.site}))
            loops, guarded, around = [], False, step.block.parent
            while around is not None:
                if isinstance(around, Loop):
                    loops.append(f"{shadow.function.name}:{around.anchor.lineno}:{around.index}")
                else:
                    guarded = True
                around = around.block.parent
            image, key = _image_of(step.site, step)
            nodes.append(CallNode(step.site, after, tuple(reversed(loops)), guarded, image, key))  # type: ignore[arg-type]
    return nodes


def _image_of(site: CallSite, step: Ask) -> tuple[str, str]:
    """What pixels a call looks at, as far as the text tells."""
    call = step.call
    if site.form == "method" and isinstance(call.func, ast.Attribute):
        if site.name in ("llm_query", "select_answer"):
            return "none", ""
        return "unknown", ast.unparse(call.func.value)
    for keyword in call.keywords:
        if keyword.arg == "image":
            return "unknown", ast.unparse(keyword.value)
    return "none", ""
