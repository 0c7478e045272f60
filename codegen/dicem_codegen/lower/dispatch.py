"""Calls through a variable or a container, where it is known which of the program's functions it may be.

    ask(patch)  ->  by_depth(patch) if ask is by_depth else by_name(patch)

What each of them asks can then be started ahead.
"""

from __future__ import annotations

import ast
from typing import Final

from ..walking import copied, walk
from .build import located, name_of
from .colour import Colours, enclosing_function
from .scopes import FUNCTIONS, Scope, parameters
from .unfold import replace
from .values import Func, Value

MOST: Final = 4
"""So many functions are told apart at most."""
_PLAIN: Final = (
    ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.Tuple,
)  # fmt: skip
"""What arguments are made of that may stand in several places: no calls, and nothing that binds names."""


def dispatch(tree: ast.Module, colours: Colours, entry: str) -> bool:
    """Rewrite such calls in place; whether there was one.

    :param entry: the function that the runner calls, after the whole module and once; "" if the module calls it
    """
    found = [(call, choice) for call, values in colours.kinds.callees.items() if (choice := _choice(values, colours))]
    found = [(call, choice) for call, choice in found if _is_apart(call, choice)]
    if not found or not entry:
        return False
    ways = _Ways(tree, colours, entry)
    done = [ways.put(call, choice) for call, choice in found]
    return any(done)


def _choice(values: set[Value], colours: Colours) -> list[Func]:
    """The functions that a call may mean, as they stand in the source; none if it may mean anything else."""
    funcs = [value for value in values if isinstance(value, Func) and isinstance(value.node, ast.FunctionDef)]
    if len(funcs) != len(values) or len(funcs) > MOST or not any(func in colours.makes_calls for func in funcs):
        return []
    return sorted(funcs, key=lambda func: (func.node.lineno, func.node.col_offset, _name(func)))


def _name(func: Func) -> str:
    assert isinstance(func.node, ast.FunctionDef)
    return func.node.name


def _is_apart(call: ast.Call, choice: list[Func]) -> bool:
    """Whether a call goes through a variable or a fixed place of a container, and may be written twice."""
    match call.func:
        case ast.Name(id=name):
            through = len(choice) > 1 or name != _name(choice[0])
        case ast.Subscript(value=ast.Name(), slice=ast.Constant()):
            through = len(choice) > 1
        case _:
            return False
    given = [*call.args, *[keyword.value for keyword in call.keywords]]
    return through and all(isinstance(part, _PLAIN) for argument in given for part in walk(argument))


class _Ways:
    """What is known of names where calls stand."""

    def __init__(self, tree: ast.Module, colours: Colours, entry: str) -> None:
        self._tree, self._colours = tree, colours
        self._entry = next((n for n in tree.body if getattr(n, "name", None) == entry), None)
        self._bound: dict[str, int] = {}
        for node in walk(tree):
            names: list[str] = []
            match node:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                    names = [name]
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names = [name]
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    names = [name]
                case ast.alias():
                    names = [node.asname or node.name.split(".")[0]]
            for name in names:
                self._bound[name] = self._bound.get(name, 0) + 1
        self._deleted = {n.id for n in walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)}

    def put(self, call: ast.Call, choice: list[Func]) -> bool:
        """Write it apart, if each of the functions is there under its own name; whether it was."""
        around = enclosing_function(call, self._colours.parents)
        if not isinstance(around, FUNCTIONS) or not all(self._is_there(func, call, around) for func in choice):
            return False
        if len(choice) == 1 and not self._is_bound(call, around):
            return False
        *others, last = choice
        made = self._direct(call, last)
        for func in reversed(others):
            test = ast.Compare(copied(call.func), [ast.Is()], [name_of(_name(func))])
            made = ast.IfExp(test, self._direct(call, func), made)
        return replace(self._colours.parents[call], call, located(made, call))

    def _direct(self, call: ast.Call, func: Func) -> ast.expr:
        made = copied(call)
        made.func = name_of(_name(func), call.func)
        return made

    def _is_there(self, func: Func, call: ast.Call, around: ast.AST) -> bool:
        """Whether its name means the one function that was ever made of it."""
        node = func.node
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or self._bound[node.name] != 1:
            return False
        if node in self._tree.body:
            return True
        return (
            around is self._entry
            and isinstance(around, ast.FunctionDef)
            and self._is_run_once()
            and node in around.body
            and around.body.index(node) < self._index(call, around)
        )

    def _is_run_once(self) -> bool:
        """Whether nothing but the runner calls the entry."""
        func = self._colours.kinds.functions.get(self._entry) if self._entry is not None else None
        used = any(isinstance(n, ast.Name) and n.id == _name(func) for n in walk(self._tree)) if func else True
        return not used

    def _index(self, node: ast.AST, around: ast.FunctionDef) -> int:
        """Which of the function's statements holds a node."""
        current = node
        while self._colours.parents[current] is not around:
            current = self._colours.parents[current]
        return around.body.index(current) if current in around.body else -1

    def _is_bound(self, call: ast.Call, around: ast.AST) -> bool:
        """Whether the variable that is called has a value for certain."""
        if not isinstance(call.func, ast.Name) or call.func.id in self._deleted:
            return False
        name = call.func.id
        here = self._colours.kinds.scopes.of.get(call.func)
        holder: Scope | None = here.where(name) if here is not None else None
        if holder is None:
            return False
        if isinstance(holder.node, ast.ListComp):
            return True
        if holder.node is not around or not isinstance(around, ast.FunctionDef):
            return False
        if any(parameter.arg == name for parameter in parameters(around.args)):
            return True
        before = around.body[: max(0, self._index(call, around))]
        return any(
            isinstance(s, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in s.targets)
            for s in before
        )
