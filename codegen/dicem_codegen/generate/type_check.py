"""The type checker that comes with the interpreter, over stubs made from the registry.

    with TypeChecker(registry) as checker:
        problems = checker.problems(parsed)

The checker runs in a worker process of its own, with bounds on time and memory, and never runs the program: before it
stands a name that nothing binds, which the checker refuses, and which would raise a NameError before the program's
first line were it executed after all.  Comments are left out: `# type: ignore` is for people.

A type checker knows less than the author and objects to much that works: `None` that was excluded before, notes that
are kept on patches and in results, variables that change their type.  What is held against a program is `HELD`, less
what `_is_advice` lets pass.  Both were found by checking all programs of this repository and hundreds of generated ones
(`tests/codegen/generate/test_type_check.py`), of which none is refused.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pydantic_monty as monty

from dicem_shared.entries import frame_argument
from dicem_shared.errors import ConfigError
from dicem_shared.functions import Registry
from dicem_shared.program import ENTRIES

from ..check.near import did_you_mean
from ..check.shapes import PATCH_WORDS, stored_keys
from ..check.subject import Subject
from ..types import Parsed, printable
from .stubs import ASYNC_PREFIX, SYNC_PREFIX, WORDS_MODULE, Stubs, stubs_of
from .types import Problem

TIMEOUT_S: Final = 5.0
"""Wall time for one program; one that takes longer is not held for wrong, nor for right."""
MEMORY_MB: Final = 1024
"""Address space of the worker; the checker needs some 100 MB."""
SENTINEL: Final = "_dicem_never_runs"
IMPORTS: Final = f"import hermod, PIL.Image, {WORDS_MODULE}"
"""The checker looks only into modules that the source itself imports."""
HELD: Final = frozenset(
    {
        "unresolved-attribute", "unsupported-operator", "invalid-key", "invalid-argument-type", "missing-argument",
        "too-many-positional-arguments", "unknown-argument", "no-matching-overload", "not-subscriptable",
        "non-subscriptable", "not-iterable", "call-non-callable", "invalid-await",
        "parameter-already-assigned", "index-out-of-bounds", "positional-only-parameter-as-kwarg",
    }
)  # fmt: skip
"""Findings that are held against a program; all other kinds are about style, or about what the checker cannot know."""
_CONTAINER: Final = re.compile(
    r"bound method `(?:list|dict|set|frozenset|deque|defaultdict|Counter|OrderedDict|Mapping|MutableMapping"
    r"|MutableSequence|MutableSet|Result\d+)\.(?!__)|TypedDict with items"
)
_OWN_OVERLOADS: Final = frozenset({"call", "call_sync", "best_image_match"})
PICTURE: Final = "ImagePatch | PILImage | dict[str, Any]"
_FRAME_TYPES: Final = {"ImagePatch(_frame)": "ImagePatch", "PILImage(_frame)": "PILImage", '"frame"': "str"}


@dataclass(frozen=True)
class Finding:
    """What the checker says; places are of the source that was checked."""

    line: int
    column: int
    code: str
    message: str


class TypeChecker:
    """See the module's text.  Use as a context manager; it keeps one worker."""

    def __init__(self, functions: Registry, *, timeout_s: float = TIMEOUT_S, memory_mb: int = MEMORY_MB) -> None:
        self.functions, self._memory_mb = functions, memory_mb
        self.stubs = stubs_of(functions)
        self._modules = _modules(self.stubs)
        self._pool = monty.Monty(min_processes=1, max_processes=1, request_timeout=timeout_s, checkout_timeout=30)

    def __enter__(self) -> TypeChecker:
        try:
            self._pool.__enter__()
        except Exception as cause:
            raise ConfigError("the type checker does not start", got=str(cause)) from None
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.__exit__(None, None, None)

    def problems(self, parsed: Parsed) -> tuple[tuple[Problem, ...], str]:
        """What is wrong with a program's types, and a word for people about how that was found."""
        text, shifted = _prepared(parsed, self.stubs, Subject(parsed, self.functions))
        found = self.findings(text)
        if found is None:
            return (), "not decided: too much for the type checker"
        judge = _Judge(parsed, self.stubs, Subject(parsed, self.functions))
        held = []
        for each in found:
            line, column = shifted.back(each.line, each.column)
            problem = judge.problem(Finding(line, column, each.code, each.message))
            if problem is not None:
                held.append(problem)
        return tuple(sorted(set(held))), f"{len(found) - len(held)} pieces of advice" if len(found) > len(held) else ""

    def findings(self, source: str) -> list[Finding] | None:
        """All that the checker says of a source; None if it was stopped before it could say."""
        name = SENTINEL
        while name in source:
            name += "_"
        said = self._said(f"{name}\n{IMPORTS}\n{source}\n")
        if said is None:
            return None
        before = IMPORTS.count("\n") + 2
        return [replace(each, line=each.line - before) for each in said if each.line > before]

    def _said(self, source: str) -> list[Finding] | None:
        try:
            with self._pool.checkout(
                script_name="program.py", type_check=True, type_check_stubs=self.stubs.prelude,
                type_check_format="json", external_modules=self._modules,
                limits={"max_feed_duration_secs": 0.1, "max_memory": 2**24},
            ) as session:  # fmt: skip
                _bound(session.worker_pid, self._memory_mb)
                session.feed_run(source, print_callback=monty.CollectString(1000))
        except monty.MontyTypingError as error:
            return _read(error.display())
        except (monty.MontyError, TimeoutError):  # crashed, killed for time or memory, or it did run
            return None
        return None


