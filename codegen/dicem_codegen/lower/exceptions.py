"""Exceptions of the runner's interpreter hold one text or nothing.

    raise ValueError(5)       ->  raise ValueError(str(5))
    assert x, [1]             ->  if not x: raise AssertionError(str([1]))

That shows the same words.  Where the program looks at `e.args` or `repr(e)`, what was given is kept beside:
`raise _exception(ValueError, 5)`, `_given(e)`, `_shown(e)`.
"""

from __future__ import annotations

import ast
import builtins
from functools import cached_property
from typing import Final

from ..walking import walk
from .build import located, name_of
from .refused import Refusals
from .scopes import Scope
from .unfold import Place, Replacement, Unfolding
from .values import UNKNOWN, Value, named

NO_ATTRIBUTES: Final = frozenset(
    {"__cause__", "__context__", "__traceback__", "__suppress_context__", "__notes__", "add_note", "with_traceback",
     "code", "errno", "filename", "filename2", "strerror", "value", "name", "obj", "path", "msg", "doc", "pos"}
)  # fmt: skip
"""Attributes of exceptions that the interpreter lacks."""
_REPR: Final = 114


def is_exception(value: Value) -> bool:
    """Whether a value is one of the builtin exception classes."""
    name = named(value, "builtin")
    found = getattr(builtins, name, None) if name else None
    return isinstance(found, type) and issubclass(found, BaseException)


def _has_fields(value: Value) -> bool:
    """Whether such an exception makes something else of several arguments than a text of them."""
    return issubclass(getattr(builtins, named(value, "builtin") or ""), (OSError, UnicodeError))


class Exceptions:
    """The planner for what exceptions are made of, and what is read of them."""

    statements: frozenset[type[ast.stmt]] = frozenset({ast.Assert})

    def __init__(self, unfolding: Unfolding, refuse: Refusals) -> None:
        self._unfolding, self._refuse = unfolding, refuse
        self._kinds, self._words = unfolding.kinds, unfolding.words

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """An `assert` whose message may be no text."""
        match node:
            case ast.Assert(msg=ast.expr() as message) if self._kinds.values_of(message) != {"str"}:
                pass
            case _:
                return None
        error = self._words.name("AssertionError")
        made = ast.Call(error, [message], [])
        self._kinds.callees[made] = {"builtin:AssertionError"}
        fails = ast.UnaryOp(ast.Not(), node.test)
        return [located(ast.If(fails, [ast.Raise(made, None)], []), node)]

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind in (ast.Call, ast.Attribute, ast.FormattedValue)

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """What to write instead."""
        match node:
            case ast.Call():
                callees = self._kinds.callees.get(node, set())
                if callees and all(is_exception(value) for value in callees):
                    return self._made(node, callees)
                if callees == {"builtin:repr"} and len(node.args) == 1 and self._may_be(node.args[0]):
                    return self._asked("shown", node.args[0], "str") if self._is_any_kept else None
            case ast.Attribute(ctx=ast.Load(), value=holder, attr="args") if self._may_be(holder):
                return self._asked("given", holder, UNKNOWN) if self._is_any_kept else None
            case ast.Attribute(value=holder, attr=name) if name in NO_ATTRIBUTES or not isinstance(node.ctx, ast.Load):
                if self._kinds.values_of(holder) == {"exception"}:
                    self._refuse(node, "missing", f"{name} of an exception")
            case ast.FormattedValue(value=value, conversion=conversion) if conversion == _REPR:
                if self._may_be(value) and self._is_any_kept:
                    node.value, node.conversion = self._asked("shown", value, "str"), -1
                    return node
        return None

    def _may_be(self, node: ast.expr) -> bool:
        values = self._kinds.values_of(node)
        return "exception" in values or UNKNOWN in values

    def _asked(self, helper: str, about: ast.expr, kind: str) -> ast.expr:
        made = located(ast.Call(name_of(self._words.helper(helper)), [about], []), about)
        self._kinds.say(made, {kind})
        self._kinds.callees[made] = {UNKNOWN}
        return made

    # Making them

    def _made(self, node: ast.Call, callees: set[Value]) -> Replacement | None:
        if node.keywords:
            self._refuse(node, "missing", "keywords of an exception")
        several = len(node.args) > 1 or any(isinstance(argument, ast.Starred) for argument in node.args)
        if several and any(map(_has_fields, callees)):
            self._refuse(node, "missing", "several arguments of an OSError or UnicodeError")
        if not node.args or (not several and self._kinds.values_of(node.args[0]) == {"str"}):
            return None
        if self._are_looked_at or any(isinstance(argument, ast.Starred) for argument in node.args):
            made = ast.Call(name_of(self._words.helper("exception")), [node.func, *node.args], [])
            self._kinds.say(made, {"exception"})
            self._kinds.callees[made] = {UNKNOWN}
            return located(made, node)
        shown = ast.Tuple(node.args, ast.Load()) if several else node.args[0]
        text = located(ast.Call(self._words.name("str"), [shown], []), node)
        self._kinds.say(text, {"str"})
        node.args = [text]
        return node

    @cached_property
    def _are_looked_at(self) -> bool:
        """Whether the program may ask an exception what it was given."""
        for node in walk(self._unfolding.tree):
            match node:
                case ast.Attribute(attr="args") | ast.Name(id="repr") | ast.FormattedValue(conversion=114):
                    return True
        return False

    @cached_property
    def _is_any_kept(self) -> bool:
        """Whether there may be an exception that was given something else than one text."""
        return any(self._is_given_more(call) for call in self._kinds.callees) or any(
            isinstance(node, ast.Assert) and node.msg is not None and self._kinds.values_of(node.msg) != {"str"}
            for node in walk(self._unfolding.tree)
        )

    def _is_given_more(self, call: ast.Call) -> bool:
        if not call.args or not any(is_exception(value) for value in self._kinds.callees[call]):
            return False
        return (
            len(call.args) > 1
            or self._kinds.values_of(call.args[0]) != {"str"}
            or isinstance(call.args[0], ast.Starred)
        )
