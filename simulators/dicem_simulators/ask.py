"""`dicem ask`: from a sentence to answers."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from dicem_shared.errors import ConfigError
from dicem_shared.functions import Registry

if TYPE_CHECKING:
    from dicem_codegen.generate.commands import Shown
    from dicem_codegen.generate.config import EndpointConfig
    from dicem_codegen.generate.discover import Discovered
    from dicem_codegen.generate.types import Checked, Generated
    from dicem_codegen.library.stored import StoredProgram
    from dicem_shared.broker_config import BrokerConfig
    from dicem_shared.types import Answer

    from .answering import Opened


def register(app: typer.Typer) -> None:
    """Add `dicem ask`."""
    app.command("ask", no_args_is_help=True)(ask)


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know of every frame.", show_default=False)],
    recording: Annotated[
        str,
        typer.Option("--recording", "--image", help="What to look at: a recording's folder or name, or a photograph."),
    ] = "litter-mission",
    frames: Annotated[int | None, typer.Option(min=1, help="Only the first so many frames.")] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the program under this name. Left out: words of the question.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop before the program runs on a frame.")] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="The language model's config. Left out: $DICEM_ENDPOINT, else ~/.config/dicem/endpoint.yaml."
        ),
    ] = None,
    functions_from: Annotated[
        str,
        typer.Option(help="Where the functions are: local (the demo's), http://HOST:PORT or mqtt://HOST:PORT/FLEET."),
    ] = "local",
    link: Annotated[str, typer.Option(help="The link that is planned for; as for `dicem compile`.")] = "coastal-lte",
    objective: Annotated[
        Literal["latency", "cost"], typer.Option(help="What matters: the answer's delay, or its price.")
    ] = "latency",
    rate: Annotated[
        float,
        typer.Option(min=0.01, max=1000, help="Over MQTT: play the recording so many times as fast as it was taken."),
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print program, answers and totals as JSON.")] = False,
) -> None:
    """Ask a question of every frame: a language model writes the program, dicem checks, compiles and runs it.

    Printed are the serial program, the distributed one with its tags, the plan, what a frame is expected to cost and to
    take, then the answers.  The program is kept: `dicem programs show`, `dicem programs run`, `dicem deploy`.
    Where functions are local or reached over HTTP, time and money are simulated for the link; over MQTT they are real.

    \b
    Try it:
      dicem ask "How many bottles are within ten metres?" --frames 40
      dicem ask "Is there a tyre, and how far away is it?" --image photo.jpg --save tyre
      dicem ask "What is the nearest thing made of?" --functions-from http://127.0.0.1:8080 --dry-run
    """
    from dicem_codegen.generate.commands import showing
    from dicem_codegen.generate.config import load_endpoint
    from dicem_codegen.generate.prompt import check_question
    from dicem_codegen.generate.report import text, usage_line
    from dicem_codegen.library.store import checked_name
    from dicem_codegen.library.stored import name_of, stored_program

    from .answering import answers_of
    from .answers_shown import print_answer, print_answers

    asked = check_question(question)
    name = name_of(asked) if save is None else checked_name(save)
    config = load_endpoint(endpoint)
    if functions_from.startswith("mqtt") and not dry_run:
        _broker_and_fleet(functions_from)
    console, errors = Console(), Console(stderr=True)
    with showing() as shown:
        found, opened = _looked_around(functions_from, recording, frames)
        generated = _generated(asked, name, config, found, opened, shown, link=link, objective=objective)
    stored = stored_program(
        name, generated.checked, found.functions, generated=generated, created_utc=time.time()
    )  # fmt: skip
    lost = _not_kept(stored)
    errors.print(
        f"{config.model}: {usage_line(generated.usage, len(generated.attempts))}; "
        f"{'not kept' if lost else 'kept'} as {name} ({stored.id[:12]})",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    if not as_json:
        typer.echo(text(generated))
    if dry_run:
        if as_json:
            typer.echo(json.dumps({"program": stored.model_dump(mode="json")}, indent=2))
        if lost:
            raise lost
        return
    if opened.notice and found.source == "local":
        errors.print(opened.notice, style="yellow")
    on_answer: Callable[[Answer], None] = (lambda _: None) if as_json else lambda each: print_answer(each, console)
    is_real = found.source.startswith("mqtt")
    answers = (
        _over_mqtt(stored, found.source, opened, on_answer, rate) if is_real else answers_of(stored, opened, on_answer)
    )
    print_answers(stored, answers, console, as_json=as_json, time="real" if is_real else "simulated")
    if lost:
        raise lost
    if all(answer.status == "failed" for answer in answers):
        raise typer.Exit(1)


def _not_kept(stored: StoredProgram) -> ConfigError | None:
    """Keep a program; why that failed is said last, as the program has been paid for and is to be seen."""
    from dicem_codegen.library.store import ProgramStore

    try:
        ProgramStore().save(stored)
    except ConfigError as cause:
        return cause
    return None


def _looked_around(functions_from: str, recording: str, frames: int | None) -> tuple[Discovered, Opened]:
    """The functions, and the recording with the models that look at it."""
    from dicem_codegen.generate.discover import discover

    from .answering import Look, open_look
    from .remote_functions import remote_functions

    found = discover(functions_from)
    look = Look(recording=recording, frames=frames)
    if found.source.startswith("http"):
        look = replace(look, cloud=remote_functions(found.functions, found.source))
    elif found.source != "local":
        look = replace(look, cloud={})
    opened = open_look(look)
    specs = {spec.name: spec for spec in found.functions}
    if found.source == "local":
        specs = {name: spec for name, spec in specs.items() if name in opened.edge or name in opened.cloud}
    for name, implementation in opened.edge.items():  # what is on board is there whatever the cloud serves
        specs.setdefault(name, implementation.spec)
    return replace(found, functions=Registry(specs.values()), vocabulary=opened.vocabulary), opened


def _generated(
    question: str, name: str, config: EndpointConfig, found: Discovered, opened: Opened, shown: Shown, *, link: str,
    objective: str,
) -> Generated:  # fmt: skip
    from dicem_codegen.generate.checks import Bench, check_program
    from dicem_codegen.generate.commands import kept
    from dicem_codegen.generate.endpoint import Endpoint
    from dicem_codegen.generate.errors import GenerationFailed
    from dicem_codegen.generate.loop import generate

    model = Endpoint(config, say=shown.say, progress=shown.progress)
    with Bench(found.functions, limits=opened.edge_config.limits.program) as bench:

        def check(source: str) -> Checked:
            shown.status.update("checking the program")
            return check_program(
                source, found.functions, name=name, link=link, objective=objective, vocabulary=opened.vocabulary,
                bench=bench,
            )  # fmt: skip

        try:
            return generate(
                question, found.functions, model, check, functions_from=found.source, vocabulary=opened.vocabulary,
                on_attempt=shown.attempt,
            )  # fmt: skip
        except GenerationFailed as failed:
            raise kept(failed, None) from failed


def _broker_and_fleet(source: str) -> tuple[BrokerConfig, str]:
    from dicem_codegen.generate.discover import broker_of

    broker, fleet = broker_of(source)
    if fleet is None:
        raise ConfigError(f"{source} names no fleet", expected="mqtt://HOST:PORT/FLEET")
    return broker, fleet


def _over_mqtt(
    stored: StoredProgram, source: str, opened: Opened, on_answer: Callable[[Answer], None], rate: float
) -> list[Answer]:
    """The vehicle's own daemon on the recording, with the cloud that the broker knows."""
    from dicem_codegen.fleet.operator import ASKING
    from dicem_edge.daemon import Daemon
    from dicem_shared.recording import open_recording
    from dicem_shared.resources import need

    broker, fleet = _broker_and_fleet(source)
    answers: list[Answer] = []

    def answered(answer: Answer) -> None:
        answers.append(answer)
        on_answer(answer)

    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, f"{stored.name}.py")
        program.write_text(stored.distributed, encoding="utf-8")
        settings = opened.edge_config.model_copy(update={
            "broker": broker, "fleet": fleet, "vehicle": ASKING, "program": str(program), "programs": [],
            "answers": str(Path(folder, "answers.db")), "deploy": type(opened.edge_config.deploy)(),
        })  # fmt: skip
        recording = open_recording(need(opened.look.recording, "recording", "recordings"))
        recording.limit = opened.look.frames
        Daemon(settings, on_answer=answered).run(recording, rate=rate)
    return answers
