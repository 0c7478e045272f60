"""`dicem programs`: the library of programs, which works without a language model."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicem_shared.errors import ConfigError

if TYPE_CHECKING:
    from .stored import StoredProgram

programs = typer.Typer(
    help="Programs that are ready to run: those that come with dicem, and those that you asked for or added.",
    no_args_is_help=True,
)
JSON = typer.Option("--json", help="Print it as JSON.")


def register(app: typer.Typer) -> None:
    """Add the library's commands to `dicem`."""
    app.add_typer(programs, name="programs")


@programs.command("list")
def list_(as_json: Annotated[bool, JSON] = False) -> None:
    """List the programs, and which of them are stale because a function has changed."""
    from dicem_shared.catalog import catalog

    from .resolve import shipped, title_of
    from .store import ProgramStore
    from .stored import stale

    functions, store = catalog(), ProgramStore()
    rows: list[dict[str, Any]] = []
    for name in store.names():
        try:
            each = store.latest(name)
        except ConfigError as cause:
            rows.append({
                "name": name, "id": "", "origin": "damaged", "question": str(cause), "model": "", "created": "",
                "stale": [],
            })  # fmt: skip
            continue
        if each is not None:
            rows.append({
                "name": name, "id": each.id, "origin": each.origin, "question": each.question, "model": each.model,
                "created": _date(each.created_utc), "stale": stale(each, functions),
            })  # fmt: skip
    for name, path in shipped().items():
        text = title_of(path.read_text(encoding="utf-8", errors="replace"))
        rows.append({
            "name": name, "id": "", "origin": "shipped", "question": text, "model": "", "created": "", "stale": []
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "origin", "what it answers", "id")
    for row in rows:
        note = (f" stale: {_line(row['stale'][0])}", "red") if row["stale"] else ""
        table.add_row(row["name"], row["origin"], Text.assemble(_line(row["question"]), note), row["id"][:12])
    Console().print(table)


@programs.command()
def show(
    program: Annotated[str, typer.Argument(help="A name, or the beginning of an id.")],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show a program with its question, who wrote it, what it calls, what it was checked with, and its plan."""
    from dicem_shared.catalog import catalog

    from .resolve import resolve
    from .store import ProgramStore
    from .stored import stale

    functions = catalog()
    stored = resolve(program, functions, ProgramStore())
    found = stale(stored, functions)
    if as_json:
        typer.echo(json.dumps(stored.model_dump(mode="json") | {"stale": found}, indent=2))
    else:
        typer.echo(describe(stored, found), nl=False)


@programs.command()
def add(
    file: Annotated[Path, typer.Argument(help="A program that you wrote.")],
    name: Annotated[str | None, typer.Option(help="Under which it is kept. Left out: its own.")] = None,
    question: Annotated[str, typer.Option(help="What it answers. Left out: its first comment.")] = "",
    link: Annotated[str, typer.Option(help="The link that it is compiled for.")] = "coastal-lte",
) -> None:
    """Check a program of your own, compile it, and keep it."""
    from dicem_shared.catalog import catalog
    from dicem_shared.program import load_program

    from .resolve import Setting, record, title_of
    from .store import ProgramStore
    from .stored import program_name

    program = load_program(file)
    asked = question or title_of(program.source)
    stored = record(program.source, name or program_name(program.name), catalog(), Setting(link=link), question=asked)
    path = ProgramStore().save(stored)
    typer.echo(f"{stored.name} ({stored.id[:12]}): {len(stored.checks)} checks passed; kept in {path}")


@programs.command("remove")
def remove(name: Annotated[str, typer.Argument(help="A name.")]) -> None:
    """Forget a program with all its revisions.  Vehicles that run it are not told: see `dicem undeploy`."""
    from .store import ProgramStore

    count = ProgramStore().remove(name)
    if not count:
        raise ConfigError(f"nothing is kept as {name}", todo="`dicem programs list` shows what is.")
    typer.echo(f"{name}: {count} revision{'s' if count > 1 else ''} removed")


def describe(stored: StoredProgram, stale: list[str]) -> str:
    """All that is known of a program, as text; what a terminal would obey is written out."""
    from ..generate.report import shown

    plan = stored.plan
    author = (
        f"{stored.model} in {stored.attempts} attempts, prompt {stored.prompt_version}" if stored.model else "a person"
    )
    functions = ", ".join(f"{each.name} {each.version[:8]}" for each in stored.functions) or "none"
    expected = f"{plan.latency_s:.3g} s and ${plan.cost_usd:.2g} a frame expected, {plan.bytes_up / 1000:.3g} kB up"
    lines = [
        f"name       {stored.name}",
        f"id         {stored.id}",
        f"question   {stored.question or '-'}",
        f"written by {author}{f', {_date(stored.created_utc)}' if stored.created_utc else ''}",
        f"functions  {functions} ({stored.functions_from})",
        f"checks     {', '.join(c.name + (f' ({c.detail})' if c.detail else '') for c in stored.checks)}",
        f"plan       for {plan.objective} over {plan.link}, {plan.edge_profile} and {plan.cloud_profile}",
        f"           {expected}",
        f"dicem      {stored.dicem}",
        *(f"STALE      {each}" for each in stale),
    ]
    lines += ["", "calls"]
    for call in plan.calls:
        where = call.site or "vehicle's choice"
        lines.append(f"  line {call.line}: {call.text}: {where}; cloud away: {call.when_away}")
    lines = [_line(line) for line in lines]
    lines += [
        "",
        "serial",
        "",
        shown(stored.serial).rstrip(),
        "",
        "distributed",
        "",
        shown(stored.distributed).rstrip(),
    ]
    return "\n".join(lines) + "\n"


def _date(utc: float) -> str:
    return datetime.fromtimestamp(utc, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if utc else ""


def _line(text: str) -> str:
    from ..types import printable

    return printable(text)
