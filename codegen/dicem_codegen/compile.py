"""The compiler, pass by pass: `compile_program` is what `dicem compile` calls.

    compiled = compile_program(source, link="satellite")
    print(compiled.source)

Its result depends on its arguments alone: the same program, functions, profiles and link give the same bytes.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Final, cast, get_args

from dicem_shared.catalog import catalog
from dicem_shared.errors import CompileError, ConfigError, DicemError
from dicem_shared.functions import Registry
from dicem_shared.links import Link, load_link
from dicem_shared.profiles import DeviceProfile, load_profile

from .check import check
from .parse import MAX_DEPTH, RUNNER_DEPTH, depth_of, parse, room_to_recurse
from .types import CallNode, CallSite, CompiledProgram, Diagnostic, Lowered, Objective, Parsed

PASSES: Final = ("parse", "check", "lower", "dataflow", "place", "emit")
MAX_SITES: Final = 2_000
"""Places in a program that make calls: what each waits for is known of all of them at once."""
LINK: Final = "coastal-lte"
EDGE_PROFILE: Final = "jetson-orin-nano"
CLOUD_PROFILE: Final = "cloud-a100"


def compile_program(
    source: str,
    functions: Registry | None = None,
    *,
    name: str = "program",
    where: str | None = None,
    link: str | Link | None = None,
    edge_profile: str | DeviceProfile | None = None,
    cloud_profile: str | DeviceProfile | None = None,
    objective: str = "latency",
    speculate: float = 0.0,
    stages: bool = False,
) -> CompiledProgram:
    """Compile a serial program.

    :param functions: what it can call; the catalog if None
    :param where: the file's name, for messages; its name if None
    :param link: a name in configs/links, a path, or a link; coastal-lte if None
    :param edge_profile: the vehicle's computer: a name in configs/profiles, a path, or a profile
    :param cloud_profile: the cloud's machine
    :param objective: "latency" or "cost"
    :param speculate: dollars a frame that calls may cost which the serial program might not make; 0: none
    :param stages: keep the printable form after each pass, which costs about as much time as a pass
    :raises CompileError: it is no valid program, or uses what cannot be lowered; its diagnostics say where
    :raises ConfigError: a link or profile that cannot be used, or an argument out of bounds
    """
    if objective not in get_args(Objective):
        raise ConfigError("objective", expected=" or ".join(get_args(Objective)), got=objective[:40])
    if not 0 <= speculate < float("inf"):
        raise ConfigError("speculate", expected="dollars a frame, 0 or more", got=str(speculate))
    known = catalog() if functions is None else functions
    devices = (
        _usual_link() if link is None else load_link(link) if isinstance(link, str) else link,
        _profile(edge_profile, EDGE_PROFILE),
        _profile(cloud_profile, CLOUD_PROFILE),
    )
    with room_to_recurse(), _without_collection():
        run = _Compilation(source, known, name, name if where is None else where, keep=stages)
        return run.compiled(devices, cast(Objective, objective), speculate)


@cache
def _usual_link() -> Link:
    """Read once: it is shipped, and takes longer to read than a small program to compile."""
    return load_link(LINK)


@cache
def _usual_profile(name: str) -> DeviceProfile:
    return load_profile(name)


def _profile(given: str | DeviceProfile | None, usual: str) -> DeviceProfile:
    if given is None:
        return _usual_profile(usual)
    return load_profile(given) if isinstance(given, str) else given


@contextmanager
def _without_collection() -> Iterator[None]:
    """The collector finds nothing while a program is compiled, and looks for it a third of the time: all that is made
    hangs together until the end, and `parse` bounds how much that is.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Compilation:
    """One program on its way through the passes."""

    def __init__(self, source: str, functions: Registry, name: str, where: str, *, keep: bool) -> None:
        self.source, self.functions, self.name, self.where, self.keep = source, functions, name, where, keep
        self.said: list[Diagnostic] = []
        self.stages: dict[str, str] = {}

    def compiled(
        self, devices: tuple[Link, DeviceProfile, DeviceProfile], objective: Objective, speculate: float
    ) -> CompiledProgram:
        """Run all passes."""
        from .dataflow import analyse
        from .emit import emit
        from .place import place, plan_text

        link, edge, cloud = devices
        lowered = self.lowered()
        every = [*lowered.sites.values(), *lowered.started.values()]
        sites = tuple(sorted(every, key=lambda site: site.number))
        self._check_sites(sites)
        with self._pass("dataflow"):
            graph = analyse(lowered, self.functions, speculate)
            self._keep("dataflow", graph.text)
        nodes = tuple(self._servable(node) for node in graph.nodes)
        with self._pass("place"):
            plan = place(nodes, self.functions, link=link, edge=edge, cloud=cloud, objective=objective)
            self._keep("place", lambda: plan_text(plan, {site.number: site.text for site in sites}))
        with self._pass("emit"):
            emitted = emit(lowered, graph, plan)
            source = self._finished(emitted, lowered.parsed)
            self._keep("emit", lambda: source)
        problems = [Diagnostic(1, 1, "warning", "placement", problem) for problem in plan.problems]
        self._note([*lowered.diagnostics, *graph.diagnostics, *problems])
        return CompiledProgram(source, sites, plan, tuple(sorted(set(self.said))), self.stages, nodes)

    def lowered(self) -> Lowered:
        """The passes up to `lower`."""
        from .lower import lower

        with self._pass("parse"):
            parsed = parse(self.source, name=self.name, where=self.where)
            self._keep("parse", lambda: ast.dump(parsed.tree, indent=1))
        with self._pass("check"):
            self._note(check(parsed, self.functions))
            self._keep("check", lambda: "".join(f"{each.text(self.where)}\n" for each in self.said))
        with self._pass("lower"):
            lowered = lower(parsed, self.functions)
            self._keep("lower", lambda: ast.unparse(lowered.tree) + "\n")
        return lowered

    def _keep(self, name: str, text: Callable[[], str]) -> None:
        """The printable form after a pass: now, because later ones change the tree in place."""
        if self.keep:
            self.stages[name] = text()

    @contextmanager
    def _pass(self, name: str) -> Iterator[None]:
        """Whatever a pass stumbles over becomes a diagnostic, with all that was said before."""
        try:
            yield
        except CompileError as cause:
            raise CompileError(_errors_first([*self.said, *cause.diagnostics]), where=self.where) from cause.__cause__
        except DicemError:
            raise
        except (RecursionError, MemoryError):
            hint = "Split the program into smaller functions"
            self._refuse("too-deep", f"too large or too deeply nested for the pass {name}", hint)
        except Exception as cause:  # the last line of defence: nobody is to read a traceback for what he wrote
            what = f"the compiler stumbled in its pass {name}: {type(cause).__name__}: {str(cause)[:200]}"
            hint = "That is a mistake of dicem's, not of the program's: please report it"
            raise CompileError([Diagnostic(1, 1, "error", "internal", what, hint)], where=self.where) from cause

    def _refuse(self, code: str, message: str, hint: str = "") -> None:
        raise CompileError([Diagnostic(1, 1, "error", code, message, hint)], where=self.where) from None

    def _note(self, diagnostics: Iterable[Diagnostic]) -> None:
        """:raises CompileError: there is an error among them"""
        self.said += diagnostics
        if any(each.severity == "error" for each in self.said):
            raise CompileError(_errors_first(self.said), where=self.where)

    def _check_sites(self, sites: Sequence[CallSite]) -> None:
        """:raises CompileError: too many calls, or one for which there is no function at all"""
        if len(sites) > MAX_SITES:
            last, message = (
                sites[MAX_SITES],
                f"too long: calls in {len(sites):,} places, at most {MAX_SITES:,} are taken",
            )
            self.said.append(Diagnostic(last.line, last.column, "error", "too-long", message, "Use a loop"))
        for site in sites:
            if site.functions and not any(name in self.functions for name in site.functions):
                message = f"{site.name} asks {' or '.join(site.functions)}, which is not among the functions"
                hint = "Add it to the file of --functions"
                self.said.append(Diagnostic(site.line, site.column, "error", "unknown-function", message, hint))
        self._note([])

    def _servable(self, node: CallNode) -> CallNode:
        """The node with only those functions that there are: `find` may do with the detector alone."""
        there = tuple(name for name in node.site.functions if name in self.functions)
        return node if there == node.site.functions else replace(node, site=replace(node.site, functions=there))

    def _finished(self, emitted: str, parsed: Parsed) -> str:
        """The source as it is handed out: with the directives, and sure to be read by the runner."""
        depth = depth_of(ast.parse(emitted))
        if depth > RUNNER_DEPTH:
            self._refuse("too-deep", f"nested too deeply once compiled: {depth}, at most {RUNNER_DEPTH} are taken")
        directives = "".join(f"# dicem: {key}={value}\n" for key, value in parsed.directives.items())
        return emitted if emitted.startswith(directives) else directives + emitted


def _errors_first(said: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(set(said), key=lambda each: (each.severity != "error", each))


assert MAX_DEPTH < RUNNER_DEPTH
