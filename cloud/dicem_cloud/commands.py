"""`dicem cloud`, `dicem functions` and `dicem call`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console
from rich.table import Table

from dicem_shared.catalog import catalog
from dicem_shared.functions import FunctionSpec, OutputKind

from . import call_command
from .crd import definition
from .crd import resource as kubernetes_resource
from .models.commands import register as register_models


def register(app: typer.Typer) -> None:
    """Add the cloud's commands to `dicem`."""
    app.command("cloud")(cloud)
    app.command("functions")(functions)
    app.command("call", context_settings=call_command.SETTINGS, add_help_option=False)(call_command.call)
    register_models(app)


def cloud(
    config: Annotated[str, typer.Option("--config", "-c", help="The cloud's config: a name in configs/ or a path.")],
    backend: Annotated[
        Literal["inprocess", "ray"] | None, typer.Option(help="Where functions run; left out: as the config says.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray: HOST:PORT of a cluster, or auto; left out: as the config says.")
    ] = None,
) -> None:
    """Serve functions over HTTP, and over MQTT where the config names a broker."""
    from .config import load_cloud_config  # what serving needs is loaded by those who serve
    from .serve import serve

    serve(load_cloud_config(config).run_by(backend, address))


def functions(
    name: Annotated[str | None, typer.Argument(help="One function; all of them if left out.")] = None,
    output: Annotated[OutputKind, typer.Option("--output", "-o", help="How to print them.")] = "table",
    crd: Annotated[bool, typer.Option("--crd", help="As objects for `kubectl apply`; YAML, or -o json.")] = False,
    crd_definition: Annotated[
        bool, typer.Option("--crd-definition", help="Print what Kubernetes must know first: the kind Function.")
    ] = False,
) -> None:
    """List the functions that programs can call."""
    if crd_definition:
        _definition(output, alone=name is None and not crd)
        return
    known = catalog()
    specs = [known.get(name)] if name is not None else list(known)
    resources = [kubernetes_resource(spec) if crd else spec.resource() for spec in specs]
    if output == "table" and not crd:
        Console().print(_table(specs))
    elif output != "json":
        typer.echo("---\n".join(_yaml(resource) for resource in resources), nl=False)
    else:
        listed = {"apiVersion": "v1", "kind": "List", "items": resources}
        typer.echo(json.dumps(listed if name is None else resources[0], indent=2, ensure_ascii=False))


def _definition(output: OutputKind, *, alone: bool) -> None:
    if not alone:
        raise typer.BadParameter("--crd-definition stands alone: it is the same for every function")
    made = definition()
    typer.echo(json.dumps(made, indent=2) if output == "json" else _yaml(made), nl=output == "json")


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
