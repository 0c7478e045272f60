"""What passes between the passes of the compiler; `docs/compiler.md` is the map."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal

from dicem_shared.types import Site

Severity = Literal["error", "warning", "note"]
Form = Literal["method", "function", "call", "helper"]


@dataclass(frozen=True, order=True)
class Diagnostic:
    """Something to tell the author.  An error means that this is no program; all else compiles."""

    line: int
    column: int
    """both from 1"""
    severity: Severity
    code: str
    """short and stable, for machines: `syntax`, `no-entry`, `unknown-function`, `serial`..."""
    message: str
    hint: str = ""

    def text(self, where: str) -> str:
        """One line, `file:line:column: message`."""
        kind = "" if self.severity == "error" else f"{self.severity}: "
        return f"{where}:{self.line}:{self.column}: {kind}{self.message}" + (f". {self.hint}" if self.hint else "")


@dataclass
class Parsed:
    """Source that parses."""

    source: str
    tree: ast.Module
    name: str
    where: str
    """the file's name, for messages"""


@dataclass(frozen=True)
class CallSite:
    """A place in the program that makes calls."""

    number: int
    """from 1, in the order of the source; the same in each compilation of the same source"""
    line: int
    column: int
    """in the original source, from 1"""
    form: Form
    """"method": `p.find("x")` of an ImagePatch or VideoSegment; "function": one of the prelude's, as `llm_query(...)`;
    "call": `hermod.call(...)`; "helper": a function of the program that makes calls"""
    name: str
    """the method, the function of the prelude, the called function, or the helper"""
    functions: tuple[str, ...]
    """which functions it may call; several where that is known at run time only (`find`: the detector or `glip`)"""
    pure: bool
    """all of them are, and for a helper: nothing in it has an effect"""
    text: str
    """what stands there, short, for people"""


@dataclass
class Lowered:
    """A program in the language of the runner, with its calls marked."""

    parsed: Parsed
    tree: ast.Module
    sites: dict[ast.Await, CallSite] = field(default_factory=dict)
    """nodes of `tree`"""
    entry: str = ""
    form: Literal["function", "module"] = "function"
    """a "module" calls its own entry; a "function" is called by the runner with the frame"""
    diagnostics: list[Diagnostic] = field(default_factory=list)


@dataclass(frozen=True)
class CallNode:
    """What placement must know of a call site."""

    site: CallSite
    after: tuple[int, ...]
    """the sites whose results it needs, directly, for its arguments or to know that it is made at all"""
    loops: tuple[str, ...] = ()
    """the loops around it, outermost first, each by a name; within one, it is called once an element"""
    guarded: bool = False
    """an `if` decides whether it is made"""
    image: Literal["frame", "crop", "none", "unknown"] = "unknown"
    """what pixels it looks at"""
    image_key: str = ""
    """sites with the same key look at the same pixels, which travel once"""


@dataclass(frozen=True)
class Alternative:
    """One place where a call could run, and what that would cost; seconds and dollars are expectations a frame."""

    site: Site
    latency_s: float
    cost_usd: float
    bytes_up: float
    feasible: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a call site runs."""

    number: int
    site: Site | None
    """None: left to the vehicle, because which function it is turns out at run time only"""
    reason: str
    when_away: Literal["wait", "edge", "fail"] = "wait"
    """what to do while its site cannot be reached: keep the question, ask the equivalent one on board, or fail"""
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Which call runs where, with the reason for each, and what is expected of the whole."""

    placements: dict[int, Placement]
    objective: Literal["latency", "cost"]
    link: str
    edge_profile: str
    cloud_profile: str
    latency_s: float
    cost_usd: float
    bytes_up: float


@dataclass(frozen=True)
class CompiledProgram:
    """What `compile_program` gives."""

    source: str
    """asynchronous Python, tagged"""
    sites: tuple[CallSite, ...]
    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    stages: dict[str, str]
    """the printable form after each pass, by the pass's name"""
