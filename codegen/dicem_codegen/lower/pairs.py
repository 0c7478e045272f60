"""`enumerate` and `zip` of generators that make calls, as generators themselves."""

from __future__ import annotations

import ast
from typing import Final

from ..walking import walk
from .build import located, name_of
from .loops import Renaming
from .refused import Refusals
from .scopes import Scope
from .unfold import Unfolding

_FAR: Final = 10**18
"""No program counts so far."""


class Pairs:
    """Writes both as generator expressions."""

    def __init__(self, unfolding: Unfolding, refuse: Refusals) -> None:
        self._unfolding, self._refuse = unfolding, refuse
        self._words, self._scopes = unfolding.words, unfolding.kinds.scopes

    def numbered(self, node: ast.Call, inner: list[ast.GeneratorExp | None]) -> ast.GeneratorExp:
        """`enumerate(f(x) for x in xs)` is `((next(count), f(x)) for count in [iter(range(...))] for x in xs)`."""
        generator = inner[0]
        assert generator is not None
        start: ast.expr = ast.Constant(0)
        for given in [*node.args[1:], *[keyword.value for keyword in node.keywords]]:
            start = given
        count = self._words.fresh("count")
        numbers = ast.Call(self._words.name("range"), [start, ast.Constant(_FAR)], [])
        counter = ast.List([ast.Call(self._words.name("iter"), [numbers], [])], ast.Load())
        first = ast.comprehension(ast.Name(count, ast.Store()), counter, [], 0)
        number = ast.Call(self._words.name("next"), [name_of(count)], [])
        made = ast.GeneratorExp(ast.Tuple([number, generator.elt], ast.Load()), [first, *generator.generators])
        return self._enter(located(made, node), [generator])

    def zipped(self, node: ast.Call, inner: list[ast.GeneratorExp | None]) -> ast.GeneratorExp:
        """`zip(ys, (f(x) for x in xs))` is `((y, f(x)) for y, x in zip(ys, xs))`."""
        generators = [g for g in inner if g is not None]
        sources = [g.generators[0].iter if g is not None else a for g, a in zip(inner, node.args, strict=True)]
        same = all(isinstance(s, ast.Name) for s in sources) and len({ast.unparse(s) for s in sources}) == 1
        last = inner[-1] is not None and len(generators) == 1
        if node.keywords or not (same or last) or any(len(g.generators) > 1 or g.generators[0].ifs for g in generators):
            self._refuse(node, "kept-generator", "zip of such a generator")
        targets: list[ast.expr] = []
        values: list[ast.expr] = []
        for generator in inner:
            if generator is None:
                name = self._words.fresh("item")
                targets.append(ast.Name(name, ast.Store()))
                values.append(name_of(name))
            else:
                self._apart(generator)
                targets.append(generator.generators[0].target)
                values.append(generator.elt)
        source = ast.Call(self._words.name("zip"), sources, [])
        walked = ast.comprehension(ast.Tuple(targets, ast.Store()), source, [], 0)
        return self._enter(located(ast.GeneratorExp(ast.Tuple(values, ast.Load()), [walked]), node), generators)

    def _apart(self, generator: ast.GeneratorExp) -> None:
        """Its variables get names that no other has."""
        scope = self._scopes.inside[generator]
        names = {name: self._words.fresh(name.strip("_") or "x") for name in sorted(scope.bound)}
        for part in (generator.elt, generator.generators[0].target):
            Renaming(self._scopes, scope, names).visit(part)
        scope.bound = set(names.values())

    def _enter(self, made: ast.GeneratorExp, parts: list[ast.GeneratorExp]) -> ast.GeneratorExp:
        outer = self._scopes.of[parts[0]]
        scope = Scope(made, outer)
        for part in parts:
            old = self._scopes.inside[part]
            scope.bound |= old.bound
            for node in [n for n, s in self._scopes.of.items() if s is old]:
                self._scopes.of[node] = scope
            for inner in [s for s in self._scopes.inside.values() if s.parent is old]:
                inner.parent = scope
        for generator in made.generators:
            for name in walk(generator.target):
                if isinstance(name, ast.Name):
                    scope.bound.add(name.id)
                    self._scopes.of.setdefault(name, scope)
        for name in walk(made.elt):
            if isinstance(name, ast.Name):
                self._scopes.of.setdefault(name, scope)
        self._scopes.inside[made] = scope
        self._scopes.of[made] = outer
        return made
