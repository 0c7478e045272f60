"""Evaluation order: what a statement evaluates first, and what may be evaluated a little later without a trace."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from ..walking import children
from .kinds import Kinds
from .values import NUMBERS, Box, Value
from .words import PATCH_NUMBERS

ATOMS = frozenset({"str", "int", "float", "bool", "none"})


def heads(statement: ast.stmt) -> list[ast.expr]:
    """The expressions that a statement evaluates once, in order, before anything else of it runs."""
    match statement:
        case ast.Expr(value=value) | ast.Assign(value=value):
            return [value]
        case ast.AnnAssign(value=value) | ast.Return(value=value):
            return [value] if value is not None else []
        case ast.AugAssign(target=ast.Name() as target, value=value):
            return [target, value]
        case ast.AugAssign(target=target, value=value):
            return [target, value]
        case ast.If(test=test) | ast.Assert(test=test):
            return [test]
        case ast.For(iter=source) | ast.AsyncFor(iter=source):
            return [source]
        case ast.With(items=items) | ast.AsyncWith(items=items):
            return [items[0].context_expr]
        case ast.Raise(exc=raised):
            return [raised] if raised is not None else []
        case ast.Match(subject=subject):
            return [subject]
    return []


def parts(node: ast.expr) -> tuple[list[ast.expr], list[ast.expr]]:
    """The expressions in `node`: those always evaluated, in order, and those evaluated perhaps or repeatedly."""
    kind = node.__class__
    if kind is ast.Name or kind is ast.Constant:
        return [], []
    match node:
        case ast.Attribute():
            return [node.value], []
        case ast.Call():
            return [node.func, *node.args, *[keyword.value for keyword in node.keywords]], []
        case ast.BoolOp(values=[first, *rest]):
            return [first], rest
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [test], [body, orelse]
        case ast.Compare(left=left, comparators=[first, *rest]):
            return [left, first], rest
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return [node.generators[0].iter], [*_inner(node.generators), node.elt]
        case ast.DictComp():
            return [node.generators[0].iter], [*_inner(node.generators), node.key, node.value]
        case ast.Lambda():
            return [*node.args.defaults, *[d for d in node.args.kw_defaults if d is not None]], [node.body]
        case ast.Dict():
            return [part for pair in zip(node.keys, node.values, strict=True) for part in pair if part is not None], []
        case ast.NamedExpr():
            return [node.value], []
    return [child for child in children(node) if isinstance(child, ast.expr)], []


def _inner(generators: list[ast.comprehension]) -> list[ast.expr]:
    found: list[ast.expr] = []
    for position, generator in enumerate(generators):
        found += [generator.iter] if position else []
        found += generator.ifs
    return found


def leads(node: ast.expr, target: ast.expr, inert: Callable[[ast.expr], bool]) -> bool | None:
    """Whether `target` is evaluated once and before all that matters in `node`; None if it is not in there.

    :param inert: whether an expression may as well be evaluated after `target`
    """
    if node is target:
        return True
    always, sometimes = parts(node)
    clear = True
    for part in always:
        found = leads(part, target, inert)
        if found is not None:
            return found and clear
        clear = clear and inert(part)
    for part in sometimes:
        if leads(part, target, inert) is not None:
            return False
    return None


def is_first(statement: ast.stmt, target: ast.expr, inert: Callable[[ast.expr], bool]) -> bool:
    """Whether `target` may be computed right before `statement` without anything but its place changing."""
    for head in heads(statement):
        found = leads(head, target, inert)
        if found is not None:
            return found
        if not inert(head):
            return False
    return False


class Inertness:
    """Judges expressions by kinds: which cannot fail, have no effect, and give the same value a little later."""

    def __init__(self, kinds: Kinds, sure: Callable[[ast.Name], bool], attributes_set: frozenset[str]) -> None:
        """:param sure: whether a name is bound for certain, and to the same value a little later
        :param attributes_set: attributes that the program assigns
        """
        self._kinds, self._sure, self._attributes_set = kinds, sure, attributes_set

    def __call__(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return True
            case ast.Name():
                return self._sure(node)
            case ast.Attribute(value=receiver, attr=name):
                return self(receiver) and self._cannot_fail(receiver, name)
            case ast.Lambda():
                return all(self(part) for part in parts(node)[0])
            case ast.JoinedStr() | ast.FormattedValue():
                inner = [child for child in children(node) if isinstance(child, ast.expr)]
                return all(self(part) and self._kinds.values_of(part) <= ATOMS for part in inner) and (
                    not isinstance(node, ast.FormattedValue) or node.format_spec is None
                )
            case ast.Tuple() | ast.Starred():
                return not isinstance(node, ast.Starred) and all(self(part) for part in parts(node)[0])
        return False

    def _cannot_fail(self, receiver: ast.expr, name: str) -> bool:
        values = self._kinds.values_of(receiver)
        if not values:
            return False
        return all(self._has(value, name) for value in values)

    def _has(self, value: Value, name: str) -> bool:
        if isinstance(value, Box):
            return name in dir({"list": list, "dict": dict, "set": set, "tuple": tuple}.get(value.kind))
        if value == "patch":
            known = name in PATCH_NUMBERS or name in ("crop", "overlaps_with", "find", "exists", "simple_query")
            return known and name not in self._attributes_set
        if value == "str":
            return name in dir(str)
        return value == "module:hermod"


def is_quiet(node: ast.expr, kinds: Kinds, attributes_set: frozenset[str]) -> bool:  # noqa: PLR0912
    """Whether evaluating it cannot fail and leaves no trace, so that nobody can tell whether it was evaluated."""

    def quiet(part: ast.expr) -> bool:
        return is_quiet(part, kinds, attributes_set)

    def of(part: ast.expr) -> frozenset[Value]:
        return kinds.values_of(part) or frozenset({"unknown"})

    match node:
        case ast.Constant() | ast.Name() | ast.Lambda():
            return True
        case ast.Attribute(value=receiver, attr=name):
            return quiet(receiver) and of(receiver) == {"patch"} and name in PATCH_NUMBERS - attributes_set
        case ast.BoolOp() | ast.IfExp():
            always, sometimes = parts(node)
            return all(quiet(p) and of(p) <= ATOMS for p in [*always, *sometimes])
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return quiet(inner) and (of(inner) <= ATOMS or all(isinstance(v, Box) for v in of(inner)))
        case ast.UnaryOp(operand=inner):
            return quiet(inner) and of(inner) <= NUMBERS
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult()):
            return quiet(node.left) and quiet(node.right) and of(node.left) <= NUMBERS and of(node.right) <= NUMBERS
        case ast.Compare():
            sides = [node.left, *node.comparators]
            return all(quiet(part) for part in sides) and all(
                _compares(op, of(left), of(right)) for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
            )
        case ast.Tuple() | ast.List():
            return all(quiet(part) and not isinstance(part, ast.Starred) for part in node.elts)
        case ast.JoinedStr() | ast.FormattedValue():
            inner_parts = [child for child in children(node) if isinstance(child, ast.expr)]
            plain = not isinstance(node, ast.FormattedValue) or node.format_spec is None
            return plain and all(quiet(part) and of(part) <= ATOMS for part in inner_parts)
        case ast.Call(func=ast.Attribute(value=receiver, attr=name), args=[], keywords=[]):
            silent = (
                "lower",
                "upper",
                "strip",
                "title",
                "capitalize",
                "isdigit",
                "isalpha",
                "lstrip",
                "rstrip",
                "split",
            )
            return name in silent and quiet(receiver) and of(receiver) == {"str"}
        case ast.Call(func=ast.Attribute(value=receiver, attr="startswith" | "endswith"), args=[only], keywords=[]):
            return quiet(receiver) and quiet(only) and of(receiver) == {"str"} and of(only) == {"str"}
        case ast.Call(func=ast.Name(), args=[only], keywords=[]) if not isinstance(only, ast.Starred):
            callees = kinds.callees.get(node, set())
            if not quiet(only):
                return False
            if callees == {"builtin:len"}:
                return all(v == "str" or (isinstance(v, Box) and v.kind not in ("iterator", "view")) for v in of(only))
            if callees == {"builtin:str"}:
                return of(only) <= ATOMS
            return callees == {"builtin:abs"} and of(only) <= NUMBERS
        case ast.Call(func=ast.Name(), args=[first, _], keywords=[]):
            return kinds.callees.get(node, set()) == {"builtin:isinstance"} and quiet(first)
    return False


def _compares(op: ast.cmpop, left: frozenset[Value], right: frozenset[Value]) -> bool:
    match op:
        case ast.Is() | ast.IsNot():
            return True
        case ast.Eq() | ast.NotEq():
            return left <= ATOMS and right <= ATOMS
        case ast.In() | ast.NotIn():
            inside = all(isinstance(v, Box) and v.kind in ("list", "tuple", "set", "dict") for v in right)
            return left <= ATOMS and (inside or (right == {"str"} and left == {"str"}))
    numbers = left <= NUMBERS and right <= NUMBERS
    return numbers or (left == {"str"} and right == {"str"})


def walk_in_order(node: ast.expr) -> Iterator[ast.expr]:
    """All expressions in `node`, outer ones first, in the order of evaluation; not into lambdas."""
    yield node
    always, sometimes = parts(node)
    for part in [*always, *([] if isinstance(node, ast.Lambda) else sometimes)]:
        yield from walk_in_order(part)
