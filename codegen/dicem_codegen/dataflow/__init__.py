"""Dataflow: what each call of a program waits for, and from where it can be started."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dicem_shared.functions import Registry
from dicem_shared.types import Site

from ..lower.kinds import Kinds, infer
from ..lower.values import PLAIN, Box, Value, is_immutable
from ..pixels import Pixels
from ..types import CallNode, CallSite, Diagnostic, Image, Lowered
from ..walking import children, statements, walk
from .across import HelperCall, joined
from .ahead import Planner, Start
from .build import Builder
from .helpers import Helper, candidates, is_quiet
from .ir import Ask, Block, Loc, Loop, Node, Pinned, text_of
from .needs import find_needs
from .objects import SHARED, Objects
from .purity import (
    Function,
    ModuleFacts,
    Purity,
    bound_names,
    facts_of,
    keeps_iterators,
    pure_among,
    pure_functions,
    settled_functions,
)
from .serial import notes
from .speculate import Window, windows

_PLAIN = frozenset({"patch", "image", "video"})
"""Values in which only attributes can be changed; these are watched by their names."""
_MAX_TUPLES = 8
_NO_PIXELS: tuple[Image, str] = ("none", "")


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
    settled: dict[str, Function]
    """functions of its own that see the same whenever they are called"""
    windows: list[Window] = field(default_factory=list)


@dataclass
class Graph:
    """What the pass found out."""

    nodes: tuple[CallNode, ...]
    shadows: list[Shadow]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    helpers: dict[str, Helper] = field(default_factory=dict)

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
    asking = [(f, o) for f, o in _functions(lowered.tree) if any(isinstance(n, ast.Await) for n in walk(f))]
    kept = keeps_iterators(lowered.tree)
    helpers = {} if kept is not None else candidates(lowered.tree, asking, lowered.entry)
    catches = any(isinstance(node, ast.Try) for node in statements(lowered.parsed.tree))
    known = _Known(lowered, facts, kinds, pure, catches)
    shadows = _settled(asking, helpers, lambda f, o, h: _shadow(f, o, known, h), facts)
    if kept is not None:
        for shadow in shadows:
            shadow.starts = []
    if (
        kept is None
        and speculate > 0
        and not {"iter", "zip", "range"} & (facts.constants | facts.variables | facts.functions.keys())
    ):
        for shadow in shadows:
            shadow.windows = windows(shadow.planner, speculate / len(shadows))
    pixels = Pixels(lowered.tree, lowered.entry)
    own: dict[str, list[CallNode]] = {}
    calls: list[HelperCall] = []
    for shadow in shadows:
        found, of_helpers = _call_nodes(shadow, pixels)
        own.setdefault(shadow.function.name, []).extend(found)
        calls += of_helpers
    nodes = [*joined(own, calls), *_started_nodes(lowered, pixels)]
    nodes.sort(key=lambda node: node.site.number)
    diagnostics = [note for shadow in shadows for note in notes(shadow.planner, lowered.parsed.place)]
    if kept is not None:
        said = f"nothing is started ahead: {ast.unparse(kept)} can be walked once only, and is kept where it stands"
        diagnostics.append(lowered.parsed.say(kept, "note", "serial", said))
    for window in (window for shadow in shadows for window in shadow.windows):
        said = f"calls for the next {window.width} elements are started before it is sure that the loop comes to them"
        diagnostics.append(lowered.parsed.say(window.loop.anchor, "note", "speculation", said))
    return Graph(tuple(nodes), shadows, diagnostics, helpers)


def _settled(
    asking: list[tuple[ast.AsyncFunctionDef, frozenset[str]]], helpers: dict[str, Helper],
    shadow_of: Callable[[ast.AsyncFunctionDef, frozenset[str], dict[str, Helper]], Shadow], facts: ModuleFacts,
) -> list[Shadow]:  # fmt: skip
    """The shadows, and in `helpers` what is true of the helpers that they call.

    That a helper changes nothing is taken for granted until it is seen to; that it is pure is believed when it is seen.
    """
    mentions = {f: {n.id for n in walk(f) if isinstance(n, ast.Name)} for f, _ in asking}
    known: dict[ast.AsyncFunctionDef, Shadow] = {}
    while True:
        for function, outer in asking:
            if function not in known:
                known[function] = shadow_of(function, outer, helpers)
        shadows = [known[function] for function, _ in asking]
        loud = {
            s.function.name for s in shadows
            if s.function.name in helpers and not is_quiet(s.function, s.planner.order, facts, s.objects.is_shared)
        }  # fmt: skip
        for name in loud:
            del helpers[name]
        if loud:
            known = {function: shadow for function, shadow in known.items() if not mentions[function] & loud}
            continue
        settled = {inner for s in shadows for inner in s.settled.values()}
        pure = {
            s.function.name for s, (_, outer) in zip(shadows, asking, strict=True)
            if s.function.name in helpers and (not outer or s.function in settled) and _is_pure(s)
        }  # fmt: skip
        if all(helpers[name].is_pure for name in pure):
            return shadows
        found = {name for name in pure if not helpers[name].is_pure}
        for name in found:
            helpers[name] = replace(helpers[name], is_pure=True)
        known = {function: shadow for function, shadow in known.items() if not mentions[function] & found}


def _is_pure(shadow: Shadow) -> bool:
    """Whether a quiet function asks and computes and nothing else."""
    return not any(isinstance(n, Pinned) and not n.regions and n.why != "import" for n in shadow.planner.order)


def _functions(tree: ast.Module) -> list[tuple[ast.AsyncFunctionDef, frozenset[str]]]:
    """Every asynchronous function, with the names of the functions around it."""
    found: list[tuple[ast.AsyncFunctionDef, frozenset[str]]] = []

    def visit(node: ast.AST, outer: frozenset[str]) -> None:
        for child in children(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if isinstance(child, ast.AsyncFunctionDef):
                    found.append((child, outer))
                visit(child, outer | bound_names(child))
            elif isinstance(child, (ast.stmt, ast.excepthandler)):
                visit(child, outer)

    visit(tree, frozenset())
    return found


@dataclass(frozen=True)
class _Known:
    """What is known of the whole program."""

    lowered: Lowered
    facts: ModuleFacts
    kinds: Kinds
    pure: frozenset[str]
    catches: bool
    """there is a `try` in it"""


def _shadow(function: ast.AsyncFunctionDef, outer: frozenset[str], known: _Known, helpers: dict[str, Helper]) -> Shadow:
    lowered, facts, kinds = known.lowered, known.facts, known.kinds
    local, nodes = bound_names(function) | outer, walk(function)
    settled = settled_functions(function, outer, lambda expr: _is_plain_value(kinds, expr))
    purity = Purity(facts, local, known.pure, pure_among(settled, facts, known.pure))
    builder = Builder(
        lowered.sites, purity, _scope_names(function, nodes), helpers, kinds.same, lambda expr: _is_found(kinds, expr)
    )
    root = builder.build(function.body)
    plain, again = _names_by_kind(nodes, builder, kinds)

    def is_plain(expr: ast.expr) -> bool:
        if isinstance(expr, ast.Name):
            return expr.id in plain
        return _is_plain_value(kinds, expr)

    collected = {n for n, e in builder.stands_for.items() if isinstance(e, (ast.ListComp, ast.SetComp, ast.DictComp))}
    objects = Objects(is_plain, facts.functions, collected)
    parameters = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    shared = [*parameters, *sorted(outer | _captured(function, nodes) | facts.constants | facts.variables)]
    find_needs(root, objects, purity, [name for name in shared if name not in plain])

    changing: frozenset[Loc] | None = None
    if known.catches:
        others: set[Loc] = {("name", name) for name in facts.variables - local}
        changing = frozenset(others if function.name == lowered.entry else {*others, ("object", SHARED)})
    planner = Planner(root, frozenset(parameters) | outer, objects.held_by, changing, _used_up(nodes, kinds))
    return Shadow(function, root, objects, local | builder.made, again, planner.starts(), planner, settled)


def _is_plain_value(kinds: Kinds, expr: ast.expr) -> bool:
    """Whether nobody can change what it evaluates to, attributes aside."""
    values = kinds.values_of(expr)
    return bool(values) and all(_is_plain(value) for value in values)


def _is_found(kinds: Kinds, expr: ast.expr) -> bool:
    """Whether it is plain, a module, or what calls give: the program has made no part of it."""
    values = kinds.values_of(expr)
    return bool(values) and all(
        value == PLAIN or _is_plain(value) or (isinstance(value, str) and value.startswith("module:"))
        for value in values
    )


def _is_plain(value: Value, depth: int = 0) -> bool:
    if isinstance(value, Box) and value.kind == "tuple" and not value.escaped:
        return depth < _MAX_TUPLES and all(_is_plain(item, depth + 1) for item in value.items)
    return value in _PLAIN or is_immutable(value)


def _names_by_kind(nodes: Sequence[ast.AST], builder: Builder, kinds: Kinds) -> tuple[frozenset[str], frozenset[str]]:
    """Names whose values nobody can change, and names whose values can be walked again."""
    plain: dict[str, bool] = {}
    again: dict[str, bool] = {}
    named = [(n.id, n) for n in nodes if isinstance(n, ast.Name)]
    made: list[tuple[str, ast.expr]] = list(builder.stands_for.items())
    for name, node in [*named, *made]:
        is_plain = _is_plain_value(kinds, node)
        plain[name] = plain.get(name, True) and is_plain
        again[name] = again.get(name, True) and (is_plain or kinds.never_iterator(node))
    return frozenset(n for n, yes in plain.items() if yes), frozenset(n for n, yes in again.items() if yes)


def _used_up(nodes: Sequence[ast.AST], kinds: Kinds) -> frozenset[Loc]:
    """The names of iterators that are looked at more than once: what they still give hangs on who was there before."""
    found: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if any(isinstance(v, Box) and v.kind == "iterator" for v in kinds.values_of(node)):
                found[node.id] = found.get(node.id, 0) + 1
    return frozenset(("name", name) for name, count in found.items() if count > 1)


def _captured(function: Function, nodes: Sequence[ast.AST]) -> frozenset[str]:
    """The names that functions inside of it look at, sort keys aside, which are gone at once."""
    keys = {id(k.value) for n in nodes if isinstance(n, ast.Call) for k in n.keywords if k.arg == "key"}
    found: set[str] = set()
    for inner in nodes:
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            if inner is function or id(inner) in keys:
                continue
            own = frozenset[str]() if isinstance(inner, ast.ClassDef) else bound_names(inner)
            found |= {n.id for n in walk(inner) if isinstance(n, ast.Name)} - own
    return frozenset(found)


def _scope_names(function: Function, nodes: Sequence[ast.AST]) -> frozenset[str]:
    """The names that the function itself binds, its comprehensions' variables not counted."""
    inner = {id(n) for node in nodes if isinstance(node, ast.comprehension) for n in walk(node.target)}
    names = {
        n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in inner
    }  # fmt: skip
    arguments = function.args
    return frozenset(names | {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)})


