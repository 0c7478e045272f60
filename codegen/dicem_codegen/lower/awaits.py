"""Writes `async def` and `await` where `colour` says so, and marks the call sites."""

from __future__ import annotations

import ast
import copy
from dataclasses import replace

from dicem_shared.functions import Registry

from ..types import CallSite, Diagnostic, Form, Parsed
from .build import Words, await_of, is_repeatable, located, name_of
from .colour import Colours, called_functions, function_of
from .effects import called_names, is_pure, without_effects
from .kinds import Kinds
from .values import Func, Value, named
from .walking import walk
from .words import Remote

MAX_TEXT = 60


class Awaits(ast.NodeTransformer):
    """One walk over a module whose colours are known."""

    def __init__(self, colours: Colours, functions: Registry, words: Words, parsed: Parsed) -> None:
        self.colours, self.functions, self.words, self._parsed = colours, functions, words, parsed
        self.found: list[tuple[ast.Await, CallSite]] = []
        self._here: Func | None = None
        has_helpers = any(f in colours.makes_calls for c in colours.kinds.callees.values() for f in _own(c))
        self._pure = without_effects(colours, functions) if has_helpers else set()
        self._reach = _functions_called(colours, functions) if has_helpers else {}
        self._in_generator = 0

    @property
    def kinds(self) -> Kinds:
        """What expressions can be."""
        return self.colours.kinds

    def sites(self) -> dict[ast.Await, CallSite]:
        """The call sites, numbered as they stand in the source."""
        ordered = sorted(enumerate(self.found), key=lambda f: (f[1][1].line, f[1][1].column, f[0]))
        numbers = {id(node): number for number, (_, (node, _)) in enumerate(ordered, start=1)}
        return {node: replace(site, number=numbers[id(node)]) for node, site in self.found}

    def notes(self) -> list[Diagnostic]:
        """What stays synchronous although it makes calls, and why."""
        found = []
        for func, why in self.colours.stays_sync.items():
            if func in self.colours.makes_calls:
                name = "a lambda" if isinstance(func.node, ast.Lambda) else func.node.name
                message = f"the calls in {name} are made one after the other: {why}"
                found.append(self._parsed.say(func.node, "note", "serial", message))
        return sorted(found)

    # Definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        func = self.kinds.functions.get(node)
        self._outer_parts(node)
        self._body(node, func)
        if func not in self.colours.becomes_async:
            return node
        fields = {name: getattr(node, name) for name in node._fields}
        return ast.copy_location(ast.AsyncFunctionDef(**fields), node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._outer_parts(node)
        self._body(node, self.kinds.functions.get(node))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.visit(node.args)
        here, self._here = self._here, None
        node.body = self.visit(node.body)
        self._here = here
        return node

    def _outer_parts(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit(node.args)
        node.decorator_list = [self.visit(part) for part in node.decorator_list]

    def _body(self, node: ast.FunctionDef | ast.AsyncFunctionDef, func: Func | None) -> None:
        here, self._here = self._here, func
        node.body = [self.visit(statement) for statement in node.body]
        self._here = here

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        node.generators[0].iter = self.visit(node.generators[0].iter)
        self._in_generator += 1
        for position, generator in enumerate(node.generators):
            if position:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(part) for part in generator.ifs]
        node.elt = self.visit(node.elt)
        self._in_generator -= 1
        return node

    def _may_await(self) -> bool:
        func = self._here
        if func is None or self._in_generator or func in self.colours.stays_sync:
            return False
        return func.is_async or func in self.colours.becomes_async

    # Calls

    def visit_Await(self, node: ast.Await) -> ast.AST:
        if isinstance(node.value, ast.Call):
            call = node.value
            callees = self.kinds.callees.get(call, set())
            called = [f for f in called_functions(callees, self.kinds) if f.is_async]
            names = {named(value, "module") for value in callees}
            site = None
            if names == {"hermod.call"}:
                site = self._called(call)
            elif called and len(called) == len(callees):
                site = self._helper(call)
            self.generic_visit(call)
            if site is not None:
                self.found.append((node, site))
            return node
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        what, remote = self.colours.what(node) if self._may_await() else ("plain", None)
        match what:
            case "method" | "function":
                assert remote is not None
                site = self._remote(node, remote)
                self.generic_visit(node)
                return self._awaited(node, site)
            case "maybe":
                assert remote is not None
                return self._maybe(node, remote)
            case "call_sync":
                site = self._called(node)
                self.generic_visit(node)
                call = ast.Attribute(self.words.name("hermod"), "call", ast.Load())
                node.func = located(call, node.func)
                return self._awaited(node, site)
            case "run":
                self.generic_visit(node)
                return await_of(node.args[0], node) if len(node.args) == 1 and not node.keywords else node
            case "helper":
                site = self._helper(node)
                self.generic_visit(node)
                return self._awaited(node, site)
            case "settle":
                site = self._helper(node)
                self.generic_visit(node)
                return self._settled(node, site)
        self.generic_visit(node)
        return node

    def _awaited(self, call: ast.Call, site: CallSite) -> ast.Await:
        node = await_of(call, call)
        self.found.append((node, site))
        return node

    def _settled(self, call: ast.Call, site: CallSite) -> ast.Await:
        helper = self.words.helper("settled")
        return self._awaited(located(ast.Call(name_of(helper), [call], []), call), site)

    def _maybe(self, node: ast.Call, remote: Remote) -> ast.expr:
        """Awaited if the receiver has the remote method, else what stands there.  The receiver is evaluated once."""
        assert isinstance(node.func, ast.Attribute)
        site = self._remote(node, remote)
        callees = self.kinds.callees.get(node, set())
        has_own = any(f in self.colours.becomes_async for f in called_functions(callees, self.kinds))
        own = self._helper(node) if has_own else None
        receiver: ast.expr = node.func.value
        first: ast.expr
        if is_repeatable(receiver):
            first = self.visit(copy.deepcopy(receiver))
        else:
            bound = name_of(self.words.fresh(remote.owner.lower()), receiver)
            first = located(ast.NamedExpr(ast.Name(bound.id, ast.Store()), self.visit(receiver)), receiver)
            node.func.value = bound
        other = copy.deepcopy(node)
        for old, new in zip(walk(node), walk(other), strict=True):
            self.kinds.same(old, new)
        for call in (node, other):
            call.args = [self.visit(argument) for argument in call.args]
            for keyword in call.keywords:
                keyword.value = self.visit(keyword.value)
        test = ast.Call(self.words.name("isinstance"), [first, self.words.name(remote.owner)], [])
        otherwise: ast.expr = other if own is None else self._settled(other, own)
        return located(ast.IfExp(located(test, node), self._awaited(node, site), otherwise), node)

    # What stands in a site

    def _site(self, node: ast.Call, form: Form, name: str, functions: tuple[str, ...], pure: bool) -> CallSite:
        text = ast.unparse(node)
        text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
        return CallSite(0, *self._parsed.place(node), form, name, functions, pure, text)

    def _remote(self, node: ast.Call, remote: Remote) -> CallSite:
        pure = all(is_pure(name, self.functions) for name in remote.functions)
        return self._site(node, "method" if remote.owner else "function", remote.name, remote.functions, pure)

    def _called(self, node: ast.Call) -> CallSite:
        names = called_names(node, self.functions)
        pure = all(is_pure(name, self.functions) for name in names)
        return self._site(node, "call", names[0] if len(names) == 1 else "call", names, pure)

    def _helper(self, node: ast.Call) -> CallSite:
        called = list(called_functions(self.kinds.callees.get(node, set()), self.kinds))
        functions = sorted({name for func in called for name in self._reach.get(func, ())})
        name = min((f.node.name for f in called if not isinstance(f.node, ast.Lambda)), default="call")
        return self._site(node, "helper", name, tuple(functions), all(func in self._pure for func in called))


def _own(callees: set[Value]) -> list[Func]:
    return [func for value in callees if (func := function_of(value)) is not None]


def _functions_called(colours: Colours, functions: Registry) -> dict[Func, set[str]]:
    """For each function of the program, the functions that it may call, directly or through others."""
    reach: dict[Func, set[str]] = {}
    runs: dict[Func, set[Func]] = {}
    for call, callees in colours.kinds.callees.items():
        func = colours.owner(call)
        if func is None:
            continue
        mine = reach.setdefault(func, set())
        runs.setdefault(func, set()).update(called_functions(callees, colours.kinds))
        _what, remote = colours.what(call)
        if remote is not None:
            mine |= set(remote.functions)
        elif any((named(value, "module") or "").startswith("hermod.call") for value in callees):
            mine |= set(called_names(call, functions))
    changed = True
    while changed:
        changed = False
        for func, inner in runs.items():
            before = len(reach[func])
            for called in inner:
                reach[func] |= reach.get(called, set())
            changed |= len(reach[func]) != before
    return reach
