"""The text of a compiled program: the author's own lines, comments and blank lines wherever they are still true.

A statement that no pass has changed is written as it stands in the source; one that was changed, or is new, as
`ast.unparse` writes it.  Comments stay above, or behind, the statement that they are about.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

from .types import Parsed
from .walking import is_same, statements, walk

INDENT = "    "
_Place = tuple[int, int]
_COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def written(tree: ast.Module, parsed: Parsed) -> str:
    """The source of a tree whose nodes still say where they come from."""
    return _Writer(parsed).module(tree)


class _Writer:
    def __init__(self, parsed: Parsed) -> None:
        self._lines = parsed.source.split("\n")
        self._original = {_place(node): node for node in statements(parsed.tree)}
        self._comments, self._alone = _comments_of(parsed.source)
        self._told: set[int] = set()
        """lines whose comments have been written"""
        self._out: list[str] = []

    def module(self, tree: ast.Module) -> str:
        self._head()
        self._block(tree.body, 0)
        return "\n".join(self._out).strip("\n") + "\n"

    def _head(self) -> None:
        """The comments at the very top are about the whole program."""
        line = 1
        while line in self._alone:
            text = self._comments[line]
            self._told.add(line)
            if not text.startswith("# dicem:") and (self._out or text.strip("# ")):
                self._out.append(text)
            line += 1
        if self._out:
            self._out.append("")

    # Blocks and statements

    def _block(self, statements: list[ast.stmt], depth: int) -> None:
        for number, statement in enumerate(statements):
            origin = self._origin(statement)
            if depth == 0 and number and _is_definition_near(statements[number - 1], statement):
                self._out += ["", ""]
            elif origin is not None and number and self._stands_apart(origin):
                self._out.append("")
            if origin is not None:
                self._above(origin, depth)
            self._statement(statement, origin, depth)

    def _origin(self, statement: ast.stmt) -> ast.stmt | None:
        """The statement of the source that this one comes from."""
        if not hasattr(statement, "lineno"):
            return None
        found = self._original.get(_place(statement))
        return found if type(found) in _KIN.get(type(statement), (type(statement),)) else None

    def _statement(self, statement: ast.stmt, origin: ast.stmt | None, depth: int, word: str = "") -> None:
        if not isinstance(statement, _COMPOUND):
            self._simple(statement, origin, depth)
            return
        self._header(statement, origin, depth, word)
        self._block(statement.body, depth + 1)
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                text = ast.unparse(ast.ExceptHandler(handler.type, handler.name, [ast.Pass()]))
                self._put(text.split("\n")[0], depth)
                self._block(handler.body, depth + 1)
        self._orelse(statement, depth)
        if isinstance(statement, ast.Try) and statement.finalbody:
            self._put("finally:", depth)
            self._block(statement.finalbody, depth + 1)

    def _orelse(self, statement: ast.stmt, depth: int) -> None:
        orelse: list[ast.stmt] = getattr(statement, "orelse", [])
        if not orelse:
            return
        if isinstance(statement, ast.If) and len(orelse) == 1 and isinstance(orelse[0], ast.If):
            inner = orelse[0]
            origin = self._origin(inner)
            if origin is None or self._lines[origin.lineno - 1][origin.col_offset :].startswith("elif"):
                self._statement(inner, origin, depth, "el")
                return
        self._put("else:", depth)
        self._block(orelse, depth + 1)

    def _simple(self, statement: ast.stmt, origin: ast.stmt | None, depth: int) -> None:
        own = None if origin is None or not is_same(origin, statement) else self._own_lines(origin, depth)
        if own is not None:
            self._out += own
            return
        text = ast.unparse(statement)
        if origin is not None and origin.end_lineno is not None:
            text += self._behind(origin.end_lineno)
        for line in text.split("\n"):
            self._put(line, depth)

    def _header(self, statement: ast.stmt, origin: ast.stmt | None, depth: int, word: str) -> None:
        if origin is not None and is_same(_bare(origin), _bare(statement)):
            lines = self._header_lines(origin, depth)
            if lines is not None:
                self._out += lines
                return
        bare = _bare(statement)
        bare.body = [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(bare, ast.Try):
            self._put("try:", depth)
            return
        lines = ast.unparse(bare).strip("\n").split("\n")
        for line in lines[:-2]:
            self._put(line, depth)
        self._put(word + lines[-2] + (self._behind(origin.lineno) if origin is not None else ""), depth)

    def _put(self, line: str, depth: int) -> None:
        self._out.append(INDENT * depth + line if line else "")

    # The author's own words

    def _own_lines(self, origin: ast.stmt, depth: int) -> list[str] | None:
        """The lines of a statement, moved to its depth; None if it shares them, or cannot be moved."""
        first, last = origin.lineno, origin.end_lineno or origin.lineno
        lines = self._lines[first - 1 : last]
        column = len(lines[0].encode()[: origin.col_offset].decode())
        end = lines[-1].encode()[origin.end_col_offset :].decode().strip()
        if lines[0][:column].strip() or (end and not end.startswith("#")):
            return None
        if len(lines) > 1 and (column != len(INDENT) * depth) and _has_long_text(origin):
            return None
        moved = [INDENT * depth + lines[0][column:].rstrip()]
        for line in lines[1:]:
            inner = line[column:] if not line[:column].strip() else line.lstrip()
            moved.append((INDENT * depth + inner).rstrip() if column != len(INDENT) * depth else line)
        return moved

    def _header_lines(self, origin: ast.stmt, depth: int) -> list[str] | None:
        body: list[ast.stmt] = origin.body  # type: ignore[attr-defined]
        if getattr(origin, "decorator_list", None):
            return None
        last = _first_line(body[0]) - 1
        while last >= origin.lineno and (last in self._alone or not self._lines[last - 1].strip()):
            last -= 1
        if last < origin.lineno:
            return None
        lines = self._lines[origin.lineno - 1 : last]
        column = len(lines[0].encode()[: origin.col_offset].decode())
        if lines[0][:column].strip() or (len(lines) > 1 and column != len(INDENT) * depth):
            return None
        return [INDENT * depth + lines[0][column:].rstrip(), *(line.rstrip() for line in lines[1:])]

    def _above(self, origin: ast.stmt, depth: int) -> None:
        """The comments right above a statement."""
        line = _first_line(origin) - 1
        found = []
        while line > 0 and line in self._alone and line not in self._told:
            self._told.add(line)
            found.append(self._comments[line])
            line -= 1
        for text in reversed(found):
            if not text.startswith("# dicem:"):  # these stand at the top
                self._put(text, depth)

    def _behind(self, line: int) -> str:
        return f"  {self._comments[line]}" if line in self._comments and line not in self._alone else ""

    def _stands_apart(self, origin: ast.stmt) -> bool:
        """Whether the author left a blank line above."""
        line = _first_line(origin) - 1
        while line > 0 and line in self._alone:
            line -= 1
        return line > 0 and not self._lines[line - 1].strip()


_KIN: dict[type, tuple[type, ...]] = {
    ast.AsyncFunctionDef: (ast.FunctionDef, ast.AsyncFunctionDef),
    ast.With: (ast.With,),
}
"""What a statement may have been before it was lowered."""


def _is_definition_near(one: ast.stmt, other: ast.stmt) -> bool:
    return isinstance(one, _DEFINITIONS) or isinstance(other, _DEFINITIONS)


def _place(node: ast.stmt) -> _Place:
    return node.lineno, node.col_offset


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _bare(statement: ast.stmt) -> ast.stmt:
    """A compound statement without what is inside."""
    made = type(statement)(**dict(ast.iter_fields(statement)))
    for name in ("body", "orelse", "finalbody", "handlers"):
        if hasattr(made, name):
            setattr(made, name, [])
    return ast.copy_location(made, statement)


def _has_long_text(statement: ast.stmt) -> bool:
    """Whether it holds text over several lines, whose indentation is part of it."""
    return any(
        isinstance(node, (ast.Constant, ast.JoinedStr)) and (node.end_lineno or node.lineno) > node.lineno
        for node in walk(statement)
        if isinstance(node, ast.expr)
    )


def _comments_of(source: str) -> tuple[dict[int, str], set[int]]:
    """The comment of each line that has one, and the lines that are nothing but a comment."""
    comments: dict[int, str] = {}
    alone: set[int] = set()
    if "#" not in source:
        return comments, alone
    for token in _tokens(source):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    return comments, alone


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(source).readline)
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return  # it parses, so nothing but comments can be lost
