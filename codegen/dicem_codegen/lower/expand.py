"""Writes the short form of calls apart: `patch.find_finish(await patch.find_start("litter"))`."""

from __future__ import annotations

import ast
from functools import cached_property

from ..types import CallSite, Lowered
from ..walking import rewritten
from .build import is_repeatable, located, name_of
from .scopes import Fresh
from .words import FINISH_SUFFIX, FUNCTIONS, METHODS, START_SUFFIX, Remote

Tags = dict[int, dict[str, str]]


def expand(lowered: Lowered, tags: Tags) -> ast.Module:
    """The module with each call as start and finish.

    :param tags: for each site by its number, the keywords to put on its start, as `{"site": "edge"}`
    """
    tree = rewritten(lowered.tree, ast.Await, _Expansion(lowered, tags).awaited)
    assert isinstance(tree, ast.Module)
    return tree


class _Expansion:
    """Changes the tree in place: the lowered program is used up."""

    def __init__(self, lowered: Lowered, tags: Tags) -> None:
        self._sites, self._tags = lowered.sites, tags
        self._tree = lowered.tree

    @cached_property
    def _fresh(self) -> Fresh:
        """Names, should one be wanted."""
        return Fresh(self._tree)

    def awaited(self, node: ast.Await) -> ast.AST:
        """What is written for it."""
        site = self._sites.get(node)
        if site is None or not isinstance(node.value, ast.Call):
            return node
        call = node.value
        tags = [ast.keyword(key, ast.Constant(value)) for key, value in self._tags.get(site.number, {}).items()]
        match site.form:
            case "call":
                call.keywords = [*call.keywords, *tags]
            case "method":
                return self._method(node, call, tags)
            case "function":
                return self._function(node, call, site, tags)
        return located(node, call)

    def _method(self, node: ast.Await, call: ast.Call, tags: list[ast.keyword]) -> ast.expr:
        assert isinstance(call.func, ast.Attribute)
        receiver, remote = call.func.value, METHODS[call.func.attr]
        again: ast.expr
        if is_repeatable(receiver):
            again = receiver
        else:
            name = self._fresh("patch" if remote.owner == "ImagePatch" else "video")
            receiver = ast.NamedExpr(ast.Name(name, ast.Store()), receiver)
            again = name_of(name)
        finish = ast.Attribute(receiver, remote.name + FINISH_SUFFIX, ast.Load())
        start = ast.Attribute(again, remote.name + START_SUFFIX, ast.Load())
        return self._both(node, call, remote, finish, start, tags)

    def _function(self, node: ast.Await, call: ast.Call, site: CallSite, tags: list[ast.keyword]) -> ast.expr:
        remote = FUNCTIONS[site.name]
        if remote.name == "best_image_match":
            call.func = located(ast.Name("best_image_match_ask", ast.Load()), call)
            call.keywords = [*call.keywords, *tags]
            return located(node, call)
        finish, start = (ast.Name(remote.name + suffix, ast.Load()) for suffix in (FINISH_SUFFIX, START_SUFFIX))
        return self._both(node, call, remote, finish, start, tags)

    def _both(
        self, node: ast.Await, call: ast.Call, remote: Remote, finish: ast.expr, start: ast.expr,
        tags: list[ast.keyword],
    ) -> ast.expr:  # fmt: skip
        """`finish(await start(...), what it needs again)`; that is bound in the call's arguments."""
        again: list[ast.expr | ast.keyword] = []
        for name in remote.again:
            position = remote.parameters.index(name)
            if position < len(call.args):
                call.args[position], once_more = self._twice(call.args[position], name)
                again.append(once_more)
            for keyword in call.keywords:
                if keyword.arg == name:
                    keyword.value, once_more = self._twice(keyword.value, name)
                    again.append(ast.keyword(name, once_more))
        positional = [part for part in again if isinstance(part, ast.expr)]
        named = [part for part in again if isinstance(part, ast.keyword)]
        begun = ast.Await(ast.Call(start, call.args, [*call.keywords, *tags]))
        return located(ast.Call(finish, [begun, *positional], named), node)

    def _twice(self, value: ast.expr, name: str) -> tuple[ast.expr, ast.expr]:
        """The value, and how to have it again."""
        if isinstance(value, (ast.Name, ast.Constant)):
            return value, value
        bound = self._fresh(name)
        return located(ast.NamedExpr(ast.Name(bound, ast.Store()), value), value), name_of(bound, value)
