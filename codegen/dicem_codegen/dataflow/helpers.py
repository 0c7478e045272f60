"""The program's own functions that make calls: which of them ahead code may run, and how far.

Of a helper that only computes and asks, ahead code may await the value.  Of one that prints too, or calls what is not
pure, ahead code runs a variant that does nothing but start its calls: what the helper would ask, cut out of it.  The
variant stands at the top of the module, so what the helper sees of the functions around it becomes parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from ..walking import walk
from .ir import Node, Pinned
from .purity import PATCH_ATTRIBUTES, Function, ModuleFacts, bound_names


@dataclass(frozen=True)
class Helper:
    """A function that makes calls and has a variant that starts them."""

    name: str
    variant: str
    free: tuple[str, ...]
    """names of the functions around it that it reads"""
    is_pure: bool = False
    """its value may be awaited by ahead code"""


def variant_call(call: ast.Call, helper: Helper) -> ast.Call:
    """The call of the variant instead of the helper's: it is given what the helper sees around it."""
    free = [ast.keyword(name, ast.Name(name, ast.Load())) for name in helper.free]
    return ast.Call(ast.Name(helper.variant, ast.Load()), call.args, [*call.keywords, *free])


def candidates(
    tree: ast.Module, functions: list[tuple[ast.AsyncFunctionDef, frozenset[str]]], entry: str
) -> dict[str, Helper]:
    """The functions that may have a variant, as far as their text alone tells."""
    nodes = walk(tree)
    taken = {n.id for n in nodes if isinstance(n, ast.Name)}
    counts: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            counts[node.name] = counts.get(node.name, 0) + 1
        elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            counts[node.id] = counts.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            counts[node.arg] = counts.get(node.arg, 0) + 1
    methods = {n for c in nodes if isinstance(c, ast.ClassDef) for n in c.body}
    found: dict[str, Helper] = {}
    for function, outer in functions:
        if function.name == entry or counts[function.name] > 1 or function in methods or not _is_simple(function):
            continue
        variant = f"ahead_{function.name.lstrip('_')}"
        while variant in taken or variant in counts:
            variant += "_"
        free = _free_names(function, outer, found)
        found[function.name] = Helper(function.name, variant, free)
    # A helper sees what the helpers that it calls see.
    for function, outer in functions:
        helper = found.get(function.name)
        if helper is not None:
            found[function.name] = Helper(helper.name, helper.variant, _free_names(function, outer, found))
    return found


_NOT_SIMPLE = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Raise, ast.Assert)
"""The last two: who decides to fail is a guard of what follows."""


def _is_simple(function: Function) -> bool:
    arguments = function.args
    if arguments.vararg or arguments.kwarg or function.decorator_list:
        return False
    if any(isinstance(n, _NOT_SIMPLE) for n in walk(function)):
        return False
    return all(isinstance(d, ast.Constant) for d in (*arguments.defaults, *(d for d in arguments.kw_defaults if d)))


def _free_names(function: Function, outer: frozenset[str], helpers: dict[str, Helper]) -> tuple[str, ...]:
    own = bound_names(function)
    read = {n.id for n in walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    for name in sorted(read & helpers.keys()):
        read |= set(helpers[name].free)
    return tuple(sorted((read & outer) - own - helpers.keys() - {function.name}))


def is_quiet(function: Function, order: list[Node], facts: ModuleFacts, is_shared: Callable[[str], bool]) -> bool:
    """Whether calling the function changes nothing that anybody else can see, but for what it prints and asks, and
    looks at nothing that changes beside what it is given.
    """
    for part in walk(function):
        match part:
            case ast.Name(id=name) if name in facts.variables:
                return False
            case ast.Attribute(attr=name) if name in facts.attributes:
                return False
            case ast.Call() if facts.attributes & PATCH_ATTRIBUTES:
                return False
    for node in order:
        if isinstance(node, Pinned) and node.is_barrier and not node.regions:
            return False
        if any(kind != "object" or is_shared(name) for kind, name in node.mutates):
            return False
    return True
