"""`dicem models list`, `pull`, `check` and `export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from dicem_shared.errors import ConfigError

models = typer.Typer(
    help="The models behind the functions: which there are, fetching them, trying them. Weights are safetensors or "
    "ONNX only; pickles are never loaded.",
    no_args_is_help=True,
)
JSON = typer.Option("--json", help="Print it as JSON.")


def register(app: typer.Typer) -> None:
    """Add `models` to `dicem`."""
    app.add_typer(models, name="models")


@models.command("list")
def list_(
    config: Annotated[str | None, typer.Option("--config", "-c", help="List what this cloud config names.")] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """List the models that functions can use: licence, size, and whether they are on this machine.

    A star marks what a function uses where a config names no other.
    """
    from ..config import load_cloud_config
    from .known import configured, suggested

    rows = suggested() if config is None else configured(load_cloud_config(config))
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    table = Table("function", "backend", Column("model", overflow="fold"), "licence", "on this machine")
    for row in rows:
        here = "no" if row.folder is None else "yes" if row.size_bytes is None else _size(row.size_bytes)
        here = "-" if row.backend in ("endpoint", "geometry") else here
        name = Text.assemble(row.model, (" *", "bold") if row.default else "")
        table.add_row(row.function, row.backend, name, row.licence or "?", here)
    Console().print(table)


@models.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Names on the hub (owner/name), or functions for their defaults.")],
) -> None:
    """Fetch models from the Hugging Face hub, so that a cloud starts without it.

    Only files that cannot run code are fetched: safetensors, configuration, words. What was broken off goes on where it
    stopped. HF_TOKEN, HF_HOME and HF_ENDPOINT mean what they mean to the hub's own tools.

    dicem models pull glip xvlm google/owlv2-base-patch16-ensemble
    """
    from ..functions import hub
    from ..functions.checkpoints import look_at
    from ..functions_config import HUB_NAME
    from .known import ARCHITECTURES, defaults

    usual = defaults()
    wanted = [usual.get(name, name) for name in names]
    for name in wanted:
        if not HUB_NAME.match(name):
            expected = f"owner/name, or one of {', '.join(sorted(usual))}"
            raise ConfigError(f"{name[:80]!r} is no name on the hub", expected=expected)
    for name in dict.fromkeys(wanted):
        folder = hub.fetch(name)
        checkpoint = look_at(folder, ARCHITECTURES)
        function = ARCHITECTURES[checkpoint.architecture]
        typer.echo(f"{name}: {function}, {_size(checkpoint.size_bytes)}, sha256 {checkpoint.sha256[:12]}, in {folder}")


@models.command()
def check(
    model: Annotated[str, typer.Argument(help="A folder, an ONNX file, a name on the hub, or a function.")],
    image: Annotated[Path | None, typer.Option("--image", help="A JPEG, PNG or WebP file; noise if left out.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float16, bfloat16 or float32.")] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Load a model through the class that serves it, ask it about one picture, and say what it is and what it takes."""
    from .checking import check as run

    checked = run(model, None if image is None else _picture(image), device=device, dtype=dtype)
    if as_json:
        typer.echo(json.dumps(asdict(checked), indent=2))
        return
    rows: list[tuple[str, Any]] = [
        ("function", checked.function), ("model", checked.model), ("class", checked.what), ("sha256", checked.sha256),
        ("parameters", "?" if checked.parameters is None else f"{checked.parameters / 1e6:,.1f} million"),
        ("numbers", checked.numbers), ("to load", f"{checked.load_s:.2f} s"),
        ("one picture", f"{checked.answer_s:.3f} s"), ("peak memory", _size(checked.peak_bytes)),
        ("answer", json.dumps(checked.answer)[:300]),
    ]  # fmt: skip
    for name, value in rows:
        typer.echo(f"{name:12} {value}")


@models.command()
def export(
    checkpoint: Annotated[str, typer.Argument(help="A .pt file of ultralytics, or a name that it fetches itself.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    size: Annotated[int, typer.Option(help="Side of the square that the network sees, pixels.")] = 640,
    trusted: Annotated[
        bool, typer.Option("--i-trust-this-file", help="Load it although it is a pickle, which can run any code.")
    ] = False,
) -> None:
    """Make the ONNX file that `yolov8` runs from a checkpoint of ultralytics (YOLOv8, YOLO11). Needs the extra `train`.

    A .pt file is a pickle: loading it runs whatever its author put into it. Do it where you would run that author's
    programs, and nowhere else; the cloud itself loads ONNX only.
    """
    from .exporting import WARNING
    from .exporting import export as run

    if trusted:
        typer.echo(WARNING.format(file=checkpoint), err=True)
    made = run(checkpoint, output, size=size, trusted=trusted)
    shown = ", ".join(made.names[:8]) + (", ..." if len(made.names) > 8 else "")
    typer.echo(f"{made.path}: {len(made.names)} classes ({shown}), sha256 {made.sha256[:12]}")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _picture(path: Path) -> Any:
    from dicem_shared import images
    from dicem_shared.errors import ImageError

    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read", got=str(error)[:120]) from None
    return images.decode(data)
