"""`dicem edge`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from dicem_shared.types import Answer


def register(app: typer.Typer) -> None:
    """Add the vehicle's commands to `dicem`."""
    app.command("edge")(edge)


def edge(
    config: Annotated[str, typer.Option("--config", "-c", help="The vehicle's config: a name in configs/ or a path.")],
    source: Annotated[str, typer.Option("--source", help="What to look at: a recording's folder or name.")],
    rate: Annotated[
        float, typer.Option(min=0.01, max=1000, help="Play so many times as fast as it was recorded.")
    ] = 1.0,
    program: Annotated[str | None, typer.Option(help="A program instead of the config's.")] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Print each answer as a line of JSON.")] = False,
) -> None:
    """Run the vehicle's daemon: look, ask the cloud what must be asked, keep and send the answers."""
    from dicem_shared.demo import demo_notice
    from dicem_shared.recording import open_recording
    from dicem_shared.resources import need

    from .config import load_edge_config
    from .daemon import Daemon

    settings = load_edge_config(config)
    if program is not None:
        settings = settings.model_copy(update={"program": program, "programs": []})
    recording = open_recording(need(source, "recording", "recordings"))
    if notice := demo_notice([settings.detector.model]):
        typer.echo(notice, err=True)
    daemon = Daemon(settings, on_answer=_print_json if json_lines else _print_line)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        daemon.stop()
        typer.echo("stopping after the frames under way; once more to leave them", err=True)
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    before = signal.signal(signal.SIGINT, stop)
    tally = daemon.run(recording, rate=rate)
    typer.echo(
        f"{tally.frames} frames: {tally.answers} answers ({tally.failed} failed), {tally.missed} missed, "
        f"{tally.skipped} unreadable; {tally.unsent} answers not sent; kept in {Path(settings.answers).name}",
        err=True,
    )
    if tally.unsent or (tally.failed and tally.failed == tally.answers):
        raise typer.Exit(1)


def _print_json(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer.model_dump(mode="json", by_alias=True)) + "\n")
    sys.stdout.flush()


def _print_line(answer: Answer) -> None:
    text = answer.value if answer.status == "final" else f"{answer.status}: {answer.reason}"
    typer.echo(f"frame {answer.frame:5d}  {answer.source:6s} {answer.latency_s * 1000:7.0f} ms  {text}")
