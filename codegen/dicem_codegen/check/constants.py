"""Constants that no memory holds: `9**9**9`, `"a" * 10**10`.  They are weighed, never computed."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import Final

from .subject import Subject

MAX_BYTES: Final = 64e6
"""The runner's memory for a program, by default."""
_ITEM_BYTES: Final = 8


@dataclass(frozen=True)
class _Weight:
    """`value` where it is a number that is small; else `bits`, of a number, or `bytes`, of text or a list."""

    value: int | None = None
    bits: float = 0.0
    bytes: float | None = None

    @property
    def large(self) -> bool:
        return (self.bits / 8 if self.bytes is None else self.bytes) > MAX_BYTES


def check_constants(subject: Subject) -> None:
    """Constant expressions whose value is larger than a program's memory."""
    weights: dict[ast.AST, _Weight | None] = {}
    for node in reversed(subject.nodes):  # what is inside comes first
        if isinstance(node, (ast.Constant, ast.UnaryOp, ast.BinOp, ast.List, ast.Tuple)):
            weights[node] = _weigh(node, weights)
    for node, weight in weights.items():
        if weight is not None and weight.large and isinstance(node, ast.BinOp) and not _is_outdone(node, weights):
            size = weight.bits / 8 if weight.bytes is None else weight.bytes
            amount = f"about {size / 1e6:,.0f} MB" if size < 1e12 else "more than any memory holds"
            message = f"a constant too large: {amount}"
            subject.say(node, "error", "huge-constant", message, f"A program has {MAX_BYTES / 1e6:.0f} MB")


def _is_outdone(node: ast.BinOp, weights: dict[ast.AST, _Weight | None]) -> bool:
    """Whether a part of it is too large already."""
    return any((found := weights.get(part)) is not None and found.large for part in (node.left, node.right))


def _weigh(node: ast.AST, weights: dict[ast.AST, _Weight | None]) -> _Weight | None:
    """The weight of an expression whose parts are weighed; None if it is not constant."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() as value):
            return _number(value)
        case ast.Constant(value=str() | bytes() as value):
            return _Weight(bytes=len(value))
        case ast.List() | ast.Tuple():
            return _Weight(bytes=len(node.elts) * _ITEM_BYTES)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = weights.get(operand)
            if inner is None or inner.bytes is not None:
                return None
            return inner if inner.value is None else _number(-inner.value)
        case ast.BinOp(left=left, right=right):
            a, b = weights.get(left), weights.get(right)
            return None if a is None or b is None else _combined(node.op, a, b)
    return None


def _number(value: int) -> _Weight:
    return _Weight(value if abs(value) < 2**64 else None, float(value.bit_length()))


def _combined(op: ast.operator, a: _Weight, b: _Weight) -> _Weight | None:
    if a.bytes is not None or b.bytes is not None:
        return _sequence(op, a, b)
    match op:
        case ast.Add() | ast.Sub():
            if a.value is not None and b.value is not None:
                return _number(a.value + b.value if isinstance(op, ast.Add) else a.value - b.value)
            return _Weight(None, max(a.bits, b.bits) + 1)
        case ast.Mult():
            exact = a.value is not None and b.value is not None
            return _number(a.value * b.value) if exact else _Weight(None, a.bits + b.bits)  # type: ignore[operator]
        case ast.Pow():
            return _power(a, b)
        case ast.LShift():
            return _Weight(None, a.bits + _at_least(b))
    return None


def _sequence(op: ast.operator, a: _Weight, b: _Weight) -> _Weight | None:
    if isinstance(op, ast.Add) and a.bytes is not None and b.bytes is not None:
        return _Weight(bytes=a.bytes + b.bytes)
    if isinstance(op, ast.Mult) and (a.bytes is None) != (b.bytes is None):
        items, times = (a, b) if a.bytes is not None else (b, a)
        return _Weight(bytes=(items.bytes or 0.0) * max(_at_least(times), 0.0))
    return None


def _power(a: _Weight, b: _Weight) -> _Weight | None:
    if a.value in (0, 1, -1):
        return _number(a.value) if a.value is not None else None
    exponent = _at_least(b)
    if exponent < 0:
        return None
    bits = exponent * (math.log2(abs(a.value)) if a.value is not None else a.bits - 1)
    if bits < 64 and a.value is not None and b.value is not None:
        return _number(a.value**b.value)
    return _Weight(None, bits)


def _at_least(weight: _Weight) -> float:
    """The number, or where it is known by its size only, about that."""
    if weight.value is not None:
        return float(weight.value)
    return math.inf if weight.bits > 1000 else 2.0 ** (weight.bits - 1)
