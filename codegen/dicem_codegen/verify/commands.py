"""`dicem verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicem_shared.errors import DicemError

if TYPE_CHECKING:
    from dicem_shared.functions import Registry

    from .verifier import Difference, Verifier

REDUCING_SEEDS = 3
"""A smaller program may need a neighbour of the seed to show the same difference."""


def register(app: typer.Typer) -> None:
    """Add `dicem verify`."""
    app.command("verify")(verify)


def verify(
    file: Annotated[Path, typer.Argument(help="The serial program.", show_default=False)],
    candidate: Annotated[
        Path | None, typer.Option(help="A rewrite of it, by whomever; without one, the compiler's.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1_000_000, help="In so many worlds of functions.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    speculate: Annotated[
        float, typer.Option(min=0, help="Dollars a frame that the compiler may speculate for.", metavar="BUDGET")
    ] = 0.0,
    functions: Annotated[
        Path | None, typer.Option(help="The functions that programs can call: what `dicem functions -o yaml` prints.")
    ] = None,
    link: Annotated[str, typer.Option(help="The link that the compiler plans for.")] = "coastal-lte",
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Hold a compiled program, or somebody's rewrite, against the original.

    The original runs in CPython, the other one in the runner and in CPython, in worlds of made-up functions with
    results, failures and latencies that follow from a seed.  The exit code is 0 where they mean the same, 1 where they
    differ, 2 where that cannot be said.  The original runs in a confined process, which is for programs that were
    generated or reviewed, not for hostile ones.
    """
    from dicem_shared.catalog import catalog
    from dicem_shared.function_files import load_functions

    from ..parse import read_program
    from . import report
    from .verifier import Verifier

    known = load_functions(functions) if functions is not None else catalog()
    source = read_program(file)
    rewritten = read_program(candidate) if candidate is not None else None
    with Verifier(known) as verifier:
        translate = _translator(verifier.functions, rewritten, str(file), speculate, link)
        console = Console(stderr=True)
        with _bar(console) as progress:
            task = progress.add_task(file.name, total=seeds)
            verdict = verifier.check(
                source, translate(source), range(first_seed, first_seed + seeds),
                speculation=speculate > 0, keep_going=True, progress=lambda: progress.advance(task),
                where=(str(file), str(candidate or f"{file} compiled")),
            )  # fmt: skip
        small = None
        if verdict.difference is not None and rewritten is None:
            with console.status("looking for a smaller program that shows it"):
                small = _smaller(source, translate, verifier, verdict.difference, speculation=speculate > 0)
        if as_json:
            typer.echo(json.dumps(report.document(verdict, small), indent=2))
        else:
            typer.echo(report.summary(verdict))
        if verdict.difference is not None:
            if not as_json:
                world = verifier.world(verdict.difference.seed, source)
                shown = report.explained(verdict.difference, world, small or source, reduced=small is not None)
                typer.echo(f"different at {verdict.differing} of {verdict.totals.seeds} seeds\n{shown}")
            raise typer.Exit(1)
        if verdict.trouble is not None:
            raise verdict.trouble
        if not as_json:
            typer.echo(f"{file.name}: the same")


def _translator(
    functions: Registry, rewritten: str | None, where: str, speculate: float, link: str
) -> Callable[[str], str]:
    """From a program to what is held against it."""
    if rewritten is not None:
        return lambda _: rewritten
    from dicem_codegen import compile_program

    def compiled(source: str) -> str:
        return compile_program(source, functions, where=where, speculate=speculate, link=link).source

    return compiled


def _smaller(
    source: str, translate: Callable[[str], str], verifier: Verifier, difference: Difference, *, speculation: bool
) -> str:
    """A smaller program that shows a difference of the same kind."""
    from .reduce import smaller

    kind = difference.aspects[0].kind

    def still(candidate: str) -> bool:
        try:
            seeds = range(difference.seed, difference.seed + REDUCING_SEEDS)
            found = verifier.check(candidate, translate(candidate), seeds, speculation=speculation).difference
        except DicemError:
            return False
        return found is not None and found.aspects[0].kind == kind

    return smaller(source, still)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)