def _modules(stubs: Stubs) -> dict[str, monty.ExternalModule]:
    """The stubs as the checker takes them; the modules are empty."""
    image = monty.ExternalModule({}, stubs=stubs.modules["PIL.Image"])
    flat = {name: text for name, text in stubs.modules.items() if not name.startswith("PIL")}
    made = {name: monty.ExternalModule({}, stubs=text) for name, text in flat.items()}
    return made | {"PIL": monty.ExternalModule({"Image": image}, stubs=stubs.modules["PIL"])}


def _bound(pid: int | None, memory_mb: int) -> None:
    """Bound the worker's address space, where the system can."""
    if pid is None or sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):  # it has gone: then there is nothing to bound
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (memory_mb * 2**20, hard))


def _read(text: str) -> list[Finding]:
    """The findings in the checker's JSON; rubbish gives none."""
    try:
        said = json.loads(text)
        return [
            Finding(each["location"]["row"], each["location"]["column"], str(each["code"]), str(each["message"]))
            for each in said
            if each.get("location") and each.get("severity") != "warning"
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


# The source, prepared: nothing moves but what stands behind the annotation of the entry's parameter.


@dataclass(frozen=True)
class _Shift:
    """`by` columns were put into `line` at `column`."""

    line: int = 0
    column: int = 0
    by: int = 0

    def back(self, line: int, column: int) -> tuple[int, int]:
        """Where a place of the prepared source is in the author's."""
        if line != self.line or column <= self.column:
            return line, column
        return line, max(column - self.by, self.column)


def _prepared(parsed: Parsed, stubs: Stubs, subject: Subject) -> tuple[str, _Shift]:
    """The source with the frame's type said, and each call of a constant name made a call of that function's own.

    `hermod.call("depth", image=x)` becomes `hermod.f_depth(       image=x)`: so the checker speaks of `depth` and its
    parameters, not of overloads.
    """
    lines = [list(line) for line in parsed.lines]
    _blank_out(parsed, lines)
    for node in subject.nodes:
        if isinstance(node, ast.Call) and subject.origin(node.func) in ("hermod.call", "hermod.call_sync"):
            _call_by_name(node, lines, parsed, stubs)
    shift = _annotate_frame(parsed, lines)
    return "\n".join("".join(line) for line in lines), shift


def _blank_out(parsed: Parsed, lines: list[list[str]]) -> None:
    """Leave out comments, which may tell a checker to look away, and `__future__`, which must come first."""
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # it parses, and so it can be read
        for token in tokenize.generate_tokens(io.StringIO(parsed.source).readline):
            if token.type == tokenize.COMMENT:
                row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
                lines[row][start:end] = " " * (end - start)
    for node in parsed.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for row in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[row] = [" "] * len(lines[row])
            lines[node.lineno - 1][:4] = "pass"


def _call_by_name(node: ast.Call, lines: list[list[str]], parsed: Parsed, stubs: Stubs) -> None:
    func, name = node.func, node.args[0] if len(node.args) == 1 else None
    if not isinstance(func, ast.Attribute) or not isinstance(name, ast.Constant) or name.value not in stubs.functions:
        return
    if func.end_lineno != name.end_lineno or func.lineno != func.end_lineno or name.lineno != name.end_lineno:
        return
    line, (_, start) = lines[name.lineno - 1], parsed.place(func.value)
    text = "".join(line)
    before = _characters(parsed, name.lineno, func.end_col_offset or 0) - len(func.attr)
    end = _characters(parsed, name.lineno, name.end_col_offset or 0)
    comma = re.match(r"\s*,", text[end:])
    end += comma.end() if comma else 0
    prefix = SYNC_PREFIX if func.attr == "call_sync" else ASYNC_PREFIX
    written = f"{prefix}{stubs.functions[name.value]}("
    if text[before : before + len(func.attr)] == func.attr and before >= start and len(written) <= end - before:
        line[before:end] = written.ljust(end - before)


def _characters(parsed: Parsed, line: int, offset: int) -> int:
    """A column in bytes as one in characters, both from 0."""
    return len(parsed.lines[line - 1].encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore"))


def _annotate_frame(parsed: Parsed, lines: list[list[str]]) -> _Shift:
    for node in parsed.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in ENTRIES and node.args.args:
            first = node.args.args[0]
            kind = _FRAME_TYPES.get(frame_argument(first.arg))
            if kind is None or first.annotation is not None or node.args.defaults[len(node.args.args) - 1 :]:
                continue
            column = _characters(parsed, first.lineno, first.end_col_offset or 0)
            lines[first.lineno - 1][column:column] = f": {kind}"
            return _Shift(first.lineno, column, len(kind) + 2)
    return _Shift()


# Which findings are held against a program


class _Judge:
    """Decides what of the findings is a problem, and says it in words about the program."""

    def __init__(self, parsed: Parsed, stubs: Stubs, subject: Subject) -> None:
        self.parsed, self.stubs = parsed, stubs
        nodes = subject.nodes
        self.stored = {n.attr for n in nodes if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)}
        self.keys = stored_keys(subject)
        self.filled = {
            n.value.id
            for n in nodes
            if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)
        }
        self.dynamic = any(isinstance(n, ast.Name) and n.id in ("setattr", "getattr", "vars") for n in nodes)
        self.at: dict[tuple[int, int], list[ast.AST]] = {}
        for node in nodes:
            if isinstance(node, (ast.expr, ast.keyword)):
                self.at.setdefault(parsed.place(node), []).append(node)

    def problem(self, finding: Finding) -> Problem | None:
        """The finding as a problem; None if it is advice."""
        if finding.code not in HELD or self._is_advice(finding):
            return None
        return Problem(finding.line, finding.column, *self._words(finding))

    def _is_advice(self, finding: Finding) -> bool:
        message = finding.message
        quoted = re.findall(r"`([^`]*)`", message)
        if " in union `" in message or any(_is_open(each) for each in _got(message, quoted)):
            return True  # one of several types: which one it is, the program may know better
        if _CONTAINER.search(message):
            return True  # a list may hold anything, whatever it was filled with first
        if finding.code == "no-matching-overload" and not _OWN_OVERLOADS.intersection(quoted):
            return True  # `max(counts, key=counts.get)`
        nodes = self.at.get((finding.line, finding.column), [])
        if any(self._is_item(node) for node in nodes):
            return True  # of a list or dict that is filled later with something else
        if finding.code == "unresolved-attribute":
            return self.dynamic or bool(self.stored.intersection(quoted))
        if finding.code == "invalid-key":
            key = re.search(r'key "([^"]*)"', message)
            stored = any(isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) for n in nodes)
            return stored or (key is not None and key.group(1) in self.keys)
        return False

    def _is_item(self, node: ast.AST) -> bool:
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in self.filled:
                return True
            node = node.func if isinstance(node, ast.Call) else node.value
        return False

    def _words(self, finding: Finding) -> tuple[str, str]:
        """What is wrong, and what to do."""
        message, hint = finding.message, ""
        key = re.search(r"cannot be called with key of type `([^`]*)` on object of type `([^`]*)`", message)
        if key:
            message = f"Object of type `{key.group(2)}` cannot be subscripted with `{key.group(1)}`"
        for name in re.findall(r"\bResult\d+\b", message):
            source = self.stubs.results.get(name)
            if source is not None:
                keys = re.sub(r"\bResult\d+\b", "dict", self.stubs.keys[name])
                hint = f"{source} gives {keys}"[:200]
                message = re.sub(rf"\b{name}\b", f"result of {source}", message)
        near = re.search(r"type `ImagePatch` has no attribute `(\w+)`", message)
        if near:
            hint = did_you_mean(near.group(1), PATCH_WORDS["patch"])
        message = re.sub(rf"`(?:{ASYNC_PREFIX}|{SYNC_PREFIX})(\w+)`", r"`\1`", message)
        return printable(message.replace(PICTURE, "a patch or an image"))[:400], printable(hint)


