"""`dicem generate`: from a question to a program in a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dicem_shared.errors import ConfigError

if TYPE_CHECKING:
    from rich.status import Status

    from .errors import GenerationFailed
    from .types import Attempt, Checked, Generated


def register(app: typer.Typer) -> None:
    """Add `dicem generate`."""
    app.command("generate", no_args_is_help=True)(generate_)


def generate_(
    question: Annotated[
        str, typer.Argument(help="What you want to know of every frame.", metavar="QUESTION", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the serial program here.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="The config of the language model's endpoint; configs/endpoint.yaml explains it. Left out: the file "
            "that DICEM_ENDPOINT names, else ~/.config/dicem/endpoint.yaml.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    functions_from: Annotated[
        str,
        typer.Option(
            help="Where functions are found: local (what dicem knows), http://HOST:PORT or mqtt://HOST:PORT/FLEET."
        ),
    ] = "local",
    words: Annotated[
        str | None,
        typer.Option(
            help='The words that the vehicle\'s detector knows, as "litter, boat". Left out: as the cloud says.',
            show_default=False,
        ),
    ] = None,
    link: Annotated[str, typer.Option(help="The link that is planned for; as for `dicem compile`.")] = "coastal-lte",
    profile: Annotated[
        list[str] | None, typer.Option(help="A computer: edge=NAME or cloud=NAME; as for `dicem compile`.")
    ] = None,
    objective: Annotated[
        Literal["latency", "cost"], typer.Option(help="What matters: the answer's delay, or its price.")
    ] = "latency",
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Have a language model write the program that answers a question, check it, and show what it will take.

    The model is told which functions there are; what it writes is checked before anything runs, and goes back with
    what is wrong until it passes, a few times at most.  Nothing runs on a frame here: `dicem ask` does that.  Standard
    output gets the serial program, the distributed one with its tags, the plan, and what a frame is expected to take
    in seconds, dollars and bytes.  Exit code 2: no program.  What the model wrote is then kept in a file that is named.

    \b
    Try it:
      dicem generate "How many bottles float within ten metres?" -o bottles.py
      dicem generate "Is the nearest boat a fishing boat?" --functions-from http://127.0.0.1:8080 --link satellite
    """
    from dicem_shared.links import load_link

    from ..commands import profiles_of
    from ..library.store import ProgramStore
    from ..library.stored import name_of, program_name, stored_program
    from . import report
    from .checks import Bench, check_program
    from .config import load_endpoint
    from .discover import discover
    from .endpoint import Endpoint
    from .errors import GenerationFailed
    from .loop import generate
    from .prompt import check_question

    asked = check_question(question)
    _check_output(output)
    devices, planned = profiles_of(profile or []), load_link(link)
    config = load_endpoint(endpoint)
    with showing() as shown:
        model = Endpoint(config, say=shown.say, progress=shown.progress)
        shown.status.update("reading the functions")
        found = discover(functions_from)
        vocabulary = split_words(words) if words is not None else found.vocabulary

        def check(source: str) -> Checked:
            shown.status.update("checking the program")
            return check_program(
                source, found.functions, name="program" if output is None else output.stem, link=planned,
                edge_profile=devices.get("edge"), cloud_profile=devices.get("cloud"), objective=objective,
                vocabulary=vocabulary or (), bench=bench,
            )  # fmt: skip

        try:
            with Bench(found.functions) as bench:
                generated = generate(
                    asked, found.functions, model, check, functions_from=found.source, vocabulary=vocabulary,
                    on_attempt=shown.attempt,
                )  # fmt: skip
        except GenerationFailed as failed:
            raise kept(failed, output) from failed
    if output is not None:
        from dicem_shared.files import write_whole

        write_whole(output, generated.checked.source)
    name = name_of(asked) if output is None else program_name(output.stem)
    stored = stored_program(name, generated.checked, found.functions, generated=generated, created_utc=time.time())
    ProgramStore().save(stored)
    _print(generated, as_json=as_json)
    used = report.usage_line(generated.usage, len(generated.attempts))
    typer.echo(f"{config.model}: {used}; kept as {name} ({stored.id[:12]})", err=True)


def _print(generated: Generated, *, as_json: bool) -> None:
    from . import report

    if as_json:
        typer.echo(json.dumps(report.document(generated), indent=2, ensure_ascii=True, allow_nan=False))
    else:
        typer.echo(report.text(generated), nl=False)


def split_words(words: str) -> tuple[str, ...]:
    """The words in `litter, boat`.

    :raises ConfigError: there are none
    """
    found = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    if not found:
        raise ConfigError("--words holds no words", expected='words between commas, as "litter, boat"')
    return found


def _check_output(output: Path | None) -> None:
    """Before anything is paid for.

    :raises ConfigError: nothing can be written there
    """
    if output is None:
        return
    if os.path.isdir(output):
        raise ConfigError(f"{output} is a folder", expected="a file's name")
    if not os.path.isdir(output.parent):
        raise ConfigError(f"{output} cannot be written", got=f"no folder {output.parent}", todo="Make it first.")


class Shown:
    """What is to be seen while the model writes: on standard error, and only where that is a terminal."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def say(self, line: str) -> None:
        """One line that stays."""
        from rich.text import Text

        self.status.console.print(Text(f"dicem: {line}"), soft_wrap=True)

    def progress(self, tokens: int) -> None:
        """How far the reply has come."""
        self.status.update(f"the model writes: {tokens} tokens" if tokens else "waiting for the model")

    def attempt(self, attempt: Attempt) -> None:
        """What became of a reply."""
        from .loop import last_problem

        if attempt.checked is None or not attempt.checked.passed:
            count = 1 if attempt.checked is None else len(attempt.checked.problems)
            more = f", and {count - 1} more" if count > 1 else ""
            self.say(f"attempt {attempt.number}: {last_problem([attempt])}{more}")


@contextmanager
def showing() -> Iterator[Shown]:
    """A line on the terminal that says what is being done; gone when it is done, however that ends."""
    from rich.console import Console

    with Console(stderr=True).status("asking") as status:
        yield Shown(status)


def kept(failed: GenerationFailed, output: Path | None) -> GenerationFailed:
    """The failure, with its attempts written to a file that it names: beside the program, else in the state folder."""
    from .errors import GenerationFailed
    from .loop import keep_attempts

    path = attempts_path(failed.question) if output is None else output.with_name(f"{output.name}.attempts.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_attempts(failed, path)
    except (OSError, ConfigError):
        return failed
    todo = f"What the model wrote is in {path}. {failed.todo}".strip()
    return GenerationFailed(failed.what, question=failed.question, attempts=failed.attempts, got=failed.got, todo=todo)


def attempts_path(question: str) -> Path:
    """Where the attempts at a question are kept if nobody says: the last ones, for each question."""
    from dicem_shared.ids import digest

    base = os.environ.get("XDG_STATE_HOME")
    folder = Path(base) if base and os.path.isabs(base) else Path("~/.local/state").expanduser()
    return folder / "dicem" / "attempts" / f"{digest('question', question)[:16]}.json"
