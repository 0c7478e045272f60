"""`dicem compile`, and the other commands of the compiler."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from dicem_shared.errors import CompileError, ConfigError

if TYPE_CHECKING:
    from dicem_shared.functions import Registry
    from dicem_shared.profiles import DeviceProfile

    from .types import CompiledProgram, Diagnostic

Stage = Literal["parse", "check", "lower", "dataflow", "place", "emit"]
MAX_SECONDS = 60
PARTS = ("verify.commands", "generate.commands", "library.commands", "fleet.commands")


def register(app: typer.Typer) -> None:
    """Add the compiler's commands to `dicem`, and those of what is built on it."""
    app.command("compile", no_args_is_help=True)(compile_)
    for part in PARTS:
        importlib.import_module(f"dicem_codegen.{part}").register(app)


def compile_(
    file: Annotated[
        str, typer.Argument(help="A program, or - for standard input.", metavar="FILE", show_default=False)
    ],
    functions: Annotated[
        Path | None,
        typer.Option(help="What it can call: a file as `dicem functions -o yaml` prints it. [default: the catalog]"),
    ] = None,
    link: Annotated[
        str, typer.Option(help="harbour-wifi, coastal-lte, satellite, dead-zones, a YAML file or a CSV trace.")
    ] = "coastal-lte",
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="A computer, by name in configs/profiles or by path: edge=NAME, cloud=NAME, or NAME alone, where the "
            "one that is paid by the hour is the cloud's. [default: edge=jetson-orin-nano, cloud=cloud-a100]"
        ),
    ] = None,
    objective: Annotated[
        Literal["latency", "cost"], typer.Option(help="What matters: the answer's delay, or its price.")
    ] = "latency",
    speculate: Annotated[
        float,
        typer.Option(min=0, help="Dollars a frame for calls that the serial program might not make.", metavar="BUDGET"),
    ] = 0.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the graph, the critical path, and why each call runs where.")
    ] = False,
    stage: Annotated[Stage | None, typer.Option(help="Print what this pass makes of the program.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print source, calls, plan and diagnostics as JSON.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the compiled program here.")] = None,
) -> None:
    """Compile a serial program into one that asks as early as its data allows, and means the same.

    The compiled program goes to standard output, what there is to say about it to standard error, as
    `file:line:column: kind: message`.  Exit code 2: it is no valid program.

    \b
    Try it:
      dicem compile configs/programs/litter.py
      dicem compile configs/programs/litter.py --explain --link satellite
      dicem compile my.py --functions functions.yaml --objective cost -o my_compiled.py
    """
    from .compile import compile_program
    from .parse import read_program, read_text

    where = "<stdin>" if file == "-" else file
    if output is not None and os.path.exists(output) and os.path.exists(file) and os.path.samefile(output, file):
        raise ConfigError(f"-o {output} is the program itself", todo="Give the compiled program a name of its own.")
    devices, known = profiles_of(profile or []), _functions(functions)
    try:
        source = read_text(sys.stdin.buffer, where=where) if file == "-" else read_program(Path(file))
        with _deadline(where):
            compiled = compile_program(
                source,
                known,
                name="program" if file == "-" else Path(file).stem,
                where=where,
                link=link,
                edge_profile=devices.get("edge"),
                cloud_profile=devices.get("cloud"),
                objective=objective,
                speculate=speculate,
                stages=stage is not None,
            )
    except CompileError as cause:
        _refuse(cause, as_json=as_json)
    _say(compiled.diagnostics, where)
    if output is not None:
        from dicem_shared.files import write_whole

        write_whole(output, compiled.source)
    if explain:
        from rich.console import Console

        from .explain import explain as show

        show(compiled, Console())
    elif as_json:
        typer.echo(json.dumps(_document(compiled), indent=2, ensure_ascii=False, allow_nan=False))
    elif stage is not None:
        typer.echo(compiled.stages[stage], nl=False)
    elif output is None:
        typer.echo(compiled.source, nl=False)


@contextmanager
def _deadline(where: str) -> Iterator[None]:
    """The last defence against a program that keeps the compiler busy for ever.

    :raises CompileError: it took longer than `MAX_SECONDS`
    """

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        from .types import Diagnostic

        message = f"given up: compiling took longer than {MAX_SECONDS} s"
        hint = "Split the program, or nest less"
        raise CompileError([Diagnostic(1, 1, "error", "too-long", message, hint)], where=where)

    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _functions(path: Path | None) -> Registry | None:
    if path is None:
        return None
    from dicem_shared.function_files import load_functions

    return load_functions(path)


def profiles_of(given: list[str]) -> dict[str, DeviceProfile]:
    """The vehicle's and the cloud's computer.

    :raises ConfigError: one cannot be used, or two are given for one side
    """
    from dicem_shared.profiles import load_profile

    found: dict[str, DeviceProfile] = {}
    for each in given:
        side, _, name = each.rpartition("=")
        profile = load_profile(name if side in ("edge", "cloud") else each)
        side = side if side in ("edge", "cloud") else "cloud" if profile.usd_per_hour > 0 else "edge"
        if side in found:
            raise ConfigError(
                f"--profile: two for the {side}", got=f"{found[side].name} and {profile.name}",
                todo="Say edge=NAME and cloud=NAME.",
            )  # fmt: skip
        found[side] = profile
    return found


def _say(diagnostics: Iterable[Diagnostic], where: str) -> None:
    for each in diagnostics:
        typer.echo(each.text(where), err=True)


def _refuse(cause: CompileError, *, as_json: bool) -> NoReturn:
    """Say all there is to say of a program that is none; exit code 2."""
    if as_json:
        said = {"diagnostics": [asdict(each) for each in cause.diagnostics]}
        typer.echo(json.dumps(said, indent=2, ensure_ascii=True))
    _say(cause.diagnostics, cause.where)
    if "--debug" in sys.argv and cause.__cause__ is not None:
        traceback.print_exception(cause.__cause__)
    raise typer.Exit(2)


def _document(compiled: CompiledProgram) -> dict[str, Any]:
    """What `--json` prints."""
    plan = asdict(compiled.plan)
    placements = plan.pop("placements")
    return {
        "source": compiled.source,
        "calls": [{**asdict(site), "placement": placements.get(site.number)} for site in compiled.sites],
        "plan": plan,
        "diagnostics": [asdict(each) for each in compiled.diagnostics],
    }
