"""The oracle's graph of a program: which call had to wait for which, seen in a run of the original, serial program.

    trace = trace_program(source, world)
    trace.graph.run().makespan_s          # the critical path: so soon could this program end in this world

The compiler has no part in it.  The program runs in CPython, rewritten so that every value carries the numbers of the
calls that it comes from (`trace_rewrite`), and every call that is made notes three kinds of edges:

- data: its arguments come from these calls' results;
- control: these calls' results decided that it is made: an `if`, a loop over a result, `and`, `or`, a conditional, a
  filter.  That ends where the construct ends, except that what leaves early (`return`, `break`, `continue`, `raise`)
  decides over all that comes after it in the function or the loop.  That a call might have failed decides nothing;
- effects: an impure call or a print waits for the effect before it and for all results that were taken before it.

Lists, tuples, dicts and attributes are followed element by element: a loop over `[p for p in found if p.exists("x")]`
waits, for each `p`, for the answer about that `p`.  Whoever asks such a list for its length or for an element by its
number waits for all of them.  Names and containers that the way not taken would have changed count as changed; not
followed are changes that the way not taken would have made inside of functions, which makes the graph, if anything, too
fast.  It is too slow in one case: what was sorted waits for all keys, which say what comes where; who asks the same of
every element can ask before it knows the order, and may end before the critical path.

A trace is worth nothing if the rewritten program does something else: its calls, its value, what it prints and how it
ends are compared with a run of the program as it is, and any difference refuses the trace.
"""

from __future__ import annotations

import ast
import inspect
import io
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import CodeType
from typing import Any

from dicem_shared.errors import DicemError, ProgramError
from dicem_shared.program import Program, prepare
from dicem_shared.runner import RunLimits

from . import desk
from .barriers import barriers_in
from .modules import Stop, program_builtins
from .observed import NOT_STORED, Observed
from .stored import stored
from .trace_builtins import Hermod, Machine
from .trace_calls import FRAME_FILE
from .trace_expressions import MACHINE
from .trace_graph import Graph
from .trace_rewrite import RESULT, rewritten
from .trace_values import Box, TraceRefused
from .world import World

LIMITS = RunLimits(calls=10_000, cpu_s=60, output_kb=10_000)


class TraceError(DicemError):
    """No trace of this program can be given."""


@dataclass(frozen=True)
class Trace:
    """A serial run with its graph."""

    graph: Graph
    value: Any
    """plain, patches as `{"patch": handle}`"""
    printed: str
    error: tuple[str, str] | None
    """type and message of what it raised"""


@dataclass(frozen=True)
class CriticalPath:
    """The bound of every schedule, and what stands on it."""

    seconds: float
    """of the longest chain of calls that had to wait for each other"""
    nodes: tuple[int, ...]
    """that chain, first to last"""
    work_seconds: float
    """of all calls, equal ones once"""
    serial_seconds: float
    """of all calls as the serial program makes them"""
    barriers: frozenset[str]
    """the rows of the compiler's table with a barrier that the program contains"""
    graph: Graph


def critical_path(source: str, world: World) -> CriticalPath:
    """The critical path of a program in a world.

    :raises TraceError: the program cannot be traced
    :raises ProgramError: it is no program
    """
    graph = trace_program(source, world).graph
    played = graph.run()
    return CriticalPath(
        played.makespan_s, played.path, graph.work_seconds, graph.serial_seconds, barriers_in(source), graph
    )


def trace_program(source: str, world: World, *, check: bool = True) -> Trace:
    """Run a program, traced.  `check`: against a run of the program as it is.

    :raises TraceError: it uses what the trace does not follow, or the two runs differ
    :raises ProgramError: it is no program
    """
    program = prepare(source)
    try:
        trace = _Traced(program, world).run()
    except TraceRefused as refused:
        raise TraceError("this program cannot be traced", got=str(refused)) from None
    if check:
        _compare(trace, desk.run(desk.load(source), world, LIMITS))
    return trace


class _Traced:
    """One run."""

    def __init__(self, program: Program, world: World) -> None:
        self.world, self.machine = world, Machine(world)
        try:
            self.code = _compiled(program.runnable, prelude=False)
        except (SyntaxError, ValueError, RecursionError) as cause:
            raise TraceRefused(str(cause)) from None
        self.names = self._names(program)

    def _names(self, program: Program) -> dict[str, Any]:
        frame = self.world.context.frame
        handle = frame.handle.model_dump(mode="json")
        prelude: dict[str, Any] = {MACHINE: self.machine}
        known = program_builtins(
            {"PIL": None, "PIL_Image": None}, io.StringIO(), 0, frame.t_utc, f"{program.id}/{frame.blob}"
        )
        self.machine.bring = known["__import__"]
        prelude |= {name: Box(value) for name, value in known.items() if name not in {"__import__", "print"}}
        prelude |= {"print": Box(print), "__name__": Box("__main__")}
        # What defines functions and classes needs these as they are.
        prelude["__builtins__"] = {"__build_class__": known["__build_class__"], "__name__": "program"}
        prelude["__name__"] = "program"
        prelude["hermod"] = Box(Hermod(self.machine))
        exec(_prelude(), prelude)
        given = {
            "_FILES": {"": handle}, "_VOCABULARY": list(self.world.context.vocabulary),
            "_CROP_ORIGIN": program.crop_origin,
        }  # fmt: skip
        prelude |= {name: Box(value) for name, value in given.items()}
        own = {"_frame": handle, "_frames": [handle]}
        return {**prelude, **{name: Box(value) for name, value in own.items()}}

    def run(self) -> Trace:
        """Play it."""
        machine, frame = self.machine, self.world.context.frame
        value, error = None, None
        try:
            outcome = eval(self.code, self.names)
            if inspect.iscoroutine(outcome):
                machine.drive(outcome)
            patches = (self.names["ImagePatch"].value, self.names["PILImage"].value)
            value, _ = stored(self.names[RESULT].value, LIMITS, frame, patches)
        except TraceRefused:
            raise
        except Stop as stopped:
            raise TraceRefused(str(stopped)) from None
        except ProgramError:
            error = (NOT_STORED, "")
        except BaseException as raised:
            error = (type(raised).__name__, str(raised))
        if machine.refused is not None:
            raise machine.refused
        return Trace(Graph(tuple(machine.nodes)), value, machine.printed.getvalue(), error)


@cache
def _prelude() -> CodeType:
    source = resources.files("hermod").joinpath("prelude.py").read_text(encoding="utf-8")
    return _compiled(source.replace("\nimport hermod\n", "\n\n", 1), prelude=True)


def _compiled(source: str, *, prelude: bool) -> CodeType:
    where = "<prelude>" if prelude else FRAME_FILE
    tree = rewritten(source, where, prelude=prelude)
    code: CodeType = compile(tree, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def _compare(trace: Trace, real: Observed) -> None:
    """:raises TraceError: the traced run is not the real one"""
    ours = [(node.function, node.params) for node in trace.graph.calls]
    theirs = [(call.name, call.params) for call in real.calls]
    error = None if real.error is None else (real.error.type, real.error.message)
    pairs = {
        "error": (trace.error, error),
        "calls": (ours, theirs),
        "printed": (trace.printed, real.printed),
        "value": (trace.value, real.value),
    }
    for what, (traced, untraced) in pairs.items():
        if traced != untraced:
            raise TraceError(
                f"this program cannot be traced: its {what} and that of its trace differ",
                expected=repr(untraced)[:300], got=repr(traced)[:300],
            )  # fmt: skip
