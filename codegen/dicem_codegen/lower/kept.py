"""Generators that a variable holds: each use says again what it does, on one iterator over the source.

    names = (p.simple_query("What?") for p in patches)      _names_1 = iter(patches)
    first = next(names)                                     first = next(p.simple_query("What?") for p in _names_1)

A generator with a single loop has no other state than where it is in its source; so this is the same at every use.
"""

from __future__ import annotations

import ast

from ..walking import copied, walk
from .build import located, name_of
from .eager import Changes
from .lazy import Lazy
from .refused import Refusals
from .scopes import COMPREHENSIONS, Scope, own_nodes
from .unfold import Place, Replacement, Unfolding, replace
from .values import Box, is_iterator

_TAKERS = frozenset(
    {"next", "any", "all", "list", "tuple", "sorted", "sum", "min", "max", "set", "frozenset", "dict", "enumerate"}
)


class Kept:
    """The planner for variables that hold generators."""

    statements: frozenset[type[ast.stmt]] = frozenset({ast.Assign})

    def __init__(self, unfolding: Unfolding, refuse: Refusals, lazy: Lazy) -> None:
        self._unfolding, self._refuse, self._lazy = unfolding, refuse, lazy
        self._changes = Changes(unfolding)

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return False

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """Nothing to do."""
        return None

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """The assignment of a generator, and with it all of its uses."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                generator = self._lazy.generator(value)
                if generator is None or self._lazy.is_settled(generator):
                    return None
            case _:
                return None
        uses = self._uses(name, node, function)
        if uses is None or len(generator.generators) > 1:
            if self._lazy.is_plain(generator):
                return None
            self._refuse(node, "kept-generator")
        source = self._unfolding.words.fresh(name.strip("_") or "items")
        begun = generator.generators[0].iter
        if not self._is_walked_once(begun, uses, node):
            begun = ast.Call(self._unfolding.words.name("iter"), [begun], [])
        for parent, use in uses:
            again = self._copy(generator)
            again.generators[0].iter = name_of(source, use)
            replace(parent, use, again)
        return [located(ast.Assign([ast.Name(source, ast.Store())], begun), node)]

    def _is_walked_once(self, items: ast.expr, uses: list[tuple[ast.AST, ast.expr]], node: ast.stmt) -> bool:
        """Whether what a generator walks over may be kept as it is: a container, and walked from its beginning once."""
        block = next((b for b in _blocks(self._unfolding.colours.parents.get(node)) if node in b), [])
        once = len(uses) == 1 and block != [] and not self._is_in_loop(uses[0][1], block)
        values = self._unfolding.kinds.values_of(items)
        boxes = bool(values) and all(isinstance(value, Box) and not is_iterator(value) for value in values)
        return once and boxes and not self._changes.ever(items)

    def _uses(self, name: str, node: ast.stmt, function: Scope) -> list[tuple[ast.AST, ast.expr]] | None:
        """The places that read what this statement assigns, each with what takes it; None if one does something else.

        They must follow it in its block, and the next assignment must follow them there.
        """
        parents = self._unfolding.colours.parents
        mine = self._names(name, function)
        block = next((b for b in _blocks(parents.get(node)) if node in b), [])
        own = set(map(id, own_nodes(function.node)))
        if not mine or any(id(each) not in own for each in mine):
            return None
        covered: list[tuple[ast.AST, ast.expr]] = []
        hidden = False  # whether another generator may be meant by now
        for statement in block[block.index(node) + 1 :] if block else []:
            inside = set(map(id, walk(statement)))
            here = [each for each in mine if id(each) in inside]
            loads = [each for each in here if isinstance(each.ctx, ast.Load)]
            if len(here) == len(loads):
                if loads and hidden:
                    return None
                covered += [(parents[each], each) for each in loads]
            elif isinstance(statement, ast.Assign) and not loads:
                break
            elif self._all_follow(loads, [each for each in here if each not in loads]):
                hidden = True
            else:
                return None
        several = len(covered) > 1 or any(self._is_in_loop(use, block) for _, use in covered)
        caught = any(isinstance(part, ast.Try) for part in own_nodes(function.node))
        alone = sum(isinstance(each.ctx, ast.Load) for each in mine) == len(covered) or self._all_are_generators(mine)
        fits = alone and all(self._takes(parent, use) for parent, use in covered if isinstance(use, ast.Name))
        return covered if fits and not (caught and several) else None

    def _names(self, name: str, function: Scope) -> list[ast.Name]:
        scopes = self._unfolding.kinds.scopes.of
        found = [n for n in walk(function.node) if isinstance(n, ast.Name) and n.id == name and n in scopes]
        return [n for n in found if scopes[n].where(name) is function]

    def _all_are_generators(self, names: list[ast.Name]) -> bool:
        """Whether every assignment of a variable is of a generator, each of which looks after its own uses."""
        parents = self._unfolding.colours.parents
        stores = [each for each in names if not isinstance(each.ctx, ast.Load)]
        assigned = [parents.get(each) for each in stores]
        generators = all(isinstance(s, ast.Assign) and self._lazy.generator(s.value) is not None for s in assigned)
        return generators and self._all_follow([each for each in names if each not in stores], stores)

    def _all_follow(self, loads: list[ast.Name], stores: list[ast.Name]) -> bool:
        """Whether each of `loads` stands after one of `stores`, in its block."""
        parents = self._unfolding.colours.parents
        following: set[int] = set()
        for store in stores:
            statement = parents.get(store)
            if isinstance(statement, ast.stmt):
                following |= {id(part) for later in _after(statement, parents) for part in walk(later)}
        return all(id(each) in following for each in loads)

    def _takes(self, parent: ast.AST, use: ast.Name) -> bool:
        match parent:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if first is use:
                return name in _TAKERS
            case ast.Call(func=ast.Attribute(attr="join"), args=[only]):
                return only is use
            case ast.For(iter=source) | ast.comprehension(iter=source) | ast.Starred(value=source):
                return source is use
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[source]):
                return source is use
        return False

    def _is_in_loop(self, node: ast.AST, block: list[ast.stmt]) -> bool:
        """Whether it may be read more often than it is assigned."""
        parents = self._unfolding.colours.parents
        current: ast.AST | None = node
        while current is not None and current not in block:
            outer = parents.get(current)
            if isinstance(outer, ast.comprehension) and outer.iter is current:
                current, outer = outer, parents.get(outer)
                is_source = isinstance(outer, COMPREHENSIONS) and outer.generators[0] is current
            else:
                is_source = isinstance(outer, ast.For) and outer.iter is current
            if isinstance(outer, (ast.For, ast.While, ast.AsyncFor, *COMPREHENSIONS)) and not is_source:
                return True
            current = outer
        return False

    def _copy(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        """The same expression, and all that is known of it, in scopes of its own."""
        kinds = self._unfolding.kinds
        made = copied(node)
        twins: dict[Scope, Scope] = {}
        pairs = list(zip(walk(node), walk(made), strict=True))
        for old, new in pairs:
            scope = kinds.scopes.inside.get(old)
            if scope is not None:
                twins[scope] = kinds.scopes.inside[new] = Scope(new, scope.parent, set(scope.bound))  # type: ignore[arg-type]
        for twin in twins.values():
            twin.parent = twins.get(twin.parent, twin.parent) if twin.parent is not None else None
        for old, new in pairs:
            kinds.same(old, new)
            if old in kinds.scopes.of:
                kinds.scopes.of[new] = twins.get(kinds.scopes.of[old], kinds.scopes.of[old])
        return made


def _blocks(node: ast.AST | None) -> list[list[ast.stmt]]:
    found = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    return [block for block in found if isinstance(block, list)]


def _after(node: ast.stmt, parents: dict[ast.AST, ast.AST]) -> list[ast.stmt]:
    block = next((b for b in _blocks(parents.get(node)) if node in b), [])
    return block[block.index(node) + 1 :] if block else []
