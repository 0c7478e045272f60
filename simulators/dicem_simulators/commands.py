"""`dicem simulate` and `dicem scenes`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicem_codegen.library.commands import programs
from dicem_shared.errors import ConfigError

from . import ask, programs_run

if TYPE_CHECKING:
    from .simulate import Result

scenes = typer.Typer(help="Rendered scenes: a boat's camera over water with floating objects.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the simulators' commands to `dicem`."""
    app.command("simulate")(simulate)
    app.add_typer(scenes, name="scenes")
    ask.register(app)
    programs_run.register(programs)


def simulate(
    recording: Annotated[str, typer.Argument(help="A recording's folder, or its name in recordings/.")],
    program: Annotated[
        str | None,
        typer.Option(help="A program's name in configs/programs/ or its path. [default: the litter mission]"),
    ] = None,
    link: Annotated[
        str, typer.Option(help="harbour-wifi, coastal-lte, satellite, dead-zones, a YAML file or a CSV trace.")
    ] = "coastal-lte",
    mode: Annotated[str, typer.Option(help="Which to run, with commas.")] = "cloud-only,per-call,split",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result, byte for byte.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here; - for standard output.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots and crops here.")] = None,
    frames: Annotated[
        bool,
        typer.Option(
            "--frames", help="With --json: each mode's `frames` is a list with one answer a frame, not their number."
        ),
    ] = False,
    edge_config: Annotated[str, typer.Option(help="The vehicle's config.")] = "edge-demo",
    cloud_config: Annotated[str, typer.Option(help="The cloud's config.")] = "cloud-demo",
    edge_profile: Annotated[str, typer.Option(help="The vehicle's computer.")] = "jetson-orin-nano",
    cloud_profile: Annotated[str, typer.Option(help="The cloud's machine.")] = "cloud-a100",
) -> None:
    """Run a program on a recording on a virtual clock: the modes side by side.

    The runner, the models, the codec and the gateway are the real ones; time and money come from the link and from the
    device profiles, and are called simulated.
    """
    from .modes import MODES
    from .simulate import Setting
    from .simulate import simulate as run
    from .table import print_tables

    wanted = [name.strip() for name in mode.split(",") if name.strip()]
    modes = tuple(m for m in MODES if m in wanted)
    if not modes or set(wanted) - set(MODES):
        raise ConfigError("--mode", expected=f"some of {', '.join(MODES)}", got=mode)
    for target in (report, json_file):
        if target is not None and str(target) != "-" and not target.parent.exists():
            raise ConfigError(f"the folder {target.parent} does not exist", todo="Make it first.")
        if target is not None and target.is_dir():
            raise ConfigError(f"{target} is a folder", expected="a file's name")
    setting = Setting(
        recording, program, link, modes, seed, edge_config, cloud_config, edge_profile, cloud_profile
    )  # fmt: skip
    console = Console(stderr=True)
    with _bar(console) as progress:
        result = run(setting, progress)
    for notice in result.notices:
        console.print(notice, style="yellow")
    if result.recording.skipped:
        console.print(f"{len(result.recording.skipped)} frames skipped, first: {result.recording.skipped[0]}")
    if json_file is not None:
        _write(json_file, json.dumps(_document(result, frames), indent=2, sort_keys=True) + "\n")
    if report is not None:
        from .report import render_report

        _write(report, render_report(result))
        console.print(f"report: {report}")
    if json_file is None or str(json_file) != "-":
        print_tables(result, Console())


def _document(result: Result, with_frames: bool) -> dict[str, Any]:
    document = result.summary()
    if with_frames:
        for mode, answers in result.answers.items():
            records = [answers[number].model_dump(mode="json", by_alias=True) for number in sorted(answers)]
            document["modes"][mode]["frames"] = records
    return document


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    if str(path) == "-":
        sys.stdout.write(text)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as cause:
        raise ConfigError(f"{path} cannot be written", got=str(cause)) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _bar(console: Console) -> Iterator[Any]:
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show


@scenes.command()
def render(
    folder: Annotated[Path, typer.Argument(help="The new recording's folder.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    frames: Annotated[int, typer.Option(min=4, max=100_000)] = 120,
    far: Annotated[float, typer.Option(min=0, max=1, help="Share of frames with only far objects.")] = 0.25,
    near: Annotated[float, typer.Option(min=0, max=1, help="Share of frames with litter within 5 m.")] = 0.15,
    quality: Annotated[int, typer.Option(min=30, max=100, help="JPEG quality.")] = 85,
    rate_hz: Annotated[float, typer.Option(min=0.1, max=30, help="Frames a second.")] = 1.0,
) -> None:
    """Render a voyage with a known truth; the rest of the frames is empty water."""
    from .scenes.mission import Mix, write_recording

    mix = Mix(empty=round(1 - far - near, 9), far=far, near=near)
    with _bar(Console(stderr=True)) as show:
        write_recording(
            folder,
            seed,
            frames,
            mix,
            quality,
            rate_hz=rate_hz,
            progress=lambda done, total: show("render", done, total),
        )
    typer.echo(f"{folder}: {frames} frames, rendered with seed {seed}")
