"""`dicem call`: one function of a cloud, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicem_shared.errors import InvalidCall

from .call_options import Parameter, given, parameters_of, usage
from .calling import DEFAULT_URL, URL_ENV, RemoteCloud, clean

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""What is not an option of the command is one of the function."""


def call(
    context: typer.Context,
    function: Annotated[
        str | None, typer.Argument(help="Its name; left out, those that are served are listed.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help=f"The cloud; else ${URL_ENV}, else {DEFAULT_URL}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that the cloud said, as JSON.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds to wait.")] = 60.0,
    show_help: Annotated[
        bool, typer.Option("--help", "-h", help="Show this; behind a function's name, its options too.")
    ] = False,
) -> None:
    """Call a function of a running cloud, or list what it serves.

    dicem call                                            what can be called

    dicem call blip2 --help                               the options of one

    dicem call blip2 --image f.jpg --query "What is it?"

    dicem call yolov8 --image f.jpg --classes litter --classes boat --json

    Options are the function's parameters, as the cloud names them. --image - reads the standard input. A cloud that
    wants a token finds it in $DICEM_TOKEN.
    """
    if show_help:
        typer.echo(context.get_help())
        if function is None:
            return
    if function is not None and function.startswith("-"):
        raise InvalidCall("the function's name comes first", todo=f"Type: dicem call FUNCTION {function} ...")
    with RemoteCloud(url, timeout_s=timeout) as cloud:
        if function is None:
            _print_functions(cloud.functions(), as_json=as_json)
            return
        resource = cloud.function(function)
        parameters = parameters_of(resource)
        if show_help:
            _print_options(function, resource, parameters)
            return
        typed = given(function, parameters, context.args)
        stderr = Console(stderr=True)
        with stderr.status(f"{function} at {cloud.url}") if stderr.is_terminal else nullcontext():
            reply = cloud.call(function, typed.params, typed.images)
    if as_json:
        typer.echo(json.dumps(reply, indent=2, ensure_ascii=True))
        return
    _print_result(reply.get("result"))
    stderr.print(Text(_footer(reply), style="dim"))


def _print_functions(resources: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(resources, indent=2))
        return
    table = Table("name", "options", "documentation", title="functions", title_justify="left")
    for resource in resources:
        options = "\n".join(one.usage if one.required else f"[{one.usage}]" for one in parameters_of(resource))
        name = clean(str(resource.get("metadata", {}).get("name", "")))
        table.add_row(Text(name), Text(clean(options)), Text(_documentation(resource)))
    Console().print(table)


def _print_options(function: str, resource: Mapping[str, Any], parameters: Sequence[Parameter]) -> None:
    typer.echo(f"{clean(function)}: {_documentation(resource)}\n\n{clean(usage(function, parameters))}")


def _documentation(resource: Mapping[str, Any]) -> str:
    status = resource.get("status")
    text = status.get("documentation", "") if isinstance(status, dict) else ""
    return clean(" ".join(str(text).split()))


def _print_result(result: Any) -> None:
    """For people: a table for things with the same names, else lines; one text stands for itself."""
    console = Console()
    match result:
        case {**only} if len(only) == 1 and isinstance(value := next(iter(only.values())), str | list):
            _print_result(value)
        case [{}, *_] if all(isinstance(one, dict) for one in result):
            names = list(dict.fromkeys(name for one in result for name in one))
            table = Table()
            for name in names:
                table.add_column(Text(clean(str(name))))
            for one in result:
                table.add_row(*(Text(_text(one.get(name, ""))) for name in names))
            console.print(table)
        case []:
            typer.echo("nothing was found")
        case {**several}:
            for name, value in several.items():
                typer.echo(f"{clean(str(name))}: {_text(value)}")
        case _:
            typer.echo(_text(result))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return clean(json.dumps(value, ensure_ascii=False))


def _footer(reply: Mapping[str, Any]) -> str:
    """Which model it was, and what it took."""
    parts = []
    if isinstance(model := reply.get("model"), dict):
        parts.append(clean(str(model.get("name", ""))))
    if isinstance(seconds := reply.get("compute_s"), int | float):
        parts.append(f"{seconds:.3g} s")
    if isinstance(price := reply.get("price_usd"), int | float) and price:
        parts.append(f"{price:.2g} USD")
    return ", ".join(parts)
