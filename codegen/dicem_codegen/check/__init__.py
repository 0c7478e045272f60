"""The second pass: what is no valid program, and what is but will hardly do what its author meant.

An error stops the compilation: there is no entry, or a call of a function that does not exist or not with these
parameters, wherever it stands, even where it would never be reached.  All else compiles and keeps its meaning, a
NameError on some path too; what looks wrong is a warning, what is unspecified a note.
"""

from __future__ import annotations

from dicem_shared.functions import Registry

from ..types import Diagnostic, Parsed
from .calls import check_calls
from .constants import check_constants
from .entry import check_entry
from .names import check_imports, check_names
from .recursion import check_recursion
from .results import check_results
from .subject import Subject


def check(parsed: Parsed, functions: Registry) -> list[Diagnostic]:
    """What is to be said of a program, in the order of its lines.  One with errors is no program."""
    subject = Subject(parsed, functions)
    for part in (
        check_entry,
        check_recursion,
        check_constants,
        check_imports,
        check_calls,
        check_results,
        check_names,
    ):
        part(subject)
    return sorted(set(subject.found))