def _call_nodes(shadow: Shadow, pixels: Pixels) -> tuple[list[CallNode], list[HelperCall]]:
    """What placement must know of the calls of a function, the impure ones each after the one before; and the lines
    that call helpers.
    """
    nodes: list[CallNode] = []
    helpers: list[HelperCall] = []
    impure: tuple[int, ...] = ()
    for step in shadow.planner.order:
        if not isinstance(step, (Ask, Pinned)) or step.site is None or step.call is None:
            continue
        if isinstance(step, Ask) and step.common:
            continue
        waits = {a.site.number for a in shadow.planner.waits_of(step) if a.site}
        loops, guarded = _around(step, shadow.function.name)
        number = step.site.number
        if step.site.form == "helper":
            if isinstance(step.call.func, ast.Name):
                after, name = tuple(sorted(waits)), step.call.func.id
                helpers.append(HelperCall(number, shadow.function.name, name, after, loops, guarded))
            continue
        if isinstance(step, Pinned):
            waits, impure = {*waits, *impure}, (number,)
        looked_at, said = _image_of(step.site, step.call), _said_site(step.call)
        image, key = _NO_PIXELS if looked_at is None else pixels.of(looked_at, shadow.function)
        nodes.append(CallNode(step.site, tuple(sorted(waits)), loops, guarded, image, key, said=said))
    return nodes, helpers


