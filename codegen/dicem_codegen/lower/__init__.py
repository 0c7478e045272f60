"""The third pass: from a program as people write it to the same program in the runner's language, asynchronous.

    lowered = lower(parse(source), functions)
    print(ast.unparse(lowered.tree))

The result means in the runner what the original means in CPython 3.11: values, prints, the order of evaluation,
exceptions, and which calls are made in which order.  What cannot be said there is refused (`refused.REFUSED`).
"""

from __future__ import annotations

import ast
from typing import Literal

from dicem_shared.functions import Registry

from ..types import Lowered, Parsed
from ..walking import walk
from .awaits import Awaits
from .build import Words, place_all
from .classes import lower_classes
from .colour import Colours, colour
from .dispatch import dispatch
from .eager import Eager
from .exceptions import Exceptions
from .expand import expand
from .gaps import Gaps
from .in_place import InPlace
from .kept import Kept
from .keys import Callbacks, Keys
from .kinds import Kinds, infer
from .lazy import Lazy
from .names import rename_clashes
from .receivers import Receivers
from .refused import REFUSED, Refusals, refused_text
from .scopes import DEFINITIONS, own_nodes
from .script import wrap
from .statements import Statements
from .unfold import Unfolding
from .words import ENTRIES

__all__ = ["REFUSED", "Kinds", "expand", "infer", "lower", "refused_text"]


def lower(parsed: Parsed, functions: Registry) -> Lowered:
    """Lower a program.

    :raises CompileError: it uses what cannot be said in the runner's language; says line and column
    """
    tree = ast.parse(parsed.source)
    refuse = Refusals(parsed)
    scopes = lower_classes(tree, rename_clashes(tree), refuse)
    entry, form = entry_of(tree)
    words = Words(tree)
    kinds = infer(tree, entry=entry, form=form, scopes=scopes)
    if _acts(tree):
        entry = wrap(tree, entry, colour(tree, kinds), words)
        kinds = infer(tree, entry=entry, form=form)
    colours = colour(tree, kinds)
    if _unfold(tree, colours, words, refuse):
        place_all(tree)
        colours = colour(tree, infer(tree, entry=entry, form=form))
    if dispatch(tree, colours, entry if form == "function" else ""):
        colours = colour(tree, infer(tree, entry=entry, form=form))
    awaits = Awaits(colours, functions, words, parsed)
    awaits.run(tree)
    tree.body[_after_docstring(tree) : _after_docstring(tree)] = words.preamble()
    place_all(tree)
    sites, started = awaits.sites()
    return Lowered(parsed, tree, sites, entry, form, awaits.notes(), started)


def _acts(tree: ast.Module) -> bool:
    """Whether code at module level may make calls."""
    return any(isinstance(node, (ast.Call, ast.Await)) for node in own_nodes(tree) if not isinstance(node, DEFINITIONS))


def _unfold(tree: ast.Module, colours: Colours, words: Words, refuse: Refusals) -> bool:
    """Rewrite what the runner's interpreter would not run as CPython does; whether there was something."""
    unfolding = Unfolding(tree, colours, words)
    callbacks = Callbacks(unfolding)
    statements = Statements(unfolding, refuse)
    statements.check_prelude()
    lazy = Lazy(unfolding, refuse, callbacks)
    unfolding.planners = [
        statements,
        Gaps(unfolding, refuse),
        Exceptions(unfolding, refuse),
        Keys(unfolding, refuse, callbacks),
        Kept(unfolding, refuse, lazy),
        lazy,
        InPlace(unfolding),
        Eager(unfolding),
        Receivers(unfolding),
    ]
    unfolding.run()
    return unfolding.changed


def entry_of(tree: ast.Module) -> tuple[str, Literal["function", "module"]]:
    """The name of the entry function, "" without one, and whether the program calls it itself."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    entry = next((node.name for node in tree.body if isinstance(node, definitions[:2]) and node.name in ENTRIES), "")
    for statement in tree.body:
        if isinstance(statement, definitions):
            continue
        for node in walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry:
                return entry, "module"
    return entry, "function" if entry else "module"


def _after_docstring(tree: ast.Module) -> int:
    position = 1 if ast.get_docstring(tree) is not None else 0
    for statement in tree.body[position:]:
        if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        position += 1
    return position
