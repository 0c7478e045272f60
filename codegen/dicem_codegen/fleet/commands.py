"""`dicem deploy`, `dicem undeploy`, `dicem deployments` and `dicem keygen`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicem_shared.errors import ConfigError

if TYPE_CHECKING:
    from ..library.stored import StoredProgram
    from .config import OperatorConfig
    from .deploy import Result
    from .operator import Operator

OPERATOR = typer.Option(
    help="Fleet, broker and key: a name in configs/ or a path. Left out: $DICEM_OPERATOR, or operator-demo."
)
VEHICLE = typer.Option("--vehicle", "-v", help="Which vehicle; may be given several times.")
FLEET = typer.Option("--fleet", help="Every vehicle of the fleet that the broker has heard of.")
WAIT = typer.Option(min=0.1, max=3600, help="Seconds to wait for vehicles that are online. Left out: the config's.")
JSON = typer.Option("--json", help="Print what came of it as JSON.")


def register(app: typer.Typer) -> None:
    """Add the operator's commands to `dicem`."""
    app.command("deploy", no_args_is_help=True)(deploy)
    app.command("undeploy", no_args_is_help=True)(undeploy)
    app.command("deployments")(deployments)
    app.command("keygen")(keygen)


def deploy(
    program: Annotated[str, typer.Argument(help="A program's name or id (`dicem programs`), or a path.")],
    vehicle: Annotated[list[str] | None, VEHICLE] = None,
    fleet: Annotated[bool, FLEET] = False,
    name: Annotated[str | None, typer.Option(help="Under which it goes there. Left out: its own.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to what ran before it.")] = False,
    link: Annotated[str | None, typer.Option(help="Compile it anew for this link.")] = None,
    objective: Annotated[Literal["latency", "cost"] | None, typer.Option(help="Compile it anew for this.")] = None,
    operator: Annotated[str | None, OPERATOR] = None,
    wait: Annotated[float | None, WAIT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Send a program to vehicles; it runs from their next frame on.

    What is sent is signed with the operator's key and stays at the broker, so that a boat that is away finds it when it
    is back.  Exit code 1: a vehicle that is online does not run it.

    \b
    Try it:
      dicem keygen                                   # once; put the line that it prints into the vehicles' config
      dicem deploy litter_serial --vehicle demo-boat
      dicem deploy litter_serial --vehicle demo-boat --rollback
    """
    from dicem_shared.catalog import catalog

    from ..library.resolve import Setting, name_of_wanted, resolve
    from ..library.store import ProgramStore
    from ..library.stored import check_fresh
    from .deploy import previous_id

    settings = _settings(operator)
    functions, store = catalog(), ProgramStore()
    setting = None
    if link is not None or objective is not None:
        usual = Setting()
        setting = Setting(link=link or usual.link, objective=objective or usual.objective)
    wanted: StoredProgram | None = None
    if not rollback:
        wanted = resolve(program, functions, store, setting, name=name)
        check_fresh(wanted, functions)
        store.save(wanted)
    if name is not None:
        called = [name]
    else:
        called = [wanted.name] if wanted is not None else [program, name_of_wanted(program, store)]

    def program_for(operator: Operator, boat: str, called: str) -> StoredProgram:
        if wanted is not None:
            return wanted
        before = previous_id(operator, boat, called)
        kept = store.find(before)
        if kept is None:
            raise ConfigError(
                f"the program that {boat} ran before ({before[:12]}) is not in this library",
                todo="Roll back where it was deployed from, or deploy it by name.",
            )
        return kept

    _carry_out(settings, vehicle, fleet, called, program_for, wait, as_json)


def undeploy(
    program: Annotated[str, typer.Argument(help="The name under which it runs there, or as for `dicem deploy`.")],
    vehicle: Annotated[list[str] | None, VEHICLE] = None,
    fleet: Annotated[bool, FLEET] = False,
    operator: Annotated[str | None, OPERATOR] = None,
    wait: Annotated[float | None, WAIT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Have vehicles stop running a deployed program; one of that name in a vehicle's own config runs again."""
    from ..library.resolve import name_of_wanted
    from ..library.store import ProgramStore

    called = [program, name_of_wanted(program, ProgramStore())]
    _carry_out(_settings(operator), vehicle, fleet, called, None, wait, as_json)


def deployments(
    vehicle: Annotated[list[str] | None, VEHICLE] = None,
    operator: Annotated[str | None, OPERATOR] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show what every vehicle of the fleet should run, and what it said it runs."""
    from ..types import printable
    from .operator import Operator

    settings = _settings(operator)
    with Operator(settings.broker, settings.fleet) as at_broker:
        seen = {name: each for name, each in at_broker.vehicles().items() if not vehicle or name in vehicle}
    rows = []
    for name, each in seen.items():
        for program in sorted(each.wanted.keys() | each.deployed.keys()) or [""]:
            wanted, report = each.wanted.get(program), each.deployed.get(program)
            behind = wanted is not None and (report is None or report.counter < wanted.counter)
            rows.append({
                "vehicle": name, "status": each.status, "program": program,
                "wanted": (wanted.program_id if wanted.action == "run" else "removed") if wanted is not None else "",
                "state": "not told yet" if behind else report.state if report is not None else "",
                "running": report.running_id if report is not None else "",
                "reason": report.reason if report is not None and not behind else "",
            })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"the broker has heard of no vehicle of the fleet {settings.fleet}", err=True)
        return
    table = Table(*("vehicle", "status", "program", "should run", "state", "runs", "reason"))
    for row in rows:
        ids = row["wanted"][:12], row["state"], row["running"][:12]
        cells = (row["vehicle"], row["status"], row["program"], *ids, row["reason"])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


def keygen(
    path: Annotated[Path, typer.Argument(help="Where the private key is to lie.")] = Path("operator.pem"),
) -> None:
    """Make an operator's key, and print the line that vehicles need to trust it."""
    from dicem_shared.keys import OperatorKey

    key = OperatorKey.create(path)
    typer.echo(f"{path}: your private key; keep it to yourself. In the config of each vehicle:", err=True)
    typer.echo(f"deploy:\n  operators: ['{key.public.text}']")


def _settings(given: str | None) -> OperatorConfig:
    from .config import load_operator_config

    return load_operator_config(given)


def _carry_out(
    settings: OperatorConfig, vehicle: Sequence[str] | None, fleet: bool, names: Sequence[str],
    program_for: ProgramFor | None, wait: float | None, as_json: bool,
) -> None:  # fmt: skip
    """`names`: what the program may be called on the vehicles; the first under which something runs there is meant."""
    from dicem_shared.keys import OperatorKey

    from .deploy import carry_out
    from .operator import Operator

    if bool(vehicle) == fleet:
        got = "both" if fleet else "neither"
        raise ConfigError("which vehicles?", expected="--vehicle NAME, or --fleet for all of them", got=got)
    key = OperatorKey.load(settings.key)
    with Operator(settings.broker, settings.fleet) as operator:
        vehicles = sorted(operator.vehicles()) if fleet else sorted(set(vehicle or ()))
        if not vehicles:
            todo = "Start one, or name it with --vehicle."
            raise ConfigError(f"the broker has heard of no vehicle of the fleet {settings.fleet}", todo=todo)
        there = {each for boat, seen in operator.vehicles().items() if boat in vehicles for each in seen.programs}
        name = next((each for each in names if each in there), names[-1])
        if program_for is None:
            vehicles = _that_have(name, vehicles, operator, named=not fleet)
        chosen = {boat: None if program_for is None else program_for(operator, boat, name) for boat in vehicles}
        results = carry_out(operator, key, vehicles, name, chosen.__getitem__, wait or settings.wait_s)
    _print(results, as_json)
    if not all(result.good for result in results):
        raise typer.Exit(1)


def _that_have(name: str, vehicles: list[str], operator: Operator, *, named: bool) -> list[str]:
    """The vehicles that may run a program that is to go: one that is online and has never heard of it does not.

    :raises ConfigError: none of them does, or one that was named does not
    """
    seen = operator.vehicles()
    without = [boat for boat in vehicles if operator.is_online(boat) and name not in seen[boat].programs]
    if without and (named or len(without) == len(vehicles)):
        there = ", ".join(sorted({program for boat in without for program in seen[boat].programs})) or "none"
        raise ConfigError(
            f"no program called {name} was deployed to {', '.join(without)}", got=f"there are: {there}",
            todo="`dicem deployments` shows what runs where.",
        )  # fmt: skip
    return [boat for boat in vehicles if boat not in without]


def _print(results: list[Result], as_json: bool) -> None:
    from ..types import printable

    if as_json:
        typer.echo(json.dumps([result.document() for result in results], indent=2))
        return
    for result in results:
        what = result.deployment.program_id[:12] if result.deployment.action == "run" else "remove"
        typer.echo(printable(f"{result.deployment.vehicle}: {result.deployment.program} ({what}): {result.said}"))


if TYPE_CHECKING:
    from collections.abc import Callable

    ProgramFor = Callable[[Operator, str, str], StoredProgram]
