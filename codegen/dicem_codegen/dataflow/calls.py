"""The two halves of a call: the one that starts it, and the one that turns its result into the method's value."""

from __future__ import annotations

import ast

from ..types import CallSite
from ..walking import copied

_TAKES_OPTIONS = {"best_text_match": ("option_list", 0), "select_answer": ("options", 2)}
"""Methods whose finish needs an argument of the start again: its name and place."""
_GUESSES = ("guess1", "guess2")


def start_of(call: ast.Call, site: CallSite, tags: list[ast.keyword]) -> ast.expr:
    """The expression that starts the call and does not wait."""
    match site.form:
        case "method":
            assert isinstance(call.func, ast.Attribute)
            func = ast.Attribute(call.func.value, f"{call.func.attr}_start", ast.Load())
            return ast.Call(func, call.args, [*call.keywords, *tags])
        case "function":
            assert isinstance(call.func, ast.Name)
            return ast.Call(ast.Name(f"{call.func.id}_start", ast.Load()), call.args, [*call.keywords, *tags])
        case "call":
            return ast.Call(call.func, call.args, [*call.keywords, *tags])
        case "helper":
            return ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "spawn", ast.Load()), [call], [])


def finish_of(call: ast.Call, site: CallSite, handle: ast.expr) -> ast.expr:
    """The value of the call, given the expression of what was started."""
    awaited = ast.Await(handle)
    match site.form:
        case "method":
            assert isinstance(call.func, ast.Attribute)
            func: ast.expr = ast.Attribute(call.func.value, f"{call.func.attr}_finish", ast.Load())
            return ast.Call(func, [awaited, *_again(call, call.func.attr)], [])
        case "function":
            assert isinstance(call.func, ast.Name)
            return ast.Call(ast.Name(f"{call.func.id}_finish", ast.Load()), [awaited, *_again(call, call.func.id)], [])
    return awaited


def _again(call: ast.Call, name: str) -> list[ast.expr]:
    """The arguments that the finish needs too."""
    if name == "process_guesses":
        return [copied(_argument(call, g, i + 1) or ast.Constant(None)) for i, g in enumerate(_GUESSES)]
    if name in _TAKES_OPTIONS:
        argument = _argument(call, *_TAKES_OPTIONS[name])
        return [copied(argument)] if argument is not None else []
    return []


def _argument(call: ast.Call, name: str, place: int) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place < len(call.args) else None
