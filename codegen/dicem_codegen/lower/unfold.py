"""Takes expressions apart that the runner's language cannot hold: into statements before their statement.

An expression that is evaluated once and before anything else in its statement that matters becomes statements before
it.  Elsewhere it becomes a nested function, which is called where the expression stood.  What is to become of which
expression is said by planners (`lazy`, `keys`); here is how it is put in place.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from ..walking import children, walk
from .build import Words, located, name_of
from .colour import Colours
from .kinds import Kinds
from .loops import Names, moved_names, reads
from .order import Inertness, is_first, parts
from .scopes import Scope, own_nodes

STEPS = 50
"""So many statements, for each statement and call of the program, are more than any of them becomes."""


@dataclass
class Plan:
    """What becomes of an expression."""

    stem: str
    """for the name of the result or of the function"""
    inline: Callable[[str], list[ast.stmt]] | None
    """the statements that assign the result to the name; None if there must be a function"""
    body: Callable[[], list[ast.stmt]] | None
    """the statements of a function that returns the result; None if there must be none"""
    result: Callable[[str], ast.expr] = name_of
    """what stands in the place of the expression after the inline statements"""
    arguments: list[tuple[str, ast.expr]] = field(default_factory=list)
    """what the function is given, and by what names"""


@dataclass
class Place:
    """Where an expression stands."""

    scope: Scope
    """the innermost scope, of a comprehension perhaps"""
    function: Scope
    """the function whose body it is"""
    parent: ast.AST
    statement: ast.stmt


Replacement = ast.expr | Plan


class Planner(Protocol):
    """Says what becomes of expressions and statements."""

    statements: frozenset[type[ast.stmt]]
    """which kinds of statements it looks at"""

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Whether it looks at expressions of this kind in nodes of that kind."""

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """What to do with an expression; None leaves it.

        :raises CompileError: it cannot be said
        """

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """What to write for a statement; None leaves it."""


