"""Comparing and calculating with what cannot be: a dict with a number, text with a number."""

from __future__ import annotations

import ast
from typing import Final

from .shapes import Shape, Shapes, given_by, shown_kind
from .subject import Subject

_ORDER: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_SIGNS: Final = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Add: "+", ast.Sub: "-",
    ast.Div: "/",
}  # fmt: skip
_ALIKE: Final = {"bool": "number"}
_NOUNS: Final = {
    "number": "a number", "text": "text", "dict": "a dict", "list": "a list", "patch": "a patch", "video": "a video",
    "call": "a call",
}  # fmt: skip


def check_operation(subject: Subject, node: ast.Compare | ast.BinOp, shapes: Shapes) -> None:
    """Warn where an operation is a TypeError, or a comparison never true."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Div)):
            _check(subject, node, node.op, (node.left, node.right), shapes)
        return
    for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
        if isinstance(op, (*_ORDER, ast.Eq, ast.NotEq)):
            _check(subject, node, op, (left, right), shapes)


def _check(subject: Subject, node: ast.expr, op: ast.AST, operands: tuple[ast.expr, ast.expr], shapes: Shapes) -> None:
    found = [shapes.of(operand) for operand in operands]
    kinds = [_kind(operand, shape) for operand, shape in zip(operands, found, strict=True)]
    shape = next((each for each in found if each is not None), None)
    if shape is None or "" in kinds:
        return
    sign, (left, right) = _SIGNS[type(op)], kinds
    what = f"{_NOUNS[left]} {sign} {_NOUNS[right]}"
    if isinstance(op, (ast.Eq, ast.NotEq)):
        if left != right and {left, right} <= {"number", "text", "dict", "list"}:
            message = f"{given_by(shape)}: {what} is always {isinstance(op, ast.NotEq)}"
            subject.say(node, "warning", "result-use", message, _hint(shape))
    elif _fails(op, left, right):
        message = f"{given_by(shape)}: {what} is a TypeError"
        subject.say(node, "warning", "result-use", message, _hint(shape))


def _kind(node: ast.expr, shape: Shape | None) -> str:
    if isinstance(node, ast.Constant):
        kind = {str: "text", int: "number", float: "number"}.get(type(node.value), "")
    elif isinstance(node, ast.JoinedStr):
        kind = "text"
    else:
        kind = shown_kind(shape)
    kind = _ALIKE.get(kind, kind)
    return kind if kind in _NOUNS else ""


def _fails(op: ast.AST, left: str, right: str) -> bool:
    if isinstance(op, ast.Add):
        return left != right or left not in ("number", "text", "list")
    if isinstance(op, (ast.Sub, ast.Div)):
        return not left == right == "number"
    return left != right or left not in ("number", "text", "list")


def _hint(shape: Shape) -> str:
    """How to get at what was meant, maybe."""
    if shown_kind(shape) == "dict" and len(shape.keys) == 1:
        return f'Write ["{next(iter(shape.keys))}"]'
    if shape.kind == "call":
        return "Write `await` before hermod.call"
    if shown_kind(shape) == "list":
        return "Write len(...) for how many there are"
    return "coerce_to_numeric(...) reads a number from text" if shown_kind(shape) == "text" else ""
