"""Writes `async def` and `await` where `colour` says so, and marks the call sites."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dicem_shared.functions import Registry

from ..types import CallSite, Diagnostic, Form, Parsed
from ..walking import copied, fields, walk
from .build import Words, await_of, is_repeatable, located, name_of
from .colour import Colours, called_functions, function_of
from .effects import called_names, is_pure, without_effects
from .kinds import Kinds
from .values import Func, Value, named
from .words import Remote

MAX_TEXT = 60


class Awaits:
    """One walk over a module whose colours are known."""

    def __init__(self, colours: Colours, functions: Registry, words: Words, parsed: Parsed) -> None:
        self.colours, self.functions, self.words, self._parsed = colours, functions, words, parsed
        self.found: list[tuple[ast.Await, CallSite]] = []
        self.started: list[tuple[ast.Call, CallSite]] = []
        """calls that the author starts, and awaits elsewhere"""
        self._here: Func | None = None
        has_helpers = any(f in colours.makes_calls for c in colours.kinds.callees.values() for f in _own(c))
        self._pure = without_effects(colours, functions) if has_helpers else set()
        self._reach = _functions_called(colours, functions) if has_helpers else {}
        self._in_generator = 0
        self._calling = _with_calls(colours)
        """the nodes with a call in them: no others change"""
        self._visits: dict[type[ast.AST], Callable[[Any], Any]] = {
            ast.FunctionDef: self._sync_function, ast.AsyncFunctionDef: self._async_function, ast.Lambda: self._lambda,
            ast.GeneratorExp: self._generator, ast.Await: self._await, ast.Call: self._call,
        }  # fmt: skip

    def run(self, tree: ast.Module) -> None:
        """Rewrite a module in place."""
        self._inside(tree)

    def visit(self, node: ast.AST) -> Any:
        """What stands there afterwards."""
        if node not in self._calling:
            return node
        return self._visits.get(node.__class__, self._inside)(node)

    def _inside(self, node: ast.AST) -> ast.AST:
        """Rewrite what is in a node."""
        for name in fields(node.__class__):
            value = getattr(node, name, None)
            if isinstance(value, list):
                value[:] = [part if part is None else self.visit(part) for part in value]
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    @property
    def kinds(self) -> Kinds:
        """What expressions can be."""
        return self.colours.kinds

    def sites(self) -> tuple[dict[ast.Await, CallSite], dict[ast.Call, CallSite]]:
        """The call sites, numbered as they stand in the source: those that are awaited, and those that are started."""
        every = [site for _, site in [*self.found, *self.started]]
        ordered = sorted(range(len(every)), key=lambda place: (every[place].line, every[place].column, place))
        numbers = {place: number for number, place in enumerate(ordered, start=1)}
        numbered = [replace(site, number=numbers[place]) for place, site in enumerate(every)]
        awaited = {node: site for (node, _), site in zip(self.found, numbered, strict=False)}
        started = numbered[len(self.found) :]
        return awaited, {node: site for (node, _), site in zip(self.started, started, strict=True)}

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

    def _sync_function(self, node: ast.FunctionDef) -> ast.AST:
        func = self.kinds.functions.get(node)
        self._outer_parts(node)
        self._body(node, func)
        if func not in self.colours.becomes_async:
            return node
        fields = {name: getattr(node, name) for name in node._fields}
        return ast.copy_location(ast.AsyncFunctionDef(**fields), node)

    def _async_function(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._outer_parts(node)
        self._body(node, self.kinds.functions.get(node))
        return node

    def _lambda(self, node: ast.Lambda) -> ast.AST:
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

    def _generator(self, node: ast.GeneratorExp) -> ast.AST:
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

    def _await(self, node: ast.Await) -> ast.AST:
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
            self._inside(call)
            if site is not None:
                self.found.append((node, site))
            return node
        self._inside(node)
        return node

    def _call(self, node: ast.Call) -> ast.AST:
        what, remote = self.colours.what(node) if self._may_await() else ("plain", None)
        match what:
            case "method" | "function":
                assert remote is not None
                site = self._remote(node, remote)
                self._inside(node)
                return self._awaited(node, site)
            case "maybe":
                assert remote is not None
                return self._maybe(node, remote)
            case "call_sync":
                site = self._called(node)
                self._inside(node)
                call = ast.Attribute(self.words.name("hermod"), "call", ast.Load())
                node.func = located(call, node.func)
                return self._awaited(node, site)
            case "run":
                self._inside(node)
                return await_of(node.args[0], node) if len(node.args) == 1 and not node.keywords else node
            case "helper":
                site = self._helper(node)
                self._inside(node)
                return self._awaited(node, site)
            case "settle":
                site = self._helper(node)
                self._inside(node)
                return self._settled(node, site)
        if self.kinds.callees.get(node) == {"module:hermod.call"}:
            self.started.append((node, self._called(node)))
        self._inside(node)
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
            first = self.visit(copied(receiver))
        else:
            bound = name_of(self.words.fresh(remote.owner.lower()), receiver)
            first = located(ast.NamedExpr(ast.Name(bound.id, ast.Store()), self.visit(receiver)), receiver)
            node.func.value = bound
        other = copied(node)
        for old, new in zip(walk(node), walk(other), strict=True):
            self.kinds.same(old, new)
            if old in self._calling:
                self._calling.add(new)
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


def _with_calls(colours: Colours) -> set[ast.AST]:
    found: set[ast.AST] = set()
    for node, parent in colours.parents.items():
        if isinstance(node, (ast.Call, ast.Await)) and node not in found:
            found.add(node)
            outer: ast.AST | None = parent
            while outer is not None and outer not in found:
                found.add(outer)
                outer = colours.parents.get(outer)
    return found


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
    callers: dict[Func, list[Func]] = {}
    for func, inner in runs.items():
        for called in inner:
            callers.setdefault(called, []).append(func)
    stack = list(reach)
    while stack:
        called = stack.pop()
        for func in callers.get(called, ()):
            if not reach[called] <= reach[func]:
                reach[func] |= reach[called]
                stack.append(func)
    return reach
