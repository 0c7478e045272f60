"""The first pass: text to tree, within bounds that every later pass can rely on.

Whatever is handed in ends soon and with one clear line: a program, or a `CompileError` with file, line and column.  The
bounds are what keeps it so.  They are far from what people and models write, and near enough that no pass, however it
walks, runs out of stack, memory or patience.
"""

from __future__ import annotations

import ast
import codecs
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from dicem_shared import program
from dicem_shared.errors import CompileError, ProgramError

from .types import Diagnostic, Parsed
from .walking import children

MAX_LINES: Final = 3_000
MAX_CHARACTERS: Final = 200_000
MAX_BRACES: Final = 10_000
"""`{` in the source: CPython 3.11 takes time with the square of the fields of an f-string."""
MAX_NODES: Final = 40_000
MAX_DEPTH: Final = 120
"""Nodes inside nodes.  The runner's interpreter takes 200, and what the later passes add counts too."""
MAX_LOOPS: Final = 10
"""Loops inside loops, comprehensions too."""
MAX_DIGITS: Final = 4_300
"""Of a whole number: CPython neither reads nor prints more in decimal."""
MAX_KEYWORDS: Final = 1_000
"""In one call: CPython takes time with the square of them."""
RUNNER_DEPTH: Final = 195
"""What a compiled program may have, so that the runner's interpreter reads it."""
RECURSION: Final = 6_000
"""Frames for a pass that walks a tree of `MAX_DEPTH` in some ten functions a level."""
PYTHON: Final = (3, 11)
"""Whose meaning programs have."""
_TOO_LARGE: Final = 10**MAX_DIGITS
_NEWLINE: Final = re.compile(r"\r\n?")
_COOKIE: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_ENCODINGS: Final = {"utf-8": "utf-8-sig", "ascii": "utf-8-sig", "iso8859-1": "latin-1", "cp1252": "cp1252"}
"""Encodings that a program may declare, and how they are read; UTF-8 holds ASCII."""
_MARKS: Final = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@contextmanager
def room_to_recurse() -> Iterator[None]:
    """Stack enough for every pass on a tree as deep as `parse` lets through."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def read_program(path: Path) -> str:
    """The text of a program's file.

    :raises ProgramError: it cannot be read
    :raises CompileError: it is no text, or too long
    """
    try:
        with path.open("rb") as file:
            return read_text(file, where=str(path))
    except (OSError, ValueError) as cause:  # ValueError: a path that no file can have
        got = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise ProgramError(f"program {path} cannot be read", got=got) from None


def read_text(file: BinaryIO, *, where: str) -> str:
    """The text in a file; no more of it is read than a program may have.

    :raises CompileError: it is no text in the encoding that it declares (UTF-8 if none), or too long
    """
    data = file.read(4 * MAX_CHARACTERS + 1)
    if len(data) > 4 * MAX_CHARACTERS:
        raise _refused(where, 1, 1, "too-long", f"too long: more than {MAX_CHARACTERS:,} characters", _SHORTER)
    encoding = _encoding(data, where)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as cause:
        kind = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
        hint = f"Save it as UTF-8, not {kind}" if kind else "Save it as UTF-8"
        before = data[: cause.start].decode("utf-8-sig", "replace")
        raise _refused(where, *_end_of(before), "encoding", f"not UTF-8 text: {cause.reason}", hint) from None


_TOO_MANY_DIGITS: Final = f"a whole number of more than {MAX_DIGITS:,} digits"
_SHORTER: Final = "A program answers one question for one frame; split it or shorten it"


def _encoding(data: bytes, where: str) -> str:
    """The codec of a source file, as a comment in its first two lines may declare it."""
    for number, line in enumerate(data.split(b"\n", 2)[:2], start=1):
        found = _COOKIE.match(line)
        if found is not None:
            declared = found.group(1).decode("ascii", "replace")
            try:
                name = codecs.lookup(declared).name
            except (LookupError, ValueError):
                name = ""
            if name in _ENCODINGS:
                return _ENCODINGS[name]
            raise _refused(where, number, 1, "encoding", f"encoding {declared[:40]} is not read", "Save it as UTF-8")
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    return "utf-8-sig"


def parse(source: str, *, name: str, where: str) -> Parsed:
    """Source as a tree that CPython 3.11 would run.

    :param name: what the program is called, if no `# dicem: name=` says otherwise
    :param where: the file's name, for messages
    :raises CompileError: it does not parse, or it is over a bound; one diagnostic
    """
    source = _NEWLINE.sub("\n", source.removeprefix("\ufeff"))
    _check_text(source, where)
    tree = _tree(source, where)
    parsed = Parsed(source, tree, name, where, lines=tuple(source.split("\n")))
    _check_tree(parsed)
    _check_meaning(parsed)
    parsed.directives = _directives(source, where)
    parsed.name = parsed.directives.get("name", name)
    return parsed


def depth_of(tree: ast.AST) -> int:
    """How deep a tree is; a single node is 1 deep."""
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in children(node)]
    return depth


def _refused(where: str, line: int, column: int, code: str, message: str, hint: str = "") -> CompileError:
    return CompileError([Diagnostic(line, column, "error", code, message, hint)], where=where)


def _end_of(text: str) -> tuple[int, int]:
    """Line and column, from 1, of what comes after `text`."""
    text = _NEWLINE.sub("\n", text)
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _check_text(source: str, where: str) -> None:
    if len(source) > MAX_CHARACTERS:
        message = f"too long: {len(source):,} characters, at most {MAX_CHARACTERS:,} are taken"
        raise _refused(where, *_end_of(source[:MAX_CHARACTERS]), "too-long", message, _SHORTER)
    lines = source.count("\n") + (not source.endswith("\n"))
    if lines > MAX_LINES:
        message = f"too long: {lines:,} lines, at most {MAX_LINES:,} are taken"
        raise _refused(where, MAX_LINES + 1, 1, "too-long", message, _SHORTER)
    if source.count("{") > MAX_BRACES:
        place = _end_of(source[: [m.start() for m in re.finditer("{", source)][MAX_BRACES]])
        raise _refused(where, *place, "too-long", f"too many braces: at most {MAX_BRACES:,} are taken", _SHORTER)
    words = program.count_words(source)
    if words > program.MAX_WORDS:
        message = f"too long: {words:,} names, numbers, commas and line ends, at most {program.MAX_WORDS:,} are taken"
        raise _refused(where, 1, 1, "too-long", message, _SHORTER)
    null = source.find("\0")
    if null >= 0:
        raise _refused(where, *_end_of(source[:null]), "syntax", "a null byte: this is no text")
    surrogate = re.search("[\ud800-\udfff]", source)
    if surrogate is not None:
        raise _refused(where, *_end_of(source[: surrogate.start()]), "syntax", "half a character: this is no text")


def _tree(source: str, where: str) -> ast.Module:
    try:
        return _ast(source)
    except SyntaxError as cause:
        raise _syntax_error(cause, source, where, in_bytes=False) from None
    except (RecursionError, MemoryError):
        raise _too_deep(where, _deep_line(source), 1) from None
    except ValueError as cause:  # what no Python that we know raises for text without null bytes and surrogates
        raise _refused(where, 1, 1, "syntax", f"not text: {cause}") from None


def _ast(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes are no concern of whoever compiles the program
        return ast.parse(source, feature_version=PYTHON)


def _too_deep(where: str, line: int, column: int) -> CompileError:
    hint = "Give parts of the expression names of their own, or use a loop or a dict for a long chain"
    return _refused(where, line, column, "too-deep", f"nested more than {MAX_DEPTH} deep", hint)


def _deep_line(source: str) -> int:
    """The line by whose end the source is nested too deeply for CPython's parser."""
    lines = source.split("\n")
    low, high = 0, len(lines)  # the first `low` lines are not, the first `high` are
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _ast("\n".join(lines[:middle]))
            low = middle
        except SyntaxError:
            low = middle
        except (RecursionError, MemoryError):
            high = middle
    return high


