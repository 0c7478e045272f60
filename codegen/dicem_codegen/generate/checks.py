"""All that a program must pass before it runs on a frame.

    with Bench(functions) as bench:
        checked = check_program(source, functions, bench=bench)

The checks of `CheckName` in their order; the first that finds something is the last that is made, and says all that it
found.  Nothing of the program runs but in the sandboxed interpreter, and there on made-up results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from dicem_shared.errors import CompileError, ProgramError
from dicem_shared.functions import Registry
from dicem_shared.links import Link
from dicem_shared.profiles import DeviceProfile
from dicem_shared.runner import Interpreter, RunLimits

from ..check import check
from ..compile import compile_program
from ..parse import parse, room_to_recurse
from ..types import CompiledProgram, Diagnostic, Parsed
from .dry_run import dry_run
from .same_meaning import WORLDS, same_meaning
from .serial import Serial, serial_form
from .type_check import TypeChecker
from .types import Check, Checked, CheckName, Problem

ADVICE: Final = frozenset({"site", "serial", "set-order", "placement"})
"""What the compiler says and a program need not heed; all its other warnings are problems here.  A person may know why
his program has a name that nothing binds; a model that writes one has made a mistake, and can mend it."""
MAX_PROBLEMS: Final = 20
"""More are no help."""


class Bench:
    """What checking programs takes and many checks share: an interpreter and a type checker.  A context manager.

    :param interpreter: one that knows these functions and is running; else the bench has its own
    """

    def __init__(
        self, functions: Registry, *, limits: RunLimits | None = None, interpreter: Interpreter | None = None
    ) -> None:
        self.functions = functions
        self.types = TypeChecker(functions)
        self._given = interpreter
        self.interpreter = interpreter or Interpreter(functions, limits)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Bench:
        with contextlib.ExitStack() as stack:
            if self._given is None:
                stack.enter_context(self.interpreter)
            stack.enter_context(self.types)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def check_program(
    source: str,
    functions: Registry,
    *,
    name: str = "program",
    link: str | Link | None = None,
    edge_profile: str | DeviceProfile | None = None,
    cloud_profile: str | DeviceProfile | None = None,
    objective: str = "latency",
    speculate: float = 0.0,
    vocabulary: Iterable[str] = (),
    worlds: Iterable[int] = WORLDS,
    bench: Bench | None = None,
) -> Checked:
    """Check a program that a model wrote, and compile it.

    :param functions: those that it may call
    :param vocabulary: what the vehicle's detector knows; `find` asks it for these words, and `glip` for others
    :param worlds: seeds of the worlds in which the compiled form is held against the serial one
    :param bench: made for these functions; else one is made, which takes some 0.1 s
    :raises ValueError: a bench of other functions
    :raises ConfigError: a link or profile that cannot be used, an argument out of bounds, no interpreter
    """

    def compiled() -> CompiledProgram:
        return compile_program(
            source, functions, name=name, link=link, edge_profile=edge_profile, cloud_profile=cloud_profile,
            objective=objective, speculate=speculate,
        )  # fmt: skip

    if bench is not None and bench.functions is not functions:
        raise ValueError("bench: it was made for other functions")
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(Bench(functions)) if bench is None else bench
        stack.enter_context(room_to_recurse())
        return _Checks(source, name, own, compiled).run(tuple(vocabulary), worlds, speculation=speculate > 0)


class _Checks:
    """One program on its way."""

    def __init__(self, source: str, name: str, bench: Bench, compiled: Callable[[], CompiledProgram]) -> None:
        self.source, self.name, self.bench, self._compile = source, name, bench, compiled
        self.made: list[Check] = []
        self.said: list[Diagnostic] = []
        """what `check` holds against the program"""
        self.compiled: CompiledProgram | None = None

    def run(self, vocabulary: tuple[str, ...], worlds: Iterable[int], *, speculation: bool) -> Checked:
        """Make them in order."""
        with contextlib.suppress(_Stopped):
            parsed = self._parsed()
            self._note("calls", _problems(self.said))
            self._note("types", *self.bench.types.problems(parsed))
            serial, program = self._compiled(parsed)
            interpreter = self.bench.interpreter
            self._note("dry-run", *dry_run(serial, parsed.source, interpreter, vocabulary=vocabulary))
            found = same_meaning(
                serial, parsed.source, program.source, interpreter, worlds=worlds, speculation=speculation
            )
            self._note("same-meaning", *found)
        return Checked(self.source, tuple(self.made), self.compiled)

    def _parsed(self) -> Parsed:
        with self._errors("parse"):
            parsed = parse(self.source, name=self.name, where=self.name)
        self.said = [
            each
            for each in check(parsed, self.bench.functions)
            if each.severity == "error" or (each.severity == "warning" and each.code not in ADVICE)
        ]
        self._note("parse", _problems(each for each in self.said if each.code in ENTRY))
        return parsed

    def _compiled(self, parsed: Parsed) -> tuple[Serial, CompiledProgram]:
        with self._errors("compile"):
            program = self._compile()
            serial = serial_form(parsed, self.bench.functions)
        self.compiled = program
        self._note("compile", (), f"{len(program.sites)} calls placed")
        return serial, program

    @contextlib.contextmanager
    def _errors(self, name: CheckName) -> Iterator[None]:
        """What the compiler refuses becomes the check's problems."""
        try:
            yield
        except ProgramError as cause:
            said = cause.diagnostics if isinstance(cause, CompileError) else ()
            problems = _problems(each for each in said if each.severity == "error")
            self._note(name, problems or (Problem(1, 1, str(cause)),))

    def _note(self, name: CheckName, problems: Iterable[Problem], detail: str = "") -> None:
        """:raises _Stopped: there are problems"""
        found = tuple(problems)
        self.made.append(Check(name, found[:MAX_PROBLEMS], detail))
        if found:
            raise _Stopped


class _Stopped(Exception):
    """A check found something: no other is made."""


ENTRY: Final = frozenset({"no-entry", "two-entries", "entry-signature", "entry-parameters", "entry-yields"})
"""What `parse` says of the entry function."""


def _problems(said: Iterable[Diagnostic]) -> tuple[Problem, ...]:
    return tuple(sorted({Problem(each.line, each.column, each.message, each.hint) for each in said}))
