"""A program: source that answers one query for one frame, made ready for the interpreter.

Nothing of its meaning is touched here.  Imports of what the prelude provides (`hermod`, `PIL`) become names of the
prelude, on the same lines, and the entry function is found.  A comment `# dicem: key=value` says what code cannot:

    # dicem: crop-origin=top-left     crop() is given boxes as detectors give them (DiCE-M's helpers do)
    # dicem: name=litter              what it is called; else the file's name

Every error says file:line:column.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .entries import call_arguments
from .errors import ProgramError, ProgramSyntaxError
from .ids import digest

MAX_SOURCE_BYTES = 200_000
MAX_WORDS = 30_000
"""Names, numbers, commas and line ends in a source: its tree takes up to 2 kB each, in the process that reads it."""
ENTRIES = ("execute_command", "execute_query")
_DIRECTIVE = re.compile(r"^# dicem: ([a-z-]+)=(\S+)\s*$", re.MULTILINE)
_DIRECTIVES: dict[str, tuple[str, ...]] = {"crop-origin": ("bottom-left", "top-left"), "name": ()}
"""What a directive may say; an empty tuple: anything."""
_WORD = re.compile(r"\w+|[,;\n]")
_MODULES = {"hermod": "hermod", "PIL": "PIL", "PIL.Image": "PIL_Image"}
"""What the prelude calls the modules that it stands for."""


@dataclass(frozen=True)
class Program:
    """`form`: a "function" is called with the frame; a "module" calls its own entry when it is run."""

    name: str
    source: str
    runnable: str
    """the source as it is fed to the interpreter: same lines, imports resolved, the entry called at the end"""
    form: Literal["function", "module"]
    entry: str
    crop_origin: Literal["bottom-left", "top-left"]

    @property
    def id(self) -> str:
        """Hash of the source; the same program has the same id everywhere."""
        return digest("program", self.source)


def load_program(path: Path) -> Program:
    """Read and prepare a program.

    :raises ProgramError: the file cannot be read, or holds no program
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise ProgramError(f"program {path} cannot be read", got=cause.strerror or str(cause)) from None
    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        column = cause.start - data.rfind(b"\n", 0, cause.start)
        raise ProgramSyntaxError(f"{path}:{line}:{column}: not UTF-8 text", got=cause.reason) from None
    return prepare(source, name=path.stem, where=str(path))


def prepare(source: str, *, name: str = "program", where: str = "program") -> Program:
    """Make source ready to run.

    :raises ProgramSyntaxError: it does not parse; says file, line and column
    :raises ProgramError: no entry function, one that takes something else than a frame, or a directive we do not know
    """
    tree = _parse(source, where)
    said = directives(source, where)
    origin = said.get("crop-origin", "bottom-left")
    entry = _entry(tree, where)
    is_module = runs_itself(tree, entry.name)
    resolved = _resolve_imports(source, tree, where)
    call = "" if is_module else f"\n{_call_of(entry, where, strands='spawn' in source)}\n"
    return Program(
        name=said.get("name", name),
        source=source,
        runnable=resolved + (call or "\nNone\n"),
        form="module" if is_module else "function",
        entry=entry.name,
        crop_origin="top-left" if origin == "top-left" else "bottom-left",
    )


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _parse(source: str, where: str) -> ast.Module:
    if len(source) > MAX_SOURCE_BYTES:
        raise ProgramSyntaxError(f"{where}:1:1: too long", expected=f"at most {MAX_SOURCE_BYTES} characters")
    words = count_words(source)
    if words > MAX_WORDS:
        raise ProgramSyntaxError(f"{where}:1:1: too long", expected=f"at most {MAX_WORDS} words", got=str(words))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes are no concern of whoever runs the program
            return ast.parse(source)
    except SyntaxError as cause:
        raise ProgramSyntaxError(f"{where}:{cause.lineno or 1}:{cause.offset or 1}: {cause.msg}") from None
    except (RecursionError, MemoryError):
        raise ProgramSyntaxError(f"{where}:1:1: nested too deeply") from None
    except ValueError as cause:
        raise ProgramSyntaxError(f"{where}:1:1: not text", got=str(cause)) from None


def count_words(source: str) -> int:
    """Names, numbers, commas and line ends: what a source weighs before anybody makes a tree of it."""
    return sum(1 for _ in _WORD.finditer(source))


