"""The entry: the one function that takes the frame, or module-level code that makes calls."""

from __future__ import annotations

import ast
from collections import defaultdict

from dicem_shared import program
from dicem_shared.entries import call_arguments
from dicem_shared.program import ENTRIES

from ..lower.scopes import parameters
from ..lower.words import FUNCTIONS, METHODS, START_SUFFIX
from ..walking import children, walk
from .near import nearest
from .subject import Subject

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_HINT = "Name the function that takes the frame execute_command"


def check_entry(subject: Subject) -> None:
    """No entry, two of them, or one that cannot be called with a frame."""
    functions = [node for node in subject.tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    entries = [node for node in functions if node.name in ENTRIES]
    if not entries:
        _check_module(subject, functions)
        return
    if len(entries) > 1:
        first = entries[0]
        message = f"two entry functions: {entries[1].name} here, {first.name} in line {first.lineno}"
        subject.say(entries[1], "error", "two-entries", message, "Keep one")
        return
    if not program.runs_itself(subject.tree, entries[0].name):
        _check_signature(subject, entries[0])
    if is_generator(entries[0]):
        message = f"{entries[0].name} has a `yield`: it gives a generator, which cannot be stored as an answer"
        subject.say(entries[0], "warning", "entry-yields", message)


def _top_level(subject: Subject) -> list[ast.stmt]:
    return [node for node in subject.tree.body if not isinstance(node, _DEFINITIONS)]


def _check_module(subject: Subject, functions: list[Function]) -> None:
    """Without an entry, the code of the module itself must make calls."""
    callers = _callers(subject)
    if any(_makes_calls(subject, statement, callers) for statement in _top_level(subject)):
        return
    elsewhere = [n for n in subject.nodes if getattr(n, "name", getattr(n, "id", None)) in ENTRIES]
    if elsewhere:
        message = "the entry is no plain function of the module"
        subject.say(
            elsewhere[0], "error", "no-entry", message, "Write it as `def execute_command(image):`, not indented"
        )
        return
    near = {nearest(function.name, ENTRIES, cutoff=0.7): function for function in reversed(functions)}
    for name in ENTRIES:
        if name in near:
            message = f"no entry function, but one called {near[name].name}"
            subject.say(near[name], "error", "no-entry", message, f"Did you mean {name}?")
            return
    have = ", ".join(function.name for function in functions[:5]) or "no function at all"
    message = f"no entry function and no calls in the module: there is {have}"
    subject.say(functions[0] if functions else subject.tree, "error", "no-entry", message, _HINT)


def _callers(subject: Subject) -> set[str]:
    """The names of functions of the program that make calls, directly or through others."""
    asking: set[str] = set()
    called_by: dict[str, set[str]] = defaultdict(set)
    for node in subject.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if _makes_calls(subject, node, set()):
                asking.add(node.name)
            for inner in walk(node):
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
                    called_by[inner.func.id].add(node.name)
    waiting = list(asking)
    while waiting:
        more = called_by[waiting.pop()] - asking
        asking |= more
        waiting += more
    return asking


def _makes_calls(subject: Subject, tree: ast.AST, callers: set[str]) -> bool:
    for node in walk(tree):
        if not isinstance(node, ast.Call):
            continue
        origin = subject.origin(node.func) or ""
        if origin in ("hermod.call", "hermod.call_sync") or origin.removesuffix(START_SUFFIX) in FUNCTIONS:
            return True
        if isinstance(node.func, ast.Attribute) and node.func.attr.removesuffix(START_SUFFIX) in METHODS:
            return True
        if isinstance(node.func, ast.Name) and node.func.id in callers:
            return True
    return False


def _check_signature(subject: Subject, entry: Function) -> None:
    given = call_arguments(entry.args)
    if given is None:
        have = ", ".join(argument.arg for argument in parameters(entry.args)) or "none"
        message = f"{entry.name} cannot be called with a frame: it takes {have}"
        hint = "Write one parameter: image, image_patch, video or image_filename; give others a default"
        subject.say(entry, "error", "entry-signature", message, hint)
    elif len(given) > 1:
        names = [argument.arg for argument in entry.args.args[1 : len(given)]]
        message = f"{entry.name} takes {' and '.join(names)}, of which a frame knows nothing: "
        message += ", ".join(f"{name} is {value}" for name, value in zip(names, given[1:], strict=True))
        message += " when it runs on a vehicle"
        subject.say(entry, "warning", "entry-parameters", message, "Give them defaults to say what they are")


def is_generator(function: Function) -> bool:
    """Whether it has a `yield` of its own."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (*_DEFINITIONS, ast.Lambda)):
            stack.extend(children(node))
    return False
