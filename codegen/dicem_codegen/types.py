"""What passes between the passes of the compiler; `docs/compiler.md` is the map."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal

from dicem_shared.types import Site, WhenAway

Severity = Literal["error", "warning", "note"]
Form = Literal["method", "function", "call", "helper"]
Objective = Literal["latency", "cost"]
Image = Literal["frame", "crop", "none", "unknown"]
"""what pixels a call looks at"""


def printable(text: str) -> str:
    """`text` on one line, with all that a terminal would obey or not show written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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
        """One line, `file:line:column: kind: message`, whatever stands in the program."""
        said = f"{self.message}. {self.hint}" if self.hint else self.message
        return printable(f"{where}:{self.line}:{self.column}: {self.severity}: {said}")


@dataclass
class Parsed:
    """Source that parses."""

    source: str
    """without a byte-order mark, its lines ending in `\\n`"""
    tree: ast.Module
    """as CPython 3.11 understands it, at most `parse.MAX_DEPTH` deep"""
    name: str
    where: str
    """the file's name, for messages"""
    directives: dict[str, str] = field(default_factory=dict)
    """what `# dicem: key=value` lines say; the compiled program says the same"""
    lines: tuple[str, ...] = ()

    def place(self, node: ast.AST) -> tuple[int, int]:
        """Line and column of a node, both from 1; columns count characters."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        if not 0 < line <= len(self.lines):
            return max(line, 1), column + 1
        before = self.lines[line - 1].encode("utf-8", "surrogatepass")[:column]
        return line, len(before.decode("utf-8", "ignore")) + 1

    def say(self, node: ast.AST, severity: Severity, code: str, message: str, hint: str = "") -> Diagnostic:
        """A diagnostic about a node."""
        return Diagnostic(*self.place(node), severity, code, message, hint)


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
    started: dict[ast.Call, CallSite] = field(default_factory=dict)
    """calls that the author starts by hand, nodes of `tree`"""


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
    image: Image = "unknown"
    """what pixels it looks at"""
    image_key: str = ""
    """sites with the same key look at the same pixels, which travel once"""
    image_loops: tuple[str, ...] | None = None
    """those of `loops` in which the pixels are others on each trip; None: all of them (a "frame" is always the same)"""
    said: Site | None = None
    """where the program itself says that it runs"""


@dataclass(frozen=True)
class Alternative:
    """One place where a call could run, and what that would cost; seconds and dollars are expectations a frame."""

    site: Site
    latency_s: float
    cost_usd: float
    bytes_up: float
    feasible: bool = True
    reason: str = ""
    function: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a call site runs."""

    number: int
    site: Site | None
    """what the call is tagged with; a function that is not served there ignores it.  None: left to the vehicle, because
    which function it is turns out at run time only, and they would have to be at different sites"""
    reason: str
    when_away: WhenAway = "wait"
    """what to do while its site cannot be reached: keep the question, ask the equivalent one on board, or fail"""
    away_reason: str = ""
    alternatives: tuple[Alternative, ...] = ()
    """of each function that it may call"""
    sites: tuple[tuple[str, Site | None], ...] = ()
    """where each function that it may call runs"""
    calls: float = 1.0
    """how many are expected a frame"""
    margin: float | None = None
    """by how much the plan gets worse (seconds or dollars, as its objective) if this site alone is moved; None: it
    cannot be moved, or there were too many to try"""


@dataclass(frozen=True)
class Plan:
    """Which call runs where, with the reason for each, and what is expected of the whole."""

    placements: dict[int, Placement]
    objective: Objective
    link: str
    edge_profile: str
    cloud_profile: str
    latency_s: float
    cost_usd: float
    bytes_up: float
    proved: bool = True
    """no plan is better, as far as the figures are right"""
    gap: float = 0.0
    """where it is not proved: the part of the objective by which another plan may be better at most"""
    problems: tuple[str, ...] = ()
    """what it does not keep to, and what it could not know"""
    assumptions: tuple[str, ...] = ()
    """where its figures come from"""


@dataclass(frozen=True)
class CompiledProgram:
    """What `compile_program` gives."""

    source: str
    """asynchronous Python, tagged"""
    sites: tuple[CallSite, ...]
    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    stages: dict[str, str]
    """the printable form after each pass, by the pass's name; empty if they were not asked for"""
    nodes: tuple[CallNode, ...] = ()
    """the calls as dataflow found them"""
