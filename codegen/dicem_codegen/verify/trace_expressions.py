"""The expressions' half of the rewriting: each becomes one that yields a `Box`, in CPython's order of evaluation."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from itertools import count

from .trace_values import TraceRefused

MACHINE = "__trace__"


def call_machine(method: str, *arguments: ast.expr) -> ast.Call:
    """`__trace__.method(arguments)`."""
    return ast.Call(func=attribute_of_machine(method), args=list(arguments), keywords=[])


def attribute_of_machine(name: str) -> ast.Attribute:
    """`__trace__.name`."""
    return ast.Attribute(load(MACHINE), name, ast.Load())


def constant(value: object) -> ast.Constant:
    """`value` itself, without a Box."""
    return ast.Constant(value)  # type: ignore[arg-type]


def thunk(value: ast.expr) -> ast.Lambda:
    """`lambda: value`."""
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(args=nothing, body=value)


def load(name: str) -> ast.Name:
    """The name, to be read."""
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    """The name, to be bound."""
    return ast.Name(name, ast.Store())


def _list(items: Iterable[ast.expr]) -> ast.List:
    return ast.List(elts=list(items), ctx=ast.Load())


class Expressions:
    """Rewrites expressions; `in_class` while the body of a class is written, whose names hold plain values."""

    def __init__(self) -> None:
        self.in_class = False
        self._numbers = count(1)

    def temporary(self) -> str:
        """A name that no program has."""
        return f"_trace_{next(self._numbers)}"

    def expression(self, node: ast.expr) -> ast.expr:
        """What one expression becomes.

        :raises TraceRefused: it cannot be followed
        """
        handler = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if handler is None:
            raise TraceRefused(f"line {node.lineno}: the trace does not follow `{type(node).__name__.lower()}`")
        new: ast.expr = ast.copy_location(handler(node), node)
        return new

    def all(self, nodes: Sequence[ast.expr]) -> list[ast.expr]:
        """Each of them."""
        return [self.expression(node) for node in nodes]

    def maybe(self, node: ast.expr | None) -> ast.expr:
        """An expression, or a Box of None."""
        return call_machine("box", constant(None)) if node is None else self.expression(node)

    def plain(self, node: ast.expr) -> ast.expr:
        """The value without its Box."""
        return call_machine("raw", self.expression(node))

    def name(self, name: str) -> ast.expr:
        """The Box that a name holds."""
        return call_machine("automatic", load(name)) if self.in_class else load(name)

    # Names and constants

    def of_constant(self, node: ast.Constant) -> ast.expr:
        return call_machine("box", node)

    def of_name(self, node: ast.Name) -> ast.expr:
        return self.name(node.id)

    def of_namedexpr(self, node: ast.NamedExpr) -> ast.expr:
        return ast.NamedExpr(store(node.target.id), call_machine("let", self.expression(node.value)))

    def of_joinedstr(self, node: ast.JoinedStr) -> ast.expr:
        return call_machine("text", _list(self.all(node.values)))

    def of_formattedvalue(self, node: ast.FormattedValue) -> ast.expr:
        spec = self.expression(node.format_spec) if node.format_spec else call_machine("box", constant(""))
        return call_machine("formatted", self.expression(node.value), constant(node.conversion), spec)

    # Operators.  A guard is entered before what it guards, which leaves it again.

    def of_boolop(self, node: ast.BoolOp) -> ast.expr:
        first, *rest = node.values
        if not rest:
            return self.expression(first)
        inside = call_machine("inside", self.of_boolop(ast.BoolOp(node.op, rest)))
        entered = call_machine("entered")
        test = call_machine("enter", self.expression(first))
        return ast.IfExp(test, inside, entered) if isinstance(node.op, ast.And) else ast.IfExp(test, entered, inside)

    def of_ifexp(self, node: ast.IfExp) -> ast.expr:
        body, other = (call_machine("inside", self.expression(arm)) for arm in (node.body, node.orelse))
        return ast.IfExp(call_machine("enter", self.expression(node.test)), body, other)

    def of_compare(self, node: ast.Compare) -> ast.expr:
        return self._compared(self.expression(node.left), node.ops, node.comparators)

    def _compared(self, left: ast.expr, ops: Sequence[ast.cmpop], rights: Sequence[ast.expr]) -> ast.expr:
        first = call_machine("compared", constant(type(ops[0]).__name__), left, self.expression(rights[0]))
        if len(ops) == 1:
            return first
        rest = self._compared(call_machine("right"), ops[1:], rights[1:])
        return ast.IfExp(call_machine("enter", first), call_machine("inside", rest), call_machine("entered"))

    def of_unaryop(self, node: ast.UnaryOp) -> ast.expr:
        return call_machine("unary", constant(type(node.op).__name__), self.expression(node.operand))

    def of_binop(self, node: ast.BinOp) -> ast.expr:
        operator = constant(type(node.op).__name__)
        return call_machine("binary", operator, self.expression(node.left), self.expression(node.right))

    # Parts

    def of_attribute(self, node: ast.Attribute) -> ast.expr:
        return call_machine("attribute", self.expression(node.value), constant(node.attr))

    def of_subscript(self, node: ast.Subscript) -> ast.expr:
        return call_machine("item", self.expression(node.value), self.expression(node.slice))

    def of_slice(self, node: ast.Slice) -> ast.expr:
        return call_machine("slice", self.maybe(node.lower), self.maybe(node.upper), self.maybe(node.step))

    # Displays

    def _parts(self, nodes: Sequence[ast.expr]) -> ast.List:
        return _list(
            ast.Starred(call_machine("parts", self.expression(node.value)), ast.Load())
            if isinstance(node, ast.Starred)
            else call_machine("part", self.expression(node))
            for node in nodes
        )

    def of_list(self, node: ast.List) -> ast.expr:
        return call_machine("new_list", self._parts(node.elts))

    def of_tuple(self, node: ast.Tuple) -> ast.expr:
        return call_machine("new_tuple", self._parts(node.elts))

    def of_set(self, node: ast.Set) -> ast.expr:
        return call_machine("new_set", self._parts(node.elts))

    def of_dict(self, node: ast.Dict) -> ast.expr:
        pairs = [
            ast.Tuple([constant(None) if key is None else self.expression(key), self.expression(value)], ast.Load())
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return call_machine("new_dict", _list(pairs))

    # Comprehensions stay what they are; their elements carry what decided that they are there.

    def of_listcomp(self, node: ast.ListComp) -> ast.expr:
        return call_machine("listed", ast.ListComp(self._element(node.elt), self._walks(node.generators)))

    def of_setcomp(self, node: ast.SetComp) -> ast.expr:
        return call_machine("set_listed", ast.ListComp(self._element(node.elt), self._walks(node.generators)))

    def of_dictcomp(self, node: ast.DictComp) -> ast.expr:
        pair = call_machine("pair", self.expression(node.key), self.expression(node.value))
        return call_machine("dict_listed", ast.ListComp(pair, self._walks(node.generators)))

    def of_generatorexp(self, node: ast.GeneratorExp) -> ast.expr:
        return call_machine(
            "stream", ast.GeneratorExp(self._element(node.elt), self._walks(node.generators, lazy=True))
        )

    def _element(self, node: ast.expr) -> ast.expr:
        return call_machine("element", self.expression(node))

    def _walks(self, generators: Sequence[ast.comprehension], *, lazy: bool = False) -> list[ast.comprehension]:
        walks = []
        for level, generator in enumerate(generators):
            if generator.is_async:
                raise TraceRefused(f"line {generator.target.lineno}: the trace does not follow `async for`")
            spec = self._spec(generator.target)
            source = call_machine("walk", self.expression(generator.iter), spec, constant(level), constant(lazy))
            keep: list[ast.expr] = [call_machine("keep", test) for test in self.all(generator.ifs)]
            walks.append(ast.comprehension(generator.target, source, keep, is_async=0))
        return walks

    def _spec(self, target: ast.expr) -> ast.expr:
        """The shape of what is unpacked, as `Machine.unpacked` wants it: 0 for a name."""
        match target:
            case ast.Name():
                return constant(0)
            case ast.Tuple() | ast.List() if not any(isinstance(part, ast.Starred) for part in target.elts):
                parts = [self._spec(part) for part in target.elts]
                return ast.Tuple([constant(None), *parts], ast.Load())
        raise TraceRefused(f"line {target.lineno}: the trace does not follow this target of a comprehension")

    # Calls and functions

    def of_call(self, node: ast.Call) -> ast.expr:
        arguments = _list(
            ast.Starred(call_machine("spread", self.expression(argument.value)), ast.Load())
            if isinstance(argument, ast.Starred)
            else self.expression(argument)
            for argument in node.args
        )
        keywords = ast.Dict(
            keys=[None if keyword.arg is None else constant(keyword.arg) for keyword in node.keywords],
            values=[
                call_machine("spread_keywords", self.expression(keyword.value))
                if keyword.arg is None
                else self.expression(keyword.value)
                for keyword in node.keywords
            ],
        )
        return call_machine("call", self.expression(node.func), arguments, keywords)

    def of_lambda(self, node: ast.Lambda) -> ast.expr:
        if node.args.vararg or node.args.kwarg:
            raise TraceRefused(f"line {node.lineno}: the trace does not follow a lambda with *arguments")
        arguments, _ = self.arguments(node.args)
        outer, self.in_class = self.in_class, False
        body = call_machine("let", self.expression(node.body))
        self.in_class = outer
        return call_machine("boxed", call_machine("define", ast.Lambda(arguments, body)))

    def arguments(self, node: ast.arguments) -> tuple[ast.arguments, list[ast.stmt]]:
        """Parameters, with boxed defaults; and what packs `*args` and `**keywords`."""
        packing: list[ast.stmt] = []
        for star, method in ((node.vararg, "packed"), (node.kwarg, "packed_keywords")):
            if star is not None:
                packing.append(ast.Assign([store(star.arg)], call_machine(method, load(star.arg))))

        def bare(argument: ast.arg) -> ast.arg:
            return ast.arg(argument.arg)

        return ast.arguments(
            posonlyargs=[bare(a) for a in node.posonlyargs],
            args=[bare(a) for a in node.args],
            vararg=bare(node.vararg) if node.vararg else None,
            kwonlyargs=[bare(a) for a in node.kwonlyargs],
            kw_defaults=[None if d is None else self.expression(d) for d in node.kw_defaults],
            kwarg=bare(node.kwarg) if node.kwarg else None,
            defaults=self.all(node.defaults),
        ), packing

    def of_await(self, node: ast.Await) -> ast.expr:
        return call_machine("awaited", ast.Await(call_machine("awaitable", self.expression(node.value))))

    def of_yield(self, node: ast.Yield) -> ast.expr:
        return call_machine("automatic", ast.Yield(call_machine("element", self.maybe(node.value))))

    def of_yieldfrom(self, node: ast.YieldFrom) -> ast.expr:
        return call_machine("automatic", ast.YieldFrom(call_machine("delegated", self.expression(node.value))))