class Unfolding:
    """One walk over a module."""

    def __init__(self, tree: ast.Module, colours: Colours, words: Words) -> None:
        self.tree, self.colours, self.words = tree, colours, words
        self.planners: list[Planner] = []
        self.nodes = walk(tree)
        """all that there was at first"""
        self.attributes_set = frozenset(
            n.attr for n in self.nodes if n.__class__ is ast.Attribute and not isinstance(n.ctx, ast.Load)
        )
        self._function = colours.kinds.scopes.module
        self._sure: set[str] = set()
        self.changed = False
        """whether anything was put in place of something"""
        self._steps = 0
        self._enough = STEPS * (1 + sum(isinstance(node, (ast.stmt, ast.Call)) for node in self.nodes))
        self._unsure = _unsure_names(self.nodes)
        self._caring: dict[tuple[type[ast.AST], type[ast.AST]], list[Planner]] = {}
        self.inert = Inertness(colours.kinds, self._is_sure, self.attributes_set)

    @property
    def kinds(self) -> Kinds:
        """What expressions can be."""
        return self.colours.kinds

    @cached_property
    def names(self) -> Names:
        """The names that functions use themselves."""
        return Names(self.kinds.scopes, self.words.fresh)

    def run(self) -> None:
        """Rewrite the module in place."""
        self.tree.body = self.block(self.tree.body, set())

    def _is_sure(self, node: ast.Name) -> bool:
        here = self.kinds.scopes.of.get(node)
        holder = here.where(node.id) if here is not None else None
        if here is not None and holder is None:
            return True  # a builtin or a word of the prelude
        return node.id in self._sure and node.id not in self._unsure

    # Statements

    def block(self, statements: list[ast.stmt], sure: set[str]) -> list[ast.stmt]:
        """Rewrite statements in a row; `sure`: names that are bound before them for certain."""
        outer, self._sure = self._sure, set(sure)
        done: list[ast.stmt] = []
        for statement in statements:
            for made in self._statement(statement):
                done.append(made)
            self._sure |= _binds(statement)
        self._sure = outer
        return done

    def _statement(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        self._step()
        for planner in self.planners:
            if statement.__class__ not in planner.statements:
                continue
            made = planner.statement(statement, self._function)
            if made is not None:
                self.changed = True
                for part in made:
                    yield from self._statement(part)
                    self._sure |= _binds(part)
                return
        while (found := self._next(statement)) is not None:
            self._step()
            self.changed = True
            node, replacement, place = found
            if isinstance(replacement, ast.expr):
                replace(statement, node, replacement)
                continue
            for part in self._put(statement, node, replacement, place):
                yield from self._statement(part)
                self._sure |= _binds(part)
        self._inner_blocks(statement)
        yield statement

    def _step(self) -> None:
        """Count what is put in place, so that planners that never have enough are noticed."""
        self._steps += 1
        assert self._steps < self._enough, "unfolding does not end"

    def _put(self, statement: ast.stmt, node: ast.expr, plan: Plan, place: Place) -> list[ast.stmt]:
        """Put a plan in place; the statements that must come before."""
        if plan.inline is not None and (plan.body is None or is_first(statement, node, self.inert)):
            name = self.words.fresh(plan.stem)
            before = plan.inline(name)
            made = plan.result(name)
            if made is not node:
                self.kinds.say(made, self.kinds.values_of(node))
                replace(statement, node, located(made, node))
            self._sure.add(name)
            return [located(part, node) for part in before]
        assert plan.body is not None
        return [self._as_function(statement, node, plan, place)]

    def _as_function(self, statement: ast.stmt, node: ast.expr, plan: Plan, place: Place) -> ast.stmt:
        name = self.words.fresh(plan.stem)
        body = plan.body() if plan.body is not None else []
        around = moved_names(place.scope, self._function)
        given = {argument for argument, _ in plan.arguments}
        wanted = sorted((around & set().union(*[reads(part) for part in body])) - given)
        parameters = [*wanted, *[argument for argument, _ in plan.arguments]]
        values = [*[name_of(w) for w in wanted], *[value for _, value in plan.arguments]]
        outer = _rebound_outside(body)
        for name_outside in sorted(outer):
            is_global = self._function.where(name_outside) in (self._function.module, None)
            body = [(ast.Global if is_global else ast.Nonlocal)([name_outside]), *body]
        arguments = ast.arguments([], [ast.arg(p) for p in parameters], None, [], [], None, [])
        definition = ast.FunctionDef(name, arguments, body, [], None)
        call = ast.Call(name_of(name), values, [])
        self.kinds.say(call, self.kinds.values_of(node))
        replace(statement, node, located(call, node))
        return located(definition, node)

    def _inner_blocks(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._definition(statement)
            return
        inside = set(self._sure)
        if isinstance(statement, (ast.For, ast.AsyncFor)):
            inside |= {n.id for n in walk(statement.target) if isinstance(n, ast.Name)}
        if isinstance(statement, ast.ClassDef):
            outer, self._function = self._function, self.kinds.scopes.inside.get(statement, self._function)
            statement.body = self.block(statement.body, set())
            self._function = outer
            return
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(statement, name, None)
            if isinstance(inner, list) and inner:
                setattr(statement, name, self.block(inner, inside if name == "body" else self._sure))
        for handler in getattr(statement, "handlers", []):
            handler.body = self.block(handler.body, self._sure)
        for case in getattr(statement, "cases", []):
            case.body = self.block(case.body, self._sure)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, sure, unsure = self._function, self._sure, self._unsure
        self._function = self.kinds.scopes.inside.get(node, outer)
        arguments = node.args
        names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        node.body = self.block(node.body, names)
        self._function, self._sure, self._unsure = outer, sure, unsure

    # Expressions

    def _next(self, statement: ast.stmt) -> tuple[ast.expr, Replacement, Place] | None:
        """The first expression of the statement, outer ones first, for which there is a plan."""
        for root in expressions(statement):
            for node, parent, scope in self._walk(root, statement, self._function):
                planners = self._planners_for(node.__class__, parent.__class__)
                place = Place(scope, self._function, parent, statement) if planners else None
                for planner in planners:
                    assert place is not None
                    replacement = planner.expression(node, place)
                    if replacement is not None:
                        return node, replacement, place
        return None

    def _planners_for(self, kind: type[ast.AST], parent: type[ast.AST]) -> list[Planner]:
        found = self._caring.get((kind, parent))
        if found is None:
            found = self._caring[kind, parent] = [each for each in self.planners if each.cares(kind, parent)]
        return found

    def _walk(self, node: ast.expr, parent: ast.AST, scope: Scope) -> Iterator[tuple[ast.expr, ast.AST, Scope]]:
        stack = [(node, parent, scope)]
        while stack:
            found = stack.pop()
            yield found
            node, _, scope = found
            always, sometimes = parts(node)
            if sometimes:
                inner = self.kinds.scopes.inside.get(node, scope)
                stack += [(part, node, inner) for part in reversed(sometimes)]
            stack += [(part, node, scope) for part in reversed(always)]


def expressions(statement: ast.stmt) -> list[ast.expr]:
    """The expressions of a statement that are not those of statements in it."""
    found: list[ast.expr] = []
    for child in children(statement):
        if isinstance(child, ast.expr):
            found.append(child)
        elif isinstance(child, ast.withitem):
            found.append(child.context_expr)
        elif isinstance(child, ast.ExceptHandler) and child.type is not None:
            found.append(child.type)
        elif isinstance(child, ast.match_case) and child.guard is not None:
            found.append(child.guard)
        elif isinstance(child, ast.arguments):
            found += [*child.defaults, *[d for d in child.kw_defaults if d is not None]]
        elif isinstance(child, ast.keyword):
            found.append(child.value)
    if isinstance(statement, ast.Assign):
        return [statement.value, *statement.targets]
    return found


def replace(statement: ast.AST, old: ast.expr, new: ast.expr) -> bool:
    """Put `new` where `old` stands; False if it is not in there."""
    for name, value in ast.iter_fields(statement):
        if value is old:
            setattr(statement, name, new)
            return True
        if isinstance(value, list):
            for position, part in enumerate(value):
                if part is old:
                    value[position] = new
                    return True
                if isinstance(part, ast.AST) and not isinstance(part, ast.stmt) and replace(part, old, new):
                    return True
        elif isinstance(value, ast.AST) and replace(value, old, new):
            return True
    return False


def _binds(statement: ast.stmt) -> set[str]:
    """Names that are bound for certain once a statement has been left at its end."""
    targets: list[ast.expr] = []
    match statement:
        case ast.Assign():
            targets = statement.targets
        case ast.AnnAssign(value=ast.expr(), target=target) | ast.AugAssign(target=target):
            targets = [target]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    return {n.id for t in targets for n in walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _unsure_names(nodes: list[ast.AST]) -> set[str]:
    """Names that may lose their value, or get another one while a part of a statement is evaluated."""
    names = set()
    for node in nodes:
        if node.__class__ is ast.Name:
            if node.ctx.__class__ is ast.Del:
                names.add(node.id)
            continue
        match node:
            case ast.Global() | ast.Nonlocal():
                names |= set(node.names)
            case ast.NamedExpr(target=ast.Name(id=name)) | ast.ExceptHandler(name=str(name)):
                names.add(name)
    return names


def _rebound_outside(body: list[ast.stmt]) -> set[str]:
    """Names that `:=` binds in statements that move into a function of their own."""
    module = ast.Module(body, [])
    return {n.target.id for n in own_nodes(module) if isinstance(n, ast.NamedExpr)}
