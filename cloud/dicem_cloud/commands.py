"""`dicem cloud` and `dicem functions`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from dicem_shared.catalog import catalog
from dicem_shared.functions import FunctionSpec, OutputKind


def register(app: typer.Typer) -> None:
    """Add the cloud's commands to `dicem`."""
    app.command("cloud")(cloud)
    app.command("functions")(functions)


def cloud(
    config: Annotated[str, typer.Option("--config", "-c", help="The cloud's config: a name in configs/ or a path.")],
) -> None:
    """Serve functions over HTTP, and over MQTT where the config names a broker."""
    from .config import load_cloud_config  # what serving needs is loaded by those who serve
    from .serve import serve

    serve(load_cloud_config(config))


def functions(
    name: Annotated[str | None, typer.Argument(help="One function; all of them if left out.")] = None,
    output: Annotated[OutputKind, typer.Option("--output", "-o", help="How to print them.")] = "table",
) -> None:
    """List the functions that programs can call."""
    known = catalog()
    specs = [known.get(name)] if name is not None else list(known)
    resources = [spec.resource() for spec in specs]
    if output == "table":
        Console().print(_table(specs))
    elif output == "yaml":
        typer.echo("---\n".join(_yaml(resource) for resource in resources), nl=False)
    else:
        listed = {"apiVersion": "v1", "kind": "List", "items": resources}
        typer.echo(json.dumps(listed if name is None else resources[0], indent=2, ensure_ascii=False))


def _table(specs: list[FunctionSpec]) -> Table:
    table = Table("name", "sites", "parameters", "documentation", title="functions", title_justify="left")
    for spec in specs:
        sites = " = ".join(spec.sites) if spec.equivalent else ", ".join(spec.sites)
        name = spec.name if spec.alias_of is None else f"{spec.name} (alias of {spec.alias_of})"
        table.add_row(name, sites, "\n".join(_parameters(spec)), " ".join(spec.documentation.split()))
    return table


def _parameters(spec: FunctionSpec) -> list[str]:
    """Names as a signature has them: a question mark where a parameter may be left out."""
    required = spec.parameters_schema.get("required", [])
    return [name if name in required else f"{name}?" for name in spec.parameters_schema.get("properties", {})]


class _Dumper(yaml.SafeDumper):
    """Text of several lines stands as a block, as in every Kubernetes manifest."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(resource: dict[str, Any]) -> str:
    return yaml.dump(resource, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
