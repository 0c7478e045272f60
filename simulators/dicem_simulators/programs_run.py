"""`dicem programs run`: a program of the library on a recording, without any language model."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

RECORDING = typer.Option(
    "--recording", "--image", help="What to look at: a recording's folder or name, or a photograph."
)
FRAMES = typer.Option(min=1, help="Only the first so many frames.")
LINK = typer.Option(help="Compile it for this link. Left out: the one that it was stored with, else coastal-lte.")
JSON = typer.Option("--json", help="Print program, answers and totals as JSON.")


def register(programs: typer.Typer) -> None:
    """Add `run` to `dicem programs`."""
    programs.command("run")(run)


def run(
    program: Annotated[str, typer.Argument(help="A name, the beginning of an id, or a path.")],
    recording: Annotated[str, RECORDING] = "litter-mission",
    frames: Annotated[int | None, FRAMES] = None,
    link: Annotated[str | None, LINK] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result.")] = 0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Run a program on every frame of a recording and print its answers.

    The runner, the models and the gateway are the real ones; time and money are simulated, for the link and the devices
    that the program was compiled for.
    """
    from dicem_codegen.library import ProgramStore, stale
    from dicem_codegen.library.resolve import Setting, resolve
    from dicem_codegen.library.stored import document
    from dicem_shared.catalog import catalog
    from dicem_shared.errors import ConfigError

    from .answering import Look, answers_of, open_look
    from .answers_shown import documents, print_answer, print_totals, totals

    functions = catalog()
    stored = resolve(program, functions, ProgramStore(), Setting(link=link) if link is not None else None)
    if found := stale(stored, functions):
        raise ConfigError(f"{program} is stale: {found[0]}", todo="Ask for it anew, or check it: dicem programs add")
    opened = open_look(Look(recording=recording, frames=frames, seed=seed))
    console = Console()
    if opened.notice:
        Console(stderr=True).print(opened.notice, style="yellow")
    answers = answers_of(stored, opened, (lambda _: None) if as_json else lambda each: print_answer(each, console))
    summary = totals(answers)
    if as_json:
        told = {"program": document(stored), "answers": documents(answers), "totals": summary}
        typer.echo(json.dumps(told, indent=2))
    else:
        print_totals(summary, console)
    if all(answer.status == "failed" for answer in answers):
        raise typer.Exit(1)
