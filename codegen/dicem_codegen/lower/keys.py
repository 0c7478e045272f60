"""Functions that make calls where the interpreter would call them itself: keys, `map`, `filter`, and lambdas.

Keys are computed before, one an element, in order: `min(items, key=lambda _: next(keys))`.
"""

from __future__ import annotations

import ast
from functools import cached_property
from typing import Final

from ..walking import copied, walk
from .build import located, name_of
from .colour import called_functions, function_of
from .loops import Renaming, moved_names, reads
from .refused import Refusals
from .scopes import Scope
from .unfold import Place, Plan, Replacement, Unfolding
from .values import NUMBERS, Bound, Box, Func, Value, named
from .words import FUNCTIONS as REMOTE_FUNCTIONS
from .words import METHODS

_KEYED: Final = ("min", "max", "sorted")
_HARMLESS: Final = frozenset(
    {"append", "insert", "add", "setdefault", "get", "pop", "remove", "index", "count", "extend", "update"}
)


class Callbacks:
    """What a function does that is handed to a builtin; `map` and `filter` as generator expressions."""

    def __init__(self, unfolding: Unfolding) -> None:
        self._unfolding = unfolding
        self._made: dict[ast.Call, ast.GeneratorExp | None] = {}

    def makes_calls(self, node: ast.expr) -> bool:
        """Whether calling what the expression evaluates to may make calls."""
        return any(self._calls(value) for value in self._unfolding.kinds.values_of(node))

    def _calls(self, value: Value) -> bool:
        func = function_of(value)
        if func is not None:
            return func in self._unfolding.colours.makes_calls
        if isinstance(value, Bound):
            return value.name in METHODS and value.receiver in ("patch", "video", "class:ImagePatch", "unknown")
        return named(value, "prelude") in REMOTE_FUNCTIONS or value == "module:hermod.call_sync"

    def as_generator(self, node: ast.Call) -> ast.GeneratorExp | None:
        """`map(f, items)` as `(f(x) for x in items)`, where `f` is a function of the program or makes calls."""
        if node not in self._made:
            self._made[node] = self._generator(node)
        return self._made[node]

    def _generator(self, node: ast.Call) -> ast.GeneratorExp | None:
        kinds = self._unfolding.kinds
        callees = kinds.callees.get(node, set())
        if callees not in ({"builtin:map"}, {"builtin:filter"}) or len(node.args) < 2 or node.keywords:
            return None
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return None
        function, *sources = node.args
        values = kinds.values_of(function)
        if not (self.makes_calls(function) or any(isinstance(value, Func) for value in values)):
            return None
        is_map = callees == {"builtin:map"}
        if not is_map and len(sources) != 1:
            return None
        names, call = self.applied(function, len(sources), node)
        if len(sources) > 1:
            target: ast.expr = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
            source: ast.expr = ast.Call(self._unfolding.words.name("zip"), list(sources), [])
        else:
            target, source = ast.Name(names[0], ast.Store()), sources[0]
        conditions = [] if is_map else [call]
        elt = call if is_map else name_of(names[0])
        made = ast.GeneratorExp(elt, [ast.comprehension(target, source, conditions, 0)])
        self._enter(located(made, node), function, node)
        return made

    def applied(self, function: ast.expr, count: int, like: ast.AST) -> tuple[list[str], ast.expr]:
        """Names for arguments, and what a call of the function with these is."""
        match function:
            case ast.Lambda(args=arguments) if is_simple(function, count):
                return [a.arg for a in arguments.args], function.body
            case ast.Attribute(value=ast.Name(id="ImagePatch"), attr=name) if name in METHODS and count == 1:
                item = self._unfolding.words.fresh("patch")
                called = ast.Call(ast.Attribute(name_of(item), name, ast.Load()), [], [])
                return [item], located(called, like)
        names = [self._unfolding.words.fresh("item") for _ in range(count)]
        call = located(ast.Call(function, [name_of(name) for name in names], []), like)
        self._unfolding.kinds.callees[call] = set(self._unfolding.kinds.values_of(function))
        return names, call

    def _enter(self, made: ast.GeneratorExp, function: ast.expr, node: ast.Call) -> None:
        """Say of the new nodes what is known of what they stand for."""
        kinds = self._unfolding.kinds
        scopes = kinds.scopes
        outer = scopes.of.get(node) or _scope_of(function, node, scopes.of) or scopes.module
        if isinstance(function, ast.Lambda) and is_simple(function, len(function.args.args)):
            scope = scopes.inside[function]
            scope.node = made
        else:
            scope = Scope(made, outer)
            scope.bound = {n.id for n in walk(made.generators[0].target) if isinstance(n, ast.Name)}
        scopes.inside[made] = scope
        scopes.of[made] = outer
        for part in [made.generators[0].target, made.elt, *made.generators[0].ifs]:
            for name in walk(part):
                if isinstance(name, ast.Name) and name not in scopes.of:
                    scopes.of[name] = scope
        results = {result for value in kinds.values_of(node) if isinstance(value, Box) for result in value.items}
        kinds.say(made.elt, results)


