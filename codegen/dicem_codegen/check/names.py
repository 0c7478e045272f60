"""Names that exist nowhere, and modules that the runner does not have: such programs compile, and fail as they do."""

from __future__ import annotations

import ast
import builtins
from typing import Final

import hermod

from ..lower.words import RUNNER_MODULES, prelude_globals
from .near import did_you_mean
from .subject import Subject

PRELUDE_MODULES: Final = {
    "hermod": frozenset(hermod.__all__),
    "PIL": frozenset({"Image"}),
    "PIL.Image": frozenset({"open", "Image"}),
}
_IN_EVERY_MODULE: Final = frozenset({"__name__", "__file__", "__doc__", "__builtins__", "__spec__", "__package__"})
_DYNAMIC: Final = frozenset({"exec", "eval", "globals", "locals", "vars"})


def words() -> frozenset[str]:
    """What a program may use without defining it, builtins apart."""
    return frozenset(name for name in prelude_globals() if not name.startswith("_"))


def check_names(subject: Subject) -> None:
    """A name that nothing binds is a NameError where it is reached."""
    known = words() | frozenset(dir(builtins)) | _IN_EVERY_MODULE
    used = {node.id for node in subject.nodes if isinstance(node, ast.Name)}
    if used & _DYNAMIC or any(_is_star(node) for node in subject.nodes):
        return
    bound = {name for _, name in subject.bindings}
    said = set()
    for node in sorted((n for n in subject.nodes if isinstance(n, ast.Name)), key=lambda n: (n.lineno, n.col_offset)):
        if not isinstance(node.ctx, ast.Load) or node.id in known or node.id in said:
            continue
        if subject.binders(node) is None:
            if subject.is_full("unknown-name"):
                return
            said.add(node.id)
            hint = did_you_mean(node.id, (bound | known) - {node.id}, cutoff=0.75)
            subject.say(node, "warning", "unknown-name", f"nothing is called {node.id}: a NameError in this line", hint)


def _is_star(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def check_imports(subject: Subject) -> None:
    """Modules that neither the runner nor the prelude has."""
    for node in subject.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                _check_module(subject, alias, alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                subject.say(node, "warning", "unknown-module", "a relative import: a program stands alone")
            elif node.module in PRELUDE_MODULES:
                _check_words(subject, node, node.module)
            else:
                _check_module(subject, node, node.module or "")


def _check_words(subject: Subject, node: ast.ImportFrom, module: str) -> None:
    for alias in node.names:
        if alias.name == "*":
            hint = f"Name what you need of {module}"
            subject.say(node, "error", "star-import", "import *: it does not say which names it binds", hint)
        elif alias.name not in PRELUDE_MODULES[module]:
            hint = did_you_mean(
                alias.name, PRELUDE_MODULES[module], f"It has {', '.join(sorted(PRELUDE_MODULES[module]))}"
            )
            message = f"{module} has no {alias.name}: an ImportError in this line"
            subject.say(alias, "warning", "unknown-module", message, hint)


def _check_module(subject: Subject, node: ast.AST, name: str) -> None:
    if name in PRELUDE_MODULES or name.partition(".")[0] in RUNNER_MODULES or name == "__future__":
        return
    hint = did_you_mean(name, RUNNER_MODULES | PRELUDE_MODULES.keys(), cutoff=0.8)
    message = f"the runner has no module {name}: an ImportError in this line"
    subject.say(node, "warning", "unknown-module", message, hint)
