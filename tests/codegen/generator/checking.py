"""One generated program through the compiler and the verifier."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from dicem_codegen import compile_program
from dicem_codegen.compile import CLOUD_PROFILE, EDGE_PROFILE, LINK
from dicem_codegen.verify import Verifier, World, smaller
from dicem_shared.errors import DicemError
from dicem_shared.links import Link, load_link
from dicem_shared.profiles import DeviceProfile, load_profile

from .program import Generated

WORLDS = 2
"""of each program: one in which nothing fails, and others in which calls do"""
BUDGET_USD = 0.05
"""a frame, where speculation is on: enough for every call of such a program"""

TOO_MUCH = ("it made too many calls", "it printed too much")
"""of a program that goes on for ever in some world, or doubles a list again and again: there is nothing to compare"""


@dataclass(frozen=True)
class Trouble:
    """A program whose compiled form means something else, is refused, or that nobody can judge."""

    generated: Generated
    what: str
    world: int | None = None
    speculating: bool = False

    @property
    def kind(self) -> str:
        """What is wrong, without the particulars: the same for a smaller program with the same fault."""
        return kind_of(self.what)


def kind_of(what: str) -> str:
    """What is wrong, without the particulars."""
    if what.startswith("not "):  # what the compiler says, without places and names
        return re.sub(r"'[^']*'|\d+", "", what)
    return what.split(":", maxsplit=1)[0]


def worlds_of(seed: int, count: int = WORLDS) -> list[int]:
    """Seeds of worlds for the program of `seed`: the first has no failures, all others have some."""
    found: list[int] = []
    for candidate in itertools.count(seed * 1000):
        if (World(candidate).traits.failure_rate > 0) == bool(found):
            found.append(candidate)
            if len(found) == count:
                return found
    raise AssertionError("there is always another world")


def trouble_with(
    verifier: Verifier, generated: Generated, *, worlds: int = WORLDS, speculating: bool = False
) -> Trouble | None:
    """What is wrong with a program once compiled; None if nothing is.  Whatever is raised counts as wrong."""
    seeds = worlds_of(generated.seed, worlds)
    what, world = _judge(verifier, generated.source, seeds, speculating)
    return Trouble(generated, what, world, speculating) if what else None


def compiled_form(verifier: Verifier, source: str, *, speculating: bool = False) -> str:
    """The source of the compiled program.

    :raises CompileError: it cannot be compiled
    """
    link, edge, cloud = _devices()
    speculate = BUDGET_USD if speculating else 0.0
    return compile_program(
        source, verifier.functions, link=link, edge_profile=edge, cloud_profile=cloud, speculate=speculate
    ).source


@cache
def _devices() -> tuple[Link, DeviceProfile, DeviceProfile]:
    """Read once, not for each program."""
    return load_link(LINK), load_profile(EDGE_PROFILE), load_profile(CLOUD_PROFILE)


def _judge(verifier: Verifier, source: str, worlds: list[int], speculating: bool) -> tuple[str, int | None]:
    try:
        compiled = compiled_form(verifier, source, speculating=speculating)
    except DicemError as cause:
        return f"not compiled: {cause}", None
    try:
        verdict = verifier.check(source, compiled, worlds, speculation=speculating)
    except DicemError as cause:
        return f"not checked: {cause}", None
    if verdict.difference is not None:
        first = verdict.difference.aspects[0]
        where = verdict.difference.where
        said = f"{first.kind} differs in the {where}: expected {first.expected}, got {first.got}"
        return said, verdict.difference.seed
    if verdict.trouble is not None and any(each in str(verdict.trouble) for each in TOO_MUCH):
        return "", None
    return (f"no verdict: {verdict.trouble}", None) if verdict.trouble is not None else ("", None)


def reduced(verifier: Verifier, trouble: Trouble, attempts: int = 200) -> str:
    """A smaller program with the same kind of trouble in the same world."""
    worlds = [trouble.world] if trouble.world is not None else worlds_of(trouble.generated.seed, 1)

    def still(candidate: str) -> bool:
        what, _ = _judge(verifier, candidate, worlds, trouble.speculating)
        return bool(what) and kind_of(what) == trouble.kind

    return smaller(trouble.generated.source, still, attempts=attempts)


def report(verifier: Verifier, trouble: Trouble) -> str:
    """What is wrong, where, and a small program that shows it."""
    generated = trouble.generated
    world = "" if trouble.world is None else f", world {trouble.world}"
    speculating = ", speculating" if trouble.speculating else ""
    head = f"seed {generated.seed} ({generated.dialect}{world}{speculating}): {trouble.what}"
    return f"{head}\n\n{reduced(verifier, trouble)}"


def troubles(
    verifier: Verifier, programs: Iterator[Generated], *, worlds: int = WORLDS, speculating_every: int = 5
) -> Iterator[tuple[Generated, Trouble | None]]:
    """Each program with what is wrong with it; every so many of them are compiled with speculation as well."""
    for generated in programs:
        trouble = trouble_with(verifier, generated, worlds=worlds)
        if trouble is None and generated.seed % speculating_every == 0:
            trouble = trouble_with(verifier, generated, worlds=worlds, speculating=True)
        yield generated, trouble