def _is_open(kind: str) -> bool:
    """Whether a type is one of several, or unknown."""
    flat = kind
    while (shorter := re.sub(r"\[[^\[\]]*\]|\([^()]*\)", "", flat)) != flat:
        flat = shorter
    return " | " in flat or "Unknown" in kind or "TypeVar" in kind or flat in ("Never", "Any", "object", "None")


def _got(message: str, quoted: list[str]) -> list[str]:
    """The types of what the program has, without those that were expected."""
    found = re.search(r"found `([^`]*)`", message)
    if found:
        return [found.group(1)]
    bounded = re.search(r"Argument type `([^`]*)` does not satisfy", message)
    if bounded:
        return [bounded.group(1)]
    between = re.search(r"between (?:objects of type|two objects of type) (.*)", message)
    if between:
        return re.findall(r"`([^`]*)`", between.group(1))
    return quoted[:1] if "bject of type" in message or message.startswith("Attribute") else []


def iter_findings(checker: TypeChecker, parsed: Parsed) -> Iterator[tuple[Finding, bool]]:
    """Each finding on the author's source, and whether it is held against it: to see what the rules do."""
    subject: Any = Subject(parsed, checker.functions)
    text, shifted = _prepared(parsed, checker.stubs, subject)
    judge = _Judge(parsed, checker.stubs, subject)
    for each in checker.findings(text) or ():
        line, column = shifted.back(each.line, each.column)
        moved = Finding(line, column, each.code, each.message)
        yield moved, judge.problem(moved) is not None
