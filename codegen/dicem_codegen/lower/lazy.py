"""Generator expressions, `map` and `filter`: the runner's interpreter runs them at once, from the first to the last.

Where that can be told from running them step by step, the consumer becomes a loop.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from ..walking import children, walk
from .build import located, name_of
from .colour import function_of
from .eager import EAGER, Changes
from .keys import Callbacks
from .loops import Renaming, loop
from .order import ATOMS, is_quiet
from .pairs import Pairs
from .refused import Refusals
from .scopes import COMPREHENSIONS, Comprehension, Scope, own_nodes
from .unfold import Place, Plan, Replacement, Unfolding
from .values import NUMBERS, UNKNOWN, Bound, Box, Func, Value

_TAKES_ALL: Final = frozenset({"list", "tuple", "sorted", "sum", "min", "max", "set", "frozenset", "dict"})
_METHODS_TAKE_ALL: Final = frozenset({"join", "extend", "update", "union", "difference", "intersection"})
SCOPED: Final = (ast.Lambda, *COMPREHENSIONS)
_CONTAINERS: Final = ("list", "tuple", "set", "dict", "view")


class Lazy:
    """The planner for generators."""

    statements: frozenset[type[ast.stmt]] = frozenset({ast.For, ast.Expr, ast.AugAssign})

    def __init__(self, unfolding: Unfolding, refuse: Refusals, callbacks: Callbacks) -> None:
        self._unfolding, self._refuse, self._callbacks = unfolding, refuse, callbacks
        self._kinds, self._words = unfolding.kinds, unfolding.words
        self._settled: set[ast.AST] = set()
        self._joined: dict[ast.Call, ast.GeneratorExp | None] = {}
        self._pairs = Pairs(unfolding, refuse)
        self._changes = Changes(unfolding)

    # Expressions

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind in (ast.Call, ast.Compare, ast.Starred, *COMPREHENSIONS)

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """What becomes of the consumers of generators."""
        match node:
            case ast.Call():
                return self._call(node, place)
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[source]):
                generator = self.generator(source)
                if generator is not None and not self.is_quiet(generator):
                    return self._membership(node, generator, place)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() if node not in self._settled:
                spliced = self._splice(node)
                if spliced is not None:
                    return spliced
                if isinstance(node, ast.GeneratorExp):
                    return self._elsewhere(node, place)
            case ast.Starred(value=source):
                generator = self.generator(source)
                if generator is not None and self._has_effects(generator):
                    node.value = self._as_list(generator)
                    return node
        return None

    def _call(self, node: ast.Call, place: Place) -> Replacement | None:
        callees = self._kinds.callees.get(node, set())
        name = _only_builtin(callees)
        if name in ("map", "filter", "enumerate", "zip"):
            return self.generator(node) if node not in self._settled else None
        takes_all = name in _TAKES_ALL or (isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS_TAKE_ALL)
        rest = [*node.args[1:], *[keyword.value for keyword in node.keywords]]
        at_once = all(self._unfolding.inert(part) for part in rest)
        if takes_all and at_once and node.args and self._is_harmless(node.args[0]):
            return None
        first = self.generator(node.args[0]) if node.args else None
        if first is None and name == "next" and len(node.args) == 1 and self._is_in_generator(node):
            node.func = name_of(self._words.helper("next"), node.func)
            self._kinds.callees[node] = {UNKNOWN}
            return node
        if first is None:
            return None
        if name in ("any", "all") and len(node.args) == 1:
            return self._any(node, first, name, place) if not self.is_quiet(first) else None
        if name == "next":
            return self._next(node, first, place)
        if takes_all:
            stepwise = self._stepwise(node, name or "", first, place)
            if stepwise is not None:
                return stepwise
            if not at_once:
                return self._after_the_rest(node, first, name or "joined")
            made = self._as_list(first)
            if name == "list" and len(node.args) == 1 and not node.keywords:
                return made
            node.args[0] = made
            return node
        return None

    def generator(self, node: ast.expr) -> ast.GeneratorExp | None:
        """The generator expression that an expression is; `map` and `filter` as such."""
        if isinstance(node, ast.GeneratorExp):
            return node
        if isinstance(node, ast.Call):
            name = _only_builtin(self._kinds.callees.get(node, set()))
            if name in ("enumerate", "zip"):
                return self._paired(node, name)
            return self._callbacks.as_generator(node)
        return None

    def _is_harmless(self, node: ast.expr) -> bool:
        """Whether all of it may run at once, where somebody takes all of it; it is settled then."""
        if isinstance(node, ast.GeneratorExp):
            if self._has_effects(node) or not all(self._is_harmless(part.iter) for part in node.generators):
                return False
        elif isinstance(node, ast.Call) and _only_builtin(self._kinds.callees.get(node, set())) in EAGER:
            if not all(self._is_harmless(argument) for argument in node.args):
                return False
            if self._callbacks.makes_calls(node.args[0]) if node.args else False:
                return False
            name = _only_builtin(self._kinds.callees.get(node, set()))
            if name in ("map", "filter") and any(isinstance(v, Func) for v in self._kinds.values_of(node.args[0])):
                return False
        else:
            return True
        self._settled.add(node)
        return True

    def _paired(self, node: ast.Call, name: str) -> ast.GeneratorExp | None:
        """`enumerate` and `zip` of generators with effects as one generator."""
        if node not in self._joined:
            inner = [self.generator(argument) for argument in node.args]
            acting = [g for g in inner if g is not None and not self.is_plain(g)]
            self._joined[node] = None
            if acting:
                join = self._pairs.numbered if name == "enumerate" else self._pairs.zipped
                self._joined[node] = join(node, inner)
        return self._joined[node]

    def _after_the_rest(self, node: ast.Call, generator: ast.GeneratorExp, name: str) -> Plan:
        """The other arguments are evaluated before the generator runs, but after it is made."""

        def before() -> list[ast.stmt]:
            source = self._words.fresh("source")
            begun = ast.Call(self._words.name("iter"), [generator.generators[0].iter], [])
            generator.generators[0].iter = name_of(source, generator)
            made = [_assigned(source, begun)]
            for position in range(1, len(node.args)):
                kept = self._words.fresh("argument")
                made.append(_assigned(kept, node.args[position]))
                node.args[position] = name_of(kept, node.args[position])
            for keyword in node.keywords:
                kept = self._words.fresh(keyword.arg or "options")
                made.append(_assigned(kept, keyword.value))
                keyword.value = name_of(kept, keyword.value)
            node.args[0] = self._as_list(generator)
            return made

        return Plan(name, lambda _: before(), lambda: [*before(), ast.Return(node)], lambda _: node)

    def is_settled(self, generator: ast.GeneratorExp) -> bool:
        """Whether it may stay as it is."""
        return generator in self._settled

    def _as_list(self, generator: ast.GeneratorExp) -> ast.ListComp:
        made = located(ast.ListComp(generator.elt, generator.generators), generator)
        scopes = self._kinds.scopes
        scope = scopes.inside[made] = scopes.inside[generator]
        scope.node = made
        scopes.of[made] = scopes.of[generator]
        return made

    def _settle(self, generator: Comprehension, place: Place) -> None:
        """Its variables become those of the function around."""
        scope = self._kinds.scopes.inside[generator]
        moved: list[ast.AST] = (
            [generator.value, generator.key] if isinstance(generator, ast.DictComp) else [generator.elt]
        )
        for position, part in enumerate(generator.generators):
            moved += [part.target, *part.ifs, *([part.iter] if position else [])]
        self._unfolding.names.settle(generator, scope, place.function, *moved)

    # Consumers that may stop early

    def _any(self, node: ast.Call, generator: ast.GeneratorExp, name: str, place: Place) -> Plan:
        early = name == "any"
        test = located(generator.elt if early else _negated(generator.elt), generator.elt)

        def decided(result: list[ast.stmt]) -> ast.stmt:
            self._settle(generator, place)
            return loop(generator.generators, [ast.If(test, result, [])], generator)

        def inline(result: str) -> list[ast.stmt]:
            first = ast.Assign([ast.Name(result, ast.Store())], ast.Constant(not early))
            then = ast.Assign([ast.Name(result, ast.Store())], ast.Constant(early))
            return [first, decided([then, ast.Break()])]

        def body() -> list[ast.stmt]:
            return [decided([ast.Return(ast.Constant(early))]), ast.Return(ast.Constant(not early))]

        return Plan(name, inline if len(generator.generators) == 1 else None, body)

    def _membership(self, node: ast.Compare, generator: ast.GeneratorExp, place: Place) -> Plan:
        wanted = isinstance(node.ops[0], ast.In)
        given = self._words.fresh("wanted")

        def body() -> list[ast.stmt]:
            self._settle(generator, place)
            test = ast.Compare(generator.elt, [ast.Eq()], [name_of(given)])
            around = loop(generator.generators, [ast.If(test, [ast.Return(ast.Constant(wanted))], [])], generator)
            return [around, ast.Return(ast.Constant(not wanted))]

        return Plan("is_in", None, body, arguments=[(given, node.left)])

    def _next(self, node: ast.Call, generator: ast.GeneratorExp, place: Place) -> Replacement:
        if self.is_quiet(generator):
            self._settled.add(generator)
            node.args[0] = located(ast.Call(self._words.name("iter"), [generator], []), generator)
            return node
        default = node.args[1] if len(node.args) > 1 else None
        plain = default is None or self._unfolding.inert(default)
        given = self._words.fresh("default")

        def inline(result: str) -> list[ast.stmt]:
            self._settle(generator, place)
            found: list[ast.stmt] = [ast.Assign([ast.Name(result, ast.Store())], generator.elt), ast.Break()]
            around = loop(generator.generators, found, generator)
            if default is not None:
                return [ast.Assign([ast.Name(result, ast.Store())], default), around]
            around.orelse = [self._ended(node)]
            return [around]

        def body() -> list[ast.stmt]:
            self._settle(generator, place)
            around = loop(generator.generators, [ast.Return(generator.elt)], generator)
            if default is None:
                return [around, self._ended(node)]
            return [around, ast.Return(default if plain else name_of(given))]

        # The source is walked into before the default is evaluated.
        arguments: list[tuple[str, ast.expr]] = []
        if default is not None and not plain:
            source = self._words.fresh("source")
            begun = ast.Call(self._words.name("iter"), [generator.generators[0].iter], [])
            generator.generators[0].iter = name_of(source, generator)
            arguments = [(source, begun), (given, default)]
        single = len(generator.generators) == 1 and plain
        return Plan("next", inline if single else None, body, arguments=arguments)

    def _ended(self, node: ast.expr) -> ast.stmt:
        """What `next` raises at the end; a generator makes something else of it."""
        if not self._is_in_generator(node):
            return ast.Raise(self._words.name("StopIteration"), None)
        error = ast.Call(self._words.name("RuntimeError"), [ast.Constant("generator raised StopIteration")], [])
        return ast.Raise(error, None)

    def _is_in_generator(self, node: ast.AST) -> bool:
        """Whether it was written inside a generator expression, and not as what that walks over."""
        parents = self._unfolding.colours.parents
        inner, outer = node, parents.get(node)
        while outer is not None and not isinstance(outer, (ast.stmt, ast.Lambda)):
            if isinstance(outer, ast.GeneratorExp):
                first = outer.generators[0]
                return not (inner is first and self._came_from_source(node, first))
            inner, outer = outer, parents.get(outer)
        return False

    def _came_from_source(self, node: ast.AST, generator: ast.comprehension) -> bool:
        return any(part is node for part in walk(generator.iter))

    # Consumers that take all, and may stop at an element that they cannot take

    def _stepwise(self, node: ast.Call, name: str, generator: ast.GeneratorExp, place: Place) -> Plan | None:
        values = self._kinds.values_of(generator.elt) or frozenset({"unknown"})
        if node.keywords or len(node.args) > 1:
            return None
        if name == "sum" and not values <= NUMBERS:
            return self._sum(generator, place)
        if name in ("min", "max") and not (values <= NUMBERS or values == {"str"}):
            return self._least(name, generator, place)
        if name in ("set", "frozenset") and not values <= ATOMS | {"patch"} and name == "set":
            return self._filled(ast.Call(self._words.name("set"), [], []), "add", generator, place)
        if name == "dict" and not self._makes_pairs(generator.elt):
            generator.elt = located(ast.List([generator.elt], ast.Load()), generator.elt)
            return self._filled(ast.Dict([], []), "update", generator, place)
        return None

    def _makes_pairs(self, elt: ast.expr) -> bool:
        return isinstance(elt, ast.Tuple) and len(elt.elts) == 2 and self._kinds.values_of(elt.elts[0]) <= ATOMS

    def _sum(self, generator: ast.GeneratorExp, place: Place) -> Plan:
        def inline(result: str) -> list[ast.stmt]:
            self._settle(generator, place)
            total = ast.BinOp(name_of(result), ast.Add(), generator.elt)
            more = ast.Assign([ast.Name(result, ast.Store())], total)
            first = ast.Assign([ast.Name(result, ast.Store())], ast.Constant(0))
            return [first, loop(generator.generators, [more], generator)]

        return Plan("sum", inline, self._in_function(inline))

    def _least(self, name: str, generator: ast.GeneratorExp, place: Place) -> Plan:
        op = ast.Lt() if name == "min" else ast.Gt()

        def inline(result: str) -> list[ast.stmt]:
            self._settle(generator, place)
            value = self._words.fresh("value")
            best = ast.Subscript(name_of(result), ast.Constant(0), ast.Load())
            test = ast.BoolOp(
                ast.Or(), [ast.UnaryOp(ast.Not(), name_of(result)), ast.Compare(name_of(value), [op], [best])]
            )
            step: list[ast.stmt] = [
                ast.Assign([ast.Name(value, ast.Store())], generator.elt),
                ast.If(test, [_assigned(result, ast.List([name_of(value)], ast.Load()))], []),
            ]
            return [_assigned(result, ast.List([], ast.Load())), loop(generator.generators, step, generator)]

        def result(made: str) -> ast.expr:
            return ast.Call(self._words.name(name), [name_of(made)], [])

        return Plan(name, inline, self._in_function(inline, result), result)

    def _filled(self, empty: ast.expr, method: str, generator: ast.GeneratorExp, place: Place) -> Plan:
        def inline(result: str) -> list[ast.stmt]:
            self._settle(generator, place)
            add = ast.Call(ast.Attribute(name_of(result), method, ast.Load()), [generator.elt], [])
            return [_assigned(result, empty), loop(generator.generators, [ast.Expr(add)], generator)]

        return Plan("made", inline, self._in_function(inline))

    def _in_function(
        self, inline: Callable[[str], list[ast.stmt]], result: Callable[[str], ast.expr] = name_of
    ) -> Callable[[], list[ast.stmt]]:
        def body() -> list[ast.stmt]:
            name = self._words.fresh("result")
            return [*inline(name), ast.Return(result(name))]

        return body

    # Generators inside comprehensions, and everywhere else

    def _splice(self, node: Comprehension) -> ast.expr | None:
        """`[f(x) for x in (g(y) for y in ys)]` is `[f(x) for y in ys for x in [g(y)]]`."""
        for position, part in enumerate(node.generators):
            inner = self.generator(part.iter)
            if inner is None or inner in self._settled or self.is_plain(inner):
                continue
            scope, into = self._kinds.scopes.inside[inner], self._kinds.scopes.inside[node]
            if _gives_its_variable(inner) and isinstance(part.target, ast.Name) and _is_free(part.target.id, inner):
                self._merge(node, position, inner)
                return node
            moved: list[ast.AST] = [inner.elt]
            for at, generator in enumerate(inner.generators):
                moved += [generator.target, *generator.ifs, *([generator.iter] if at else [])]
            self._unfolding.names.settle(inner, scope, into, *moved)
            into.bound |= {n.id for p in inner.generators for n in walk(p.target) if isinstance(n, ast.Name)}
            part.iter = located(ast.List([inner.elt], ast.Load()), inner)
            node.generators[position:position] = inner.generators
            return node
        return None

    def _merge(self, node: Comprehension, position: int, inner: ast.GeneratorExp) -> None:
        """`for x in (y for y in ys if f(y))` is `for x in ys if f(x)`."""
        part, (filtered,) = node.generators[position], inner.generators
        scope, into = self._kinds.scopes.inside[inner], self._kinds.scopes.inside[node]
        assert isinstance(part.target, ast.Name)
        assert isinstance(filtered.target, ast.Name)
        for condition in filtered.ifs:
            Renaming(self._kinds.scopes, scope, {filtered.target.id: part.target.id}).visit(condition)
            for name in walk(condition):
                if isinstance(name, ast.Name) and name.id == part.target.id:
                    self._kinds.scopes.of[name] = into
        part.iter, part.ifs = filtered.iter, [*filtered.ifs, *part.ifs]

    def _elsewhere(self, node: ast.GeneratorExp, place: Place) -> Replacement | None:
        """A generator that no known consumer takes."""
        parent = place.parent
        if isinstance(parent, ast.Call):
            callees = self._kinds.callees.get(parent, set())
            if _only_builtin(callees) in {
                *_TAKES_ALL,
                "any",
                "all",
                "iter",
                "len",
                "map",
                "filter",
                "zip",
                "enumerate",
            } and not self._has_effects(node):
                return None
        if isinstance(parent, (ast.Compare, ast.Starred)) or (isinstance(parent, ast.For) and parent.iter is node):
            return None
        if self.is_plain(node) and (isinstance(parent, ast.Return) or not self._changes.ever(node.generators[0].iter)):
            self._settled.add(node)
            return located(ast.Call(self._words.name("iter"), [node], []), node)
        self._refuse(node, "kept-generator")

    # Statements

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """A `for` over a generator, and a list that takes one."""
        match node:
            case ast.For(iter=source):
                generator = self.generator(source)
                if generator is not None and generator not in self._settled:
                    return self._for(node, generator, function)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name() as items, attr="extend"), args=[source])):
                return self._extend(node, items, source, function)
            case ast.AugAssign(target=ast.Name() as items, op=ast.Add(), value=source):
                return self._extend(node, items, source, function)
        return None

    def _extend(self, node: ast.stmt, items: ast.Name, source: ast.expr, function: Scope) -> list[ast.stmt] | None:
        """`items.extend(f(x) for x in xs)` puts in one after the other."""
        generator = self.generator(source)
        values = self._kinds.values_of(items)
        is_list = bool(values) and all(isinstance(value, Box) and value.kind == "list" for value in values)
        if generator is None or not is_list or self.is_plain(generator) or not self._unfolding.inert(items):
            return None
        self._settle(generator, Place(function, function, node, node))
        add = ast.Call(ast.Attribute(name_of(items.id), "append", ast.Load()), [generator.elt], [])
        return [located(loop(generator.generators, [ast.Expr(add)], generator), node)]

    def _for(self, node: ast.For, generator: ast.GeneratorExp, function: Scope) -> list[ast.stmt]:
        first = self._peeled(generator)
        stops = [n for n in _own_loop_nodes(node.body) if isinstance(n, ast.Break)]
        if len(generator.generators) > 1 and stops:
            if self.is_plain(generator):
                self._settled.add(generator)
                return [node]
            self._refuse(node, "kept-generator", "break out of a loop over a generator with two loops")
        self._settle(generator, Place(function, function, node, node))
        same = isinstance(generator.elt, ast.Name) and isinstance(node.target, ast.Name)
        same = same and generator.elt.id == node.target.id  # type: ignore[attr-defined]
        taken: list[ast.stmt] = [] if same else [ast.Assign([node.target], generator.elt)]
        around = loop(generator.generators, [*taken, *node.body], node)
        around.orelse = node.orelse
        return [located(part, node) for part in [*first, around]]

    def _peeled(self, generator: ast.GeneratorExp) -> list[ast.stmt]:
        """A loop over a list of one element is an assignment."""
        first: list[ast.stmt] = []
        while len(generator.generators) > 1:
            match generator.generators[0]:
                case ast.comprehension(target=target, iter=ast.List(elts=[only]), ifs=[]):
                    first.append(ast.Assign([target], only))
                    del generator.generators[0]
                case _:
                    break
        return first

    # Judging

    def is_quiet(self, generator: ast.GeneratorExp) -> bool:
        """Whether nobody can tell that it ran further than it was asked to."""
        attributes = self._unfolding.attributes_set
        for position, part in enumerate(generator.generators):
            conditions = [*part.ifs, *([part.iter] if position else [])]
            if not all(is_quiet(c, self._kinds, attributes) for c in conditions):
                return False
            if not isinstance(part.target, ast.Name) or not self._walks_quietly(part.iter):
                return False
        return is_quiet(generator.elt, self._kinds, attributes)

    def is_plain(self, generator: ast.GeneratorExp) -> bool:
        """Whether it is quiet, and reads nothing but what it walks over, so that it may run before it is asked to."""
        if not self.is_quiet(generator):
            return False
        scope = self._kinds.scopes.inside[generator]
        first = {id(node) for node in walk(generator.generators[0].iter)}
        for node in walk(generator):
            if isinstance(node, ast.Name) and id(node) not in first and isinstance(node.ctx, ast.Load):
                here = self._kinds.scopes.of.get(node)
                holder = here.where(node.id) if here is not None else None
                if holder is not None and holder is not scope:
                    return False
        return True

    def _walks_quietly(self, source: ast.expr) -> bool:
        values = self._kinds.values_of(source)
        return bool(values) and all(
            value in ("str", "range") or (isinstance(value, Box) and value.kind in _CONTAINERS) for value in values
        )

    def _has_effects(self, generator: ast.GeneratorExp) -> bool:
        """Whether a step may do anything but compute or fail."""
        first = {id(node) for node in walk(generator.generators[0].iter)}  # it is evaluated at once anyway
        for node in own_nodes(generator):
            if id(node) in first:
                continue
            if isinstance(node, ast.NamedExpr):
                return True
            if isinstance(node, ast.Call):
                callees = self._kinds.callees.get(node) or {"unknown"}
                if any(self._may_act(callee, node) for callee in callees):
                    return True
        return False

    def _may_act(self, callee: Value, call: ast.Call) -> bool:
        if self._unfolding.colours.what(call)[0] != "plain":
            return True
        func = function_of(callee)
        if isinstance(func, Func):
            return True
        if isinstance(callee, Bound):
            return not (callee.receiver in ("str", "patch") or isinstance(callee.receiver, Box))
        return not (isinstance(callee, str) and callee.startswith(("builtin:", "prelude:", "class:", "module:math")))


def _only_builtin(callees: set[Value]) -> str | None:
    if len(callees) == 1:
        (value,) = callees
        if isinstance(value, str) and value.startswith("builtin:"):
            return value.removeprefix("builtin:")
    return None


def _gives_its_variable(node: ast.GeneratorExp) -> bool:
    only = node.generators[0]
    return (
        len(node.generators) == 1 and isinstance(only.target, ast.Name) and isinstance(node.elt, ast.Name)
        and only.target.id == node.elt.id and not any(isinstance(n, SCOPED) for c in only.ifs for n in walk(c))
    )  # fmt: skip


def _is_free(name: str, node: ast.GeneratorExp) -> bool:
    """Whether a filter's variable may have this name."""
    only = node.generators[0]
    own = isinstance(only.target, ast.Name) and only.target.id == name
    return own or not any(isinstance(n, ast.Name) and n.id == name for c in only.ifs for n in walk(c))


def _negated(node: ast.expr) -> ast.expr:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return inner
    return ast.UnaryOp(ast.Not(), node)


def _assigned(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _own_loop_nodes(body: list[ast.stmt]) -> list[ast.AST]:
    """The nodes of a loop's body whose `break` is the loop's."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        found.append(node)
        if isinstance(node, (ast.For, ast.While, ast.AsyncFor)):
            stack.extend(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            stack.extend(children(node))
    return found
