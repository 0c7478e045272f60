"""Rewrites a program so that it says, while CPython runs it, where its values come from.

Every expression becomes one that yields a `Box` (value and taint), built by methods of `__trace__`, a `Machine`;
control flow stays Python's own.  What decides a branch holds over the branch, by a `with`; what leaves a function or a
loop early holds over all that comes after.  Names that a branch would have bound are told of it behind the branch,
whichever way it went: `trace_names` finds them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from .trace_expressions import Expressions, attribute_of_machine, call_machine, constant, load, store, thunk
from .trace_names import bindings, grown, leaves, mutated
from .trace_values import TraceRefused

RESULT = "_trace_value"


def rewritten(source: str, where: str, *, prelude: bool = False) -> ast.Module:
    """The module, ready to be compiled; the value of its last expression is bound to `RESULT`.

    `prelude`: it is part of the language, so its `raise` is a failure like any other and its statements do not count.

    :raises TraceRefused: a construct that the trace does not follow
    """
    tree = ast.parse(source, where)
    body = tree.body
    if body and isinstance(last := body[-1], ast.Expr) and not prelude:
        named = ast.Assign(targets=[ast.Name(RESULT, ast.Store())], value=last.value)
        body[-1] = ast.copy_location(named, last)
    module = ast.Module(body=_Rewriter(prelude).block(body), type_ignores=[])
    return ast.fix_missing_locations(module)


class _Rewriter(Expressions):
    """One module: the statements."""

    def __init__(self, prelude: bool) -> None:
        super().__init__()
        self.prelude = prelude

    # Statements

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """A suite."""
        done: list[ast.stmt] = []
        for statement in statements:
            new = self.statement(statement)
            if not self.prelude and not isinstance(statement, (ast.Global, ast.Nonlocal)):
                new.insert(0, ast.Expr(call_machine("at", constant(statement.lineno))))
            for node in new:
                ast.copy_location(node, statement)
                ast.fix_missing_locations(node)
            done += new
        return done

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        """What one statement becomes."""
        handler = getattr(self, f"do_{type(node).__name__.lower()}", None)
        if handler is None:
            raise TraceRefused(f"line {node.lineno}: the trace does not follow `{type(node).__name__.lower()}`")
        return handler(node)  # type: ignore[no-any-return]

    def same(self, node: ast.stmt) -> list[ast.stmt]:
        """As it is."""
        return [node]

    do_pass = do_break = do_continue = do_global = do_nonlocal = same

    def do_expr(self, node: ast.Expr) -> list[ast.stmt]:
        return [ast.Expr(self.expression(node.value))]

    def do_assign(self, node: ast.Assign) -> list[ast.stmt]:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            return [self.bind(node.targets[0].id, self.expression(node.value))]
        name = self.temporary()
        done: list[ast.stmt] = [ast.Assign([store(name)], self.expression(node.value))]
        for target in node.targets:
            done += self.assign(target, load(name))
        return done

    def bind(self, name: str, value: ast.expr) -> ast.stmt:
        """`name = value`."""
        return ast.Assign([store(name)], call_machine("raw" if self.in_class else "let", value))

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """Store what `value`, already rewritten, gives in a target as the program wrote it."""
        match target:
            case ast.Name():
                return [self.bind(target.id, value)]
            case ast.Attribute():
                owner = self.expression(target.value)
                return [ast.Expr(call_machine("attribute_set", owner, constant(target.attr), value))]
            case ast.Subscript():
                return [
                    ast.Expr(
                        call_machine("item_set", self.expression(target.value), self.expression(target.slice), value)
                    )
                ]
        pattern, spec, stores = self.pattern(target)
        return [ast.Assign([pattern], call_machine("unpacked", value, spec)), *stores]

    def pattern(self, target: ast.expr) -> tuple[ast.expr, ast.expr, list[ast.stmt]]:
        """For a target with parts: what Python unpacks into, the shape that the machine needs, and stores to follow."""
        if isinstance(target, (ast.Tuple, ast.List)):
            parts = [self.pattern(part.value if isinstance(part, ast.Starred) else part) for part in target.elts]
            stars = [index for index, part in enumerate(target.elts) if isinstance(part, ast.Starred)]
            star = constant(stars[0] if stars else None)
            spec = ast.Tuple([star, *(part[1] for part in parts)], ast.Load())
            stores = [store for part in parts for store in part[2]]
            return ast.Tuple([part[0] for part in parts], ast.Store()), spec, stores
        name = self.temporary() if self.in_class or not isinstance(target, ast.Name) else target.id
        stores = [] if isinstance(target, ast.Name) and not self.in_class else self.assign(target, load(name))
        return store(name), constant(0), stores

    def do_augassign(self, node: ast.AugAssign) -> list[ast.stmt]:
        operator = constant(type(node.op).__name__)
        value = self.expression(node.value)
        match node.target:
            case ast.Name():
                new = call_machine("augmented", self.name(node.target.id), operator, value)
                return [ast.Assign([store(node.target.id)], call_machine("raw", new) if self.in_class else new)]
            case ast.Attribute():
                owner, attribute = self.temporary(), constant(node.target.attr)
                old = call_machine("attribute", load(owner), attribute)
                new = call_machine("augmented", old, operator, value)
                return [
                    ast.Assign([store(owner)], self.expression(node.target.value)),
                    ast.Expr(call_machine("attribute_set", load(owner), attribute, new)),
                ]
            case ast.Subscript():
                owner, index = self.temporary(), self.temporary()
                old = call_machine("item", load(owner), load(index))
                new = call_machine("augmented", old, operator, value)
                return [
                    ast.Assign([store(owner)], self.expression(node.target.value)),
                    ast.Assign([store(index)], self.expression(node.target.slice)),
                    ast.Expr(call_machine("item_set", load(owner), load(index), new)),
                ]

    def do_annassign(self, node: ast.AnnAssign) -> list[ast.stmt]:
        if self.in_class and isinstance(node.target, ast.Name):  # a dataclass reads it
            value = None if node.value is None else self.plain(node.value)
            kept = ast.AnnAssign(store(node.target.id), self.plain(node.annotation), value, simple=1)
            return [kept]
        return [] if node.value is None else self.assign(node.target, self.expression(node.value))

    def do_delete(self, node: ast.Delete) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for target in node.targets:
            match target:
                case ast.Name():
                    done.append(ast.Delete([ast.Name(target.id, ast.Del())]))
                case ast.Subscript():
                    item = call_machine("item_delete", self.expression(target.value), self.expression(target.slice))
                    done.append(ast.Expr(item))
                case ast.Attribute():
                    owner = self.expression(target.value)
                    done.append(ast.Expr(call_machine("attribute_delete", owner, constant(target.attr))))
                case _:
                    done += self.do_delete(ast.Delete(list(getattr(target, "elts", []))))
        return done

    def do_import(self, node: ast.Import) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            done.append(ast.Assign([store(name)], call_machine("imported", constant(alias.name), constant(None))))
        return done

    def do_importfrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return [
            ast.Assign([store(a.asname or a.name)], call_machine("imported", constant(node.module), constant(a.name)))
            for a in node.names
        ]

    # Branches and loops

    def under(self, taint: ast.expr, body: list[ast.stmt], name: str | None = None) -> ast.With:
        """`body` with what decided it held over it."""
        item = ast.withitem(taint, store(name) if name else None)
        return ast.With(items=[item], body=body or [ast.Pass()])

    def told(self, statements: Sequence[ast.stmt], cause: str, skip: Iterable[str] = ()) -> list[ast.stmt]:
        """Tell each name that `statements` bind, and each container that they change, of what decided it."""
        done: list[ast.stmt] = []
        only_grown = grown(statements)
        for name in sorted(bindings(statements) - set(skip)):
            method = "also_grown" if name in only_grown else "also"
            if self.in_class:
                continue
            new = ast.Assign([store(name)], call_machine(method, load(name), load(cause)))
            unbound = ast.ExceptHandler(type=attribute_of_machine("name_error"), name=None, body=[ast.Pass()])
            done.append(ast.Try(body=[new], handlers=[unbound], orelse=[], finalbody=[]))
        for place, attribute, key in mutated(statements):
            reach = thunk(self.expression(place))
            method, what = ("touch_item", key) if key is not None else ("touch", constant(attribute))
            done.append(ast.Expr(call_machine(method, reach, what, load(cause))))
        return done

    def exits(self, statements: Sequence[ast.stmt], inner: Iterable[str] = ()) -> ast.expr:
        """How the statements may leave the suite that they stand in: what comes after hangs on what chose them."""
        kinds = leaves(statements) - set(inner) - ({"raise"} if self.prelude else set())
        return ast.Tuple([constant(kind) for kind in sorted(kinds)], ast.Load())

    def left(self, cause: str, statements: Sequence[ast.stmt], inner: Iterable[str] = ()) -> ast.stmt:
        """What comes behind hangs on `cause`, where the statements may leave for good."""
        return ast.Expr(call_machine("leave", load(cause), self.exits(statements, inner)))

    def do_if(self, node: ast.If) -> list[ast.stmt]:
        decision = self.temporary()
        test = call_machine("decide", self.expression(node.test), self.exits([*node.body, *node.orelse]))
        chosen = ast.If(
            test=ast.Attribute(load(decision), "truth", ast.Load()),
            body=self.block(node.body),
            orelse=self.block(node.orelse),
        )
        told = self.told([*node.body, *node.orelse], decision)
        return [ast.Assign([store(decision)], test), self.under(load(decision), [chosen]), *told]

    def do_match(self, node: ast.Match) -> list[ast.stmt]:
        """As a chain of `if`s; values, constants, alternatives of them and names only."""
        subject = self.temporary()
        chain: list[ast.stmt] = []
        for case in reversed(node.cases):
            body = list(case.body)
            test = self.case_test(case.pattern, subject, node.lineno)
            if isinstance(case.pattern, ast.MatchAs) and case.pattern.name:
                body.insert(0, ast.Assign([store(case.pattern.name)], load(subject)))
            if case.guard is not None:
                if isinstance(case.pattern, ast.MatchAs) and case.pattern.name:
                    bound = ast.NamedExpr(store(case.pattern.name), load(subject))
                    test = ast.Compare(bound, [ast.Is()], [load(subject)])
                test = ast.BoolOp(ast.And(), [test, case.guard])
            for statement in body:
                ast.copy_location(statement, case.body[0])
                ast.fix_missing_locations(statement)
            chain = [ast.copy_location(ast.If(test, body, chain), node)]
            ast.fix_missing_locations(chain[0])
        first = ast.Assign([store(subject)], self.expression(node.subject))
        return [first, *(new for statement in chain for new in self.statement(statement))]

    def case_test(self, pattern: ast.pattern, subject: str, line: int) -> ast.expr:
        """Whether the subject fits, as an expression of the program."""
        match pattern:
            case ast.MatchValue():
                return ast.Compare(load(subject), [ast.Eq()], [pattern.value])
            case ast.MatchSingleton():
                return ast.Compare(load(subject), [ast.Is()], [constant(pattern.value)])
            case ast.MatchOr():
                return ast.BoolOp(ast.Or(), [self.case_test(each, subject, line) for each in pattern.patterns])
            case ast.MatchAs(pattern=None):
                return constant(True)
        raise TraceRefused(f"line {line}: the trace does not follow this pattern of `match`")

    def do_while(self, node: ast.While) -> list[ast.stmt]:
        loop = self.temporary()
        walk = ast.While(
            test=call_machine("goes_on", load(loop), self.expression(node.test)),
            body=self.block(node.body),
            orelse=self.block(node.orelse),
        )
        left = self.left(loop, node.body, {"break", "continue"})
        return [self.under(call_machine("loop"), [walk], loop), left, *self.told([*node.body, *node.orelse], loop)]

    def do_for(self, node: ast.For) -> list[ast.stmt]:
        loop = self.temporary()
        pattern, spec, stores = self.pattern(node.target)
        carried = self.told(node.body, loop, skip=bindings([ast.Assign([node.target], node.iter)]))
        walk = ast.For(
            target=pattern,
            iter=call_machine("each", load(loop), self.expression(node.iter), spec),
            body=[*carried, *stores, *self.block(node.body)],
            orelse=self.block(node.orelse),
        )
        left = self.left(loop, node.body, {"break", "continue"})
        return [self.under(call_machine("loop"), [walk], loop), left, *self.told([node], loop)]

    def do_try(self, node: ast.Try) -> list[ast.stmt]:
        attempt = self.temporary()
        handlers = [self.handler(handler, attempt) for handler in node.handlers]
        body: list[ast.stmt] = [
            self.under(call_machine("attempt", constant(bool(handlers))), self.block(node.body), attempt)
        ]
        new = ast.Try(body, handlers, self.block(node.orelse), self.block(node.finalbody))
        if not node.handlers:
            return [new]
        caught = [statement for handler in node.handlers for statement in handler.body]
        return [new, self.left(attempt, caught), *self.told([*node.body, *caught, *node.orelse], attempt)]

    def handler(self, node: ast.ExceptHandler, attempt: str) -> ast.ExceptHandler:
        """One `except`."""
        name = node.name or self.temporary()
        body: list[ast.stmt] = [ast.Assign([store(name)], call_machine("caught", load(name)))]
        body += self.block(node.body)
        kind = (
            call_machine("catchable", self.expression(node.type))
            if node.type
            else attribute_of_machine("any_exception")
        )
        under = self.under(call_machine("handling", load(attempt), load(name)), body)
        return ast.copy_location(ast.ExceptHandler(type=kind, name=name, body=[under]), node)

    def do_with(self, node: ast.With) -> list[ast.stmt]:
        items = []
        stores: list[ast.stmt] = []
        for item in node.items:
            name = self.temporary() if item.optional_vars else None
            entered = self.plain(item.context_expr)
            items.append(ast.withitem(entered, store(name) if name else None))
            if item.optional_vars and name:
                stores += self.assign(item.optional_vars, call_machine("automatic", load(name)))
        return [ast.With(items=items, body=[*stores, *self.block(node.body)])]

    def do_return(self, node: ast.Return) -> list[ast.stmt]:
        value = self.expression(node.value) if node.value else call_machine("box", constant(None))
        return [ast.Return(call_machine("let", value))]

    def do_raise(self, node: ast.Raise) -> list[ast.stmt]:
        if node.exc is None:
            return [node]
        cause = self.plain(node.cause) if node.cause else None
        return [ast.Raise(call_machine("raised", self.expression(node.exc)), cause)]

    def do_assert(self, node: ast.Assert) -> list[ast.stmt]:
        error = ast.Call(load("AssertionError"), [node.msg] if node.msg else [], [])
        test = ast.UnaryOp(ast.Not(), node.test)
        return self.do_if(ast.copy_location(ast.If(test, [ast.copy_location(ast.Raise(error), node)], []), node))

    # Definitions

    def do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        decorators: list[ast.expr] = [] if self.in_class else [attribute_of_machine("boxed")]
        decorators += [self.plain(decorator) for decorator in node.decorator_list]
        arguments, packing = self.arguments(node.args)
        outer, self.in_class = self.in_class, False
        body = [*packing, *self.block(node.body), ast.Return(call_machine("let", call_machine("box", constant(None))))]
        globals_ = [s for s in node.body if isinstance(s, (ast.Global, ast.Nonlocal))]
        body = [*globals_, self.under(call_machine("function"), [s for s in body if s not in globals_])]
        self.in_class = outer
        decorators.append(attribute_of_machine("define"))
        kind = type(node)
        return [kind(name=node.name, args=arguments, body=body, decorator_list=decorators, returns=None)]

    do_asyncfunctiondef = do_functiondef

    def do_classdef(self, node: ast.ClassDef) -> list[ast.stmt]:
        decorators: list[ast.expr] = [] if self.in_class else [attribute_of_machine("boxed")]
        decorators += [self.plain(decorator) for decorator in node.decorator_list]
        bases = [self.plain(base) for base in node.bases]
        if node.keywords:
            raise TraceRefused(f"line {node.lineno}: the trace does not follow keywords of a class")
        outer, self.in_class = self.in_class, True
        body = self.block(node.body)
        self.in_class = outer
        return [ast.ClassDef(name=node.name, bases=bases, keywords=[], body=body, decorator_list=decorators)]