def _scope_of(function: ast.expr, node: ast.Call, of: dict[ast.AST, Scope]) -> Scope | None:
    for part in [*walk(function), *walk(node)]:
        if part in of:
            return of[part]
    return None


def is_simple(node: ast.expr, count: int) -> bool:
    """A lambda whose body may stand where it would be called: so many plain parameters, and no `:=`."""
    if not isinstance(node, ast.Lambda):
        return False
    arguments = node.args
    plain = not (arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
    binds = any(isinstance(part, ast.NamedExpr) for part in walk(node.body))
    return plain and not arguments.defaults and len(arguments.args) == count and not binds


class Keys:
    """The planner for keys and lambdas."""

    statements: frozenset[type[ast.stmt]] = frozenset({ast.Assign})

    def __init__(self, unfolding: Unfolding, refuse: Refusals, callbacks: Callbacks) -> None:
        self._unfolding, self._refuse, self._callbacks = unfolding, refuse, callbacks
        self._kinds, self._words = unfolding.kinds, unfolding.words

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind in (ast.Call, ast.Lambda)

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """What becomes of calls with a `key` that makes calls, and of lambdas that do."""
        if isinstance(node, ast.Call):
            return self._call(node, place)
        if isinstance(node, ast.Lambda) and (self._callbacks.makes_calls(node) or node in self._beside):
            return self._lambda(node, place)
        return None

    @cached_property
    def _beside(self) -> set[ast.AST]:
        """Lambdas that are called where others are that make calls: `dispatch` tells them apart by name."""
        acting = self._unfolding.colours.makes_calls
        return {
            value.node
            for callees in self._kinds.callees.values()
            if len(callees) > 1 and any(function_of(value) in acting for value in callees)
            for value in callees
            if isinstance(value, Func)
        }

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """`f = lambda x: ...` is `def f(x): return ...`."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                if self._callbacks.makes_calls(value):
                    return [self._definition(name, value)]
        return None

    def _definition(self, name: str, node: ast.Lambda) -> ast.FunctionDef:
        body = located(ast.Return(node.body), node.body)
        made = located(ast.FunctionDef(name, node.args, [body], [], None), node)
        scopes = self._kinds.scopes
        scopes.inside[made] = scopes.inside[node]
        scopes.inside[made].node = made
        return made

    def _lambda(self, node: ast.Lambda, place: Place) -> Plan | None:
        """A function before the statement, where nothing that it means is bound in between."""
        around = moved_names(place.scope, place.function)
        defaults = [*node.args.defaults, *[d for d in node.args.kw_defaults if d is not None]]
        if around & reads(node.body) or not all(self._unfolding.inert(default) for default in defaults):
            return None  # it stays, and its calls are synchronous
        if isinstance(place.parent, ast.keyword) or self._is_callback(place):
            return None

        def inline(name: str) -> list[ast.stmt]:
            return [self._definition(name, node)]

        return Plan("lambda", inline, None)

    def _is_callback(self, place: Place) -> bool:
        """Whether it is handed to a builtin that calls it; the call says what becomes of it."""
        if not isinstance(place.parent, ast.Call):
            return False
        return self._kinds.callees.get(place.parent, set()) <= {"builtin:map", "builtin:filter"}

    # Keys

    def _call(self, node: ast.Call, place: Place) -> Replacement | None:
        callees = self._kinds.callees.get(node, set())
        key = next((keyword for keyword in node.keywords if keyword.arg == "key"), None)
        if key is None or not self._callbacks.makes_calls(key.value):
            self._check(node, callees)
            return None
        name = next(iter(callees)) if len(callees) == 1 else None
        if isinstance(name, str) and name.removeprefix("builtin:") in _KEYED and name.startswith("builtin:"):
            return self._keyed(node, key, name.removeprefix("builtin:"), place)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
            return self._sort(node, key, place)
        self._refuse(key.value, "callback")

    def _check(self, node: ast.Call, callees: set[Value]) -> None:
        """Refuse to hand a function that makes calls to code that calls it and cannot wait."""
        for argument in [*node.args, *[keyword.value for keyword in node.keywords]]:
            funcs = [f for v in self._kinds.values_of(argument) if (f := function_of(v)) is not None]
            if not any(f in self._unfolding.colours.makes_calls and not f.is_async for f in funcs):
                continue
            for callee in callees:
                is_own = function_of(callee) is not None or list(called_functions({callee}, self._kinds))
                harmless = isinstance(callee, Bound) and callee.name in _HARMLESS
                known = callee in ("builtin:map", "builtin:filter", "builtin:print", "builtin:isinstance")
                if not (is_own or harmless or known):
                    self._refuse(argument, "callback")

    def _items(self, node: ast.Call) -> ast.expr:
        if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
            return node.args[0]
        if any(isinstance(argument, ast.Starred) for argument in node.args) or not node.args:
            self._refuse(node, "callback")
        return located(ast.List(node.args, ast.Load()), node)

    def _keyed(self, node: ast.Call, key: ast.keyword, name: str, place: Place) -> Plan:
        source = self._items(node)
        others = [keyword for keyword in node.keywords if keyword is not key]
        stepwise = name != "sorted" and not self._are_comparable(key.value)

        def inline(result: str) -> list[ast.stmt]:
            made: list[ast.stmt] = []
            items = self._kept(source, made)
            made += self._kept_options(others)
            if stepwise:
                return made + self._steps(result, items, key.value, name, others, node)
            keys = self._words.fresh("keys")
            made.append(_assigned(keys, self._walk(key.value, items, made)))
            node.args, key.value = [items], located(self._given(keys), key.value)
            return made

        def chosen(result: str) -> ast.expr:
            return name_of(result) if stepwise else node

        def body() -> list[ast.stmt]:
            result = self._words.fresh("result")
            return [*inline(result), ast.Return(chosen(result))]

        return Plan(name, inline, body, chosen)

    def _kept_options(self, keywords: list[ast.keyword]) -> list[ast.stmt]:
        """Other arguments are evaluated before the first key."""
        made: list[ast.stmt] = []
        for keyword in keywords:
            if not self._unfolding.inert(keyword.value):
                kept = self._words.fresh(keyword.arg or "options")
                made.append(_assigned(kept, keyword.value))
                keyword.value = name_of(kept)
        return made

    def _reads(self, key: ast.expr, receiver: ast.expr) -> bool:
        """Whether a key may look at the list that is being sorted."""
        lists = {value for value in self._kinds.values_of(receiver) if isinstance(value, Box)}
        funcs = [f for value in self._kinds.values_of(key) if (f := function_of(value)) is not None]
        bodies: list[ast.AST] = [func.node for func in funcs]
        return not lists or any(
            isinstance(node, ast.expr) and bool(lists & self._kinds.values_of(node))
            for body in bodies for node in walk(body)
        )  # fmt: skip

    def _while_empty(self, keys: str, key: ast.expr, items: ast.expr) -> list[ast.stmt]:
        """A list that is being sorted is empty for those that look."""
        kept = self._words.fresh("items")
        made = [_assigned(kept, ast.Call(self._words.name("list"), [copied(items)], []))]
        clear = ast.Expr(ast.Call(ast.Attribute(copied(items), "clear", ast.Load()), [], []))
        computed = _assigned(keys, self._walk(key, name_of(kept), made))
        whole = ast.Subscript(copied(items), ast.Slice(), ast.Store())
        return [*made, clear, ast.Try([computed], [], [], [ast.Assign([whole], name_of(kept))])]

    def _kept(self, source: ast.expr, made: list[ast.stmt]) -> ast.expr:
        """The items, by a name, as something that can be walked twice."""
        again = self._kinds.never_iterator(source)
        if isinstance(source, ast.Name) and again:
            return source
        name = self._words.fresh("items")
        as_list = source if again else ast.Call(self._words.name("list"), [source], [])
        made.append(_assigned(name, located(as_list, source)))
        return name_of(name)

    def _walk(self, key: ast.expr, items: ast.expr, made: list[ast.stmt]) -> ast.expr:
        """`iter([key(x) for x in items])`."""
        if not isinstance(key, (ast.Lambda, ast.Name)) or (isinstance(key, ast.Lambda) and not is_simple(key, 1)):
            if not isinstance(key, ast.Attribute):
                name = self._words.fresh("key")
                made.append(self._definition(name, key) if isinstance(key, ast.Lambda) else _assigned(name, key))
                key = name_of(name)
        (item,), call = self._callbacks.applied(key, 1, key)
        target = ast.Name(item, ast.Store())
        walked = ast.ListComp(call, [ast.comprehension(target, copied(items), [], 0)])
        scopes = self._kinds.scopes
        if isinstance(key, ast.Lambda):
            scope = scopes.inside[walked] = scopes.inside[key]
            scope.node = walked
        else:
            scopes.inside[walked] = Scope(walked, scopes.module, {item})
        return located(ast.Call(self._words.name("iter"), [walked], []), key)

    def _given(self, keys: str) -> ast.expr:
        """`lambda _: next(keys)`."""
        arguments = ast.arguments([], [ast.arg("_")], None, [], [], None, [])
        return ast.Lambda(arguments, ast.Call(self._words.name("next"), [name_of(keys)], []))

    def _are_comparable(self, key: ast.expr) -> bool:
        """Whether comparing the keys cannot fail, so that it does not matter that all are computed before."""
        results: set[Value] = set()
        for value in self._kinds.values_of(key):
            func = function_of(value)
            if func is not None:
                results |= func.returns
            elif isinstance(value, Bound) and value.name == "compute_depth":
                results.add("float")
            else:
                results.add("unknown")
        return bool(results) and _are_ordered(results, 0)

    def _steps(
        self, result: str, items: ast.expr, key: ast.expr, name: str, others: list[ast.keyword], like: ast.AST
    ) -> list[ast.stmt]:
        """One key after the other, each compared at once, as `min` and `max` do it."""
        made: list[ast.stmt] = []
        keys = self._walk(key, items, made)
        assert isinstance(keys, ast.Call)
        assert isinstance(keys.args[0], ast.ListComp)
        computed = keys.args[0]
        item = computed.generators[0].target
        assert isinstance(item, ast.Name)
        each, value, best = (self._words.fresh(stem) for stem in (item.id.strip("_") or "item", "key", "best"))
        if isinstance(key, ast.Lambda):
            scope = self._kinds.scopes.inside[computed]
            Renaming(self._kinds.scopes, scope, {item.id: each}).visit(computed.elt)
        else:
            for part in walk(computed.elt):
                if isinstance(part, ast.Name) and part.id == item.id:
                    part.id = each
        op = ast.Lt() if name == "min" else ast.Gt()
        so_far = ast.Subscript(name_of(best), ast.Constant(0), ast.Load())
        test = ast.BoolOp(
            ast.Or(), [ast.UnaryOp(ast.Not(), name_of(best)), ast.Compare(name_of(value), [op], [so_far])]
        )
        pair = ast.List([name_of(value), name_of(each)], ast.Load())
        step: list[ast.stmt] = [_assigned(value, computed.elt), ast.If(test, [_assigned(best, pair)], [])]
        chosen = ast.Subscript(name_of(best), ast.Constant(1), ast.Load())
        default = next((keyword.value for keyword in others if keyword.arg == "default"), None)
        empty: ast.expr = (
            default if default is not None else ast.Call(self._words.name(name), [ast.List([], ast.Load())], [])
        )
        picked = ast.IfExp(name_of(best), chosen, empty)
        walked = ast.For(ast.Name(each, ast.Store()), items, step, [])
        return [*made, _assigned(best, ast.List([], ast.Load())), located(walked, like), _assigned(result, picked)]

    def _sort(self, node: ast.Call, key: ast.keyword, place: Place) -> Plan:
        assert isinstance(node.func, ast.Attribute)
        receiver = node.func.value

        def inline(result: str) -> list[ast.stmt]:
            made: list[ast.stmt] = []
            items: ast.expr = receiver
            if not isinstance(receiver, ast.Name):
                kept = self._words.fresh("items")
                made.append(_assigned(kept, receiver))
                items = name_of(kept)
            made += self._kept_options([keyword for keyword in node.keywords if keyword is not key])
            keys = self._words.fresh("keys")
            if self._reads(key.value, receiver):
                made += self._while_empty(keys, key.value, items)
            else:
                made.append(_assigned(keys, self._walk(key.value, items, made)))
            assert isinstance(node.func, ast.Attribute)
            node.func.value, key.value = copied(items), located(self._given(keys), key.value)
            return made

        def body() -> list[ast.stmt]:
            return [*inline(""), ast.Return(node)]

        return Plan("sort", inline, body, lambda _: node)


def _are_ordered(values: set[Value], depth: int) -> bool:
    """Whether any two of these can be compared with `<`."""
    if values <= NUMBERS or values == {"str"}:
        return True
    boxes = [value for value in values if isinstance(value, Box)]
    if len(boxes) != len(values) or depth > 3:
        return False
    shapes = {len(box.fields) for box in boxes if box.kind == "tuple" and box.fields is not None}
    if len(shapes) != 1 or any(box.kind != "tuple" or box.fields is None for box in boxes):
        return False
    columns = [set().union(*[box.fields[i] for box in boxes if box.fields]) for i in range(shapes.pop())]
    return all(_are_ordered(column, depth + 1) for column in columns)


def _assigned(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)
