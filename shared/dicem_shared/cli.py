"""`dicem`: one command line, to which every part of dicem that is installed adds its commands."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib.metadata import entry_points, version
from types import FrameType
from typing import Annotated, NoReturn

import typer

from .errors import DicemError

app = typer.Typer(
    name="dicem",
    help="Ask a question of a boat's camera: light models on board, heavy ones in the cloud.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"dicem {version('dicem')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Ask a question of a boat's camera: light models on board, heavy ones in the cloud."""


def assemble() -> typer.Typer:
    """The command line with the commands of every installed part."""
    for entry in sorted(entry_points(group="dicem.commands"), key=lambda e: e.name):
        entry.load()(app)
    return app


class _Stopped(BaseException):
    """Ctrl-C.  Not a KeyboardInterrupt: the command-line library would turn that into an exit code of its own."""


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped


def main() -> None:
    """Run the command line.  An error is one line; exit code 2 for what the user can mend, 130 for Ctrl-C."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        assemble()()
    except DicemError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        typer.echo(f"dicem: {error}", err=True)
        sys.exit(2)
    except _Stopped:
        typer.echo("dicem: stopped", err=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
