"""`dicem programs run`: a program of the library on a recording, without any language model."""

from __future__ import annotations

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
    from dicem_codegen.library.resolve import Setting, resolve
    from dicem_codegen.library.store import ProgramStore
    from dicem_codegen.library.stored import check_fresh
    from dicem_shared.catalog import catalog

    from .answering import Look, answers_of, open_look
    from .answers_shown import print_answer, print_answers

    functions = catalog()
    stored = resolve(program, functions, ProgramStore(), Setting(link=link) if link is not None else None)
    check_fresh(stored, functions)
    opened = open_look(Look(recording=recording, frames=frames, seed=seed))
    console = Console()
    if opened.notice:
        Console(stderr=True).print(opened.notice, style="yellow")
    answers = answers_of(stored, opened, (lambda _: None) if as_json else lambda each: print_answer(each, console))
    print_answers(stored, answers, console, as_json=as_json)
    if all(answer.status == "failed" for answer in answers):
        raise typer.Exit(1)