def _started_nodes(lowered: Lowered, pixels: Pixels) -> list[CallNode]:
    """The calls that the author starts: nothing is known of what they wait for."""
    inside = {
        node: function for function, _ in _functions(lowered.tree) for node in walk(function)
        if isinstance(node, ast.Call) and node in lowered.started
    }  # fmt: skip  # of functions inside each other, the inner one comes last
    nodes = []
    for call, site in lowered.started.items():
        looked_at = _image_of(site, call)
        image, key = _NO_PIXELS if looked_at is None else pixels.of(looked_at, inside.get(call, lowered.tree))
        nodes.append(CallNode(site, (), (), False, image, key, said=_said_site(call)))
    return nodes


def _around(step: Node, function: str) -> tuple[tuple[str, ...], bool]:
    """The loops around a step, outermost first, and whether a guard stands around it."""
    loops: list[str] = []
    guarded, around = False, step.block.parent
    while around is not None:
        if isinstance(around, Loop):
            loops.insert(0, f"{function}:{around.anchor.lineno}:{around.index}")
        else:
            guarded = True
        around = around.block.parent
    return tuple(loops), guarded


def _image_of(site: CallSite, call: ast.Call) -> ast.expr | None:
    """The expression that says which pixels a call looks at; None: at none."""
    if site.form == "method" and isinstance(call.func, ast.Attribute):
        return None if site.name in ("llm_query", "select_answer") else call.func.value
    return next((keyword.value for keyword in call.keywords if keyword.arg == "image"), None)


def _said_site(call: ast.Call) -> Site | None:
    """Where the program itself says that a call runs."""
    for keyword in call.keywords:
        if keyword.arg == "site" and isinstance(keyword.value, ast.Constant):
            return "edge" if keyword.value.value == "edge" else "cloud"
    return None