def _syntax_error(cause: SyntaxError, source: str, where: str, *, in_bytes: bool) -> CompileError:
    """`in_bytes`: CPython's compiler counts columns in bytes, its parser in characters."""
    lines = source.split("\n")
    line, column = min(max(cause.lineno or 1, 1), len(lines)), max(cause.offset or 1, 1)
    text = lines[line - 1]
    if in_bytes:
        column = len(text.encode()[: column - 1].decode("utf-8", "ignore")) + 1
    elif cause.msg.startswith("f-string: "):
        # Before 3.12 the column is one of the field, with brackets around it, and not of the line.
        field = (cause.text or "").strip()[1:-1]
        start = text.find("{" + field) if field else -1
        column = start + column if start >= 0 else column
    column = min(column, len(text) + 1)
    message = _TOO_MANY_DIGITS if cause.msg.startswith("Exceeds the limit") else cause.msg
    return _refused(where, line, column, "syntax", message)


def _check_tree(parsed: Parsed) -> None:
    """Bounds on the whole and on how deep it is, without recursion."""
    count = 0
    # Each node with its depth, the loops that it is in, and the statement that it is part of.
    stack: list[tuple[ast.AST, int, int, ast.AST]] = [(parsed.tree, 1, 0, parsed.tree)]
    while stack:
        node, depth, loops, statement = stack.pop()
        count += 1
        if count > MAX_NODES:
            message = f"too long: more than {MAX_NODES:,} names, values and operations"
            raise _refused(parsed.where, *parsed.place(statement), "too-long", message, _SHORTER)
        if depth > MAX_DEPTH:
            raise _too_deep(parsed.where, *parsed.place(statement))
        if loops > MAX_LOOPS:
            message, hint = f"more than {MAX_LOOPS} loops inside each other", "Move the inner ones to a function"
            raise _refused(parsed.where, *parsed.place(statement), "too-deep", message, hint)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            loops += 1
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            loops += len(node.generators)
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.value >= _TOO_LARGE:
            raise _refused(parsed.where, *parsed.place(node), "too-long", _TOO_MANY_DIGITS)
        elif isinstance(node, (ast.Call, ast.ClassDef)) and len(node.keywords) > MAX_KEYWORDS:
            message = f"more than {MAX_KEYWORDS} keywords in one call"
            raise _refused(parsed.where, *parsed.place(node.keywords[MAX_KEYWORDS]), "too-long", message)
        for child in children(node):
            stack.append((child, depth + 1, loops, child if isinstance(child, ast.stmt) else statement))


def _check_meaning(parsed: Parsed) -> None:
    """What CPython's compiler refuses though it parses: `return` outside a function, `break` outside a loop..."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(parsed.tree, "program", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True, optimize=0)
    except SyntaxError as cause:
        raise _syntax_error(cause, parsed.source, parsed.where, in_bytes=True) from None
    except (RecursionError, MemoryError):
        raise _too_deep(parsed.where, 1, 1) from None


def _directives(source: str, where: str) -> dict[str, str]:
    try:
        return program.directives(source, where)
    except ProgramError as cause:
        line = int(cause.what.removeprefix(f"{where}:").split(":", 1)[0])
        expected = f": expected {cause.expected}, got {cause.got}"
        message = cause.what.removeprefix(f"{where}:{line}:1: ") + expected
        raise _refused(where, line, 1, "directive", message) from None