def directives(source: str, where: str) -> dict[str, str]:
    """What the lines `# dicem: key=value` say.

    :raises ProgramError: one that we do not know
    """
    found: dict[str, str] = {}
    for match in _DIRECTIVE.finditer(source):
        key, value = match.group(1), match.group(2)
        allowed = _DIRECTIVES.get(key)
        if allowed is None or (allowed and value not in allowed):
            line = source.count("\n", 0, match.start()) + 1
            expected = " or ".join(allowed if allowed else _DIRECTIVES)
            raise ProgramError(f"{where}:{line}:1: # dicem: {key}", expected=expected, got=value if allowed else key)
        found[key] = value
    return found


def _at(where: str, node: Function | ast.Import | ast.ImportFrom) -> str:
    return f"{where}:{node.lineno}:{node.col_offset + 1}"


def _entry(tree: ast.Module, where: str) -> Function:
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    named = [node for node in functions if node.name in ENTRIES]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise ProgramError(f"{_at(where, named[1])}: two entry functions", got=", ".join(n.name for n in named))
    have = ", ".join(node.name for node in functions) or "no function at all"
    raise ProgramError(
        f"{where}:1:1: no entry function", expected="a function execute_command(image)", got=have,
        todo="Name the function that takes the frame execute_command.",
    )  # fmt: skip


def _call_of(entry: Function, where: str, *, strands: bool) -> str:
    """The expression that calls the entry with what its parameter's name asks for, and checks what it returns.

    `strands`: it may have some, so that it is run with room for them, which takes a little longer.
    """
    arguments = call_arguments(entry.args)
    if arguments is None:
        parameters = entry.args.posonlyargs + entry.args.args + entry.args.kwonlyargs
        raise ProgramError(
            f"{_at(where, entry)}: {entry.name} cannot be called with a frame",
            expected="one parameter: image, image_patch, video or image_filename",
            got=", ".join(a.arg for a in parameters) or "none",
        )
    given = ", ".join(arguments)
    if not isinstance(entry, ast.AsyncFunctionDef):
        return f"_returned({entry.name}({given}))"
    if strands:
        return f"await hermod.run({entry.name}({given}), _returned)"
    return f"_returned(await {entry.name}({given}))"


def runs_itself(tree: ast.Module, entry: str) -> bool:
    """Whether the program calls its entry when it is run, by itself or through functions of its own."""
    functions = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    pending: list[ast.AST] = [node for node in tree.body if not isinstance(node, _DEFINITIONS)]
    seen: set[str] = set()
    while pending:
        called = _called(pending.pop()) - seen
        if entry in called:
            return True
        seen |= called
        pending.extend(functions[name] for name in sorted(called & functions.keys()))
    return False


def _called(node: ast.AST) -> set[str]:
    return {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def _resolve_imports(source: str, tree: ast.Module, where: str) -> str:
    """The source with imports of the prelude's modules replaced, every other line where it was."""
    lines = source.encode().splitlines(keepends=True)
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    # From the end, because what is replaced moves what comes after it.
    for node in sorted(imports, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        replacement = _import_as_assignment(node, where)
        if replacement is None:
            continue
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        lines[first : last + 1] = [head + replacement.encode() + tail + b"\n" * (last - first)]
    return b"".join(lines).decode()


def _import_as_assignment(node: ast.Import | ast.ImportFrom, where: str) -> str | None:
    """What an import of a prelude module becomes; None leaves it as it is.

    :raises ProgramSyntaxError: a star: it would not say which names it binds
    """
    parts = []
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in _MODULES:
                parts.append(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
            elif alias.asname:
                parts.append(f"{alias.asname} = {_MODULES[alias.name]}")
        changed = any(alias.name in _MODULES for alias in node.names)
    else:
        changed = node.level == 0 and node.module in _MODULES
        if changed and any(alias.name == "*" for alias in node.names):
            raise ProgramSyntaxError(f"{_at(where, node)}: import *", todo=f"Name what you need of {node.module}.")
        for alias in node.names:
            origin = _MODULES.get(f"{node.module}.{alias.name}") or f"{_MODULES.get(node.module or '')}.{alias.name}"
            parts.append(f"{alias.asname or alias.name} = {origin}")
    return ("; ".join(parts) or "pass") if changed else None
