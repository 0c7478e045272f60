"""From what somebody names to a program with its provenance: a stored one, a shipped one, or a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from dicem_shared.errors import ConfigError, ProgramError
from dicem_shared.functions import Registry
from dicem_shared.program import load_program
from dicem_shared.resources import find, roots

from ..generate.types import Checked
from ..types import Objective
from .store import ProgramStore, checked_name
from .stored import StoredProgram, program_name, stored_program

PLACE = "configs/programs"


@dataclass(frozen=True)
class Setting:
    """What a program is compiled for."""

    link: str = "coastal-lte"
    edge_profile: str = "jetson-orin-nano"
    cloud_profile: str = "cloud-a100"
    objective: Objective = "latency"


class NotReady(ProgramError):
    """A program that has not passed its checks; `checked` says which."""

    def __init__(self, name: str, checked: Checked) -> None:
        self.checked = checked
        last = checked.checks[-1]
        first = last.problems[0]
        more = f" (and {len(last.problems) - 1} more)" if len(last.problems) > 1 else ""
        super().__init__(
            f"{name}:{first.line}:{first.column}: {first.message}{more}", todo=first.hint or "Mend it, and try again."
        )


def shipped() -> dict[str, Path]:
    """The programs that come with dicem, and those beside them where one works, by their file's name."""
    found: dict[str, Path] = {}
    for root in reversed(roots()):
        found |= {path.stem: path for path in sorted((root / PLACE).glob("*.py"))}
    return dict(sorted(found.items()))


def title_of(source: str) -> str:
    """What a program says of itself: the first sentence of its comments."""
    text: list[str] = []
    for line in source.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# dicem:") and (text or line.strip("# ")):
            text.append(line.strip("# "))
    whole = " ".join(text)
    for end in ("? ", ". ", ": "):
        head, mark, _ = whole.partition(end)
        whole = head + mark.strip(" :") if mark else whole
    return whole[:200]


def resolve(
    wanted: str, functions: Registry, store: ProgramStore, setting: Setting | None = None, *, name: str | None = None
) -> StoredProgram:
    """The program of a name, an id or a path.

    :param setting: compile it for this; a stored one is taken as it was stored if None
    :param name: under which it goes from now on; its own if None
    :raises ConfigError: there is none
    :raises NotReady: it has not passed its checks
    """
    kept = store.find(wanted)
    if kept is not None:
        called = name or kept.name
        if setting is None:
            return kept if called == kept.name else kept.model_copy(update={"name": called})
        made = record(kept.serial, called, functions, setting, question=kept.question)
        origin = {
            "origin": kept.origin, "model": kept.model, "prompt_version": kept.prompt_version,
            "attempts": kept.attempts, "functions_from": kept.functions_from,
        }  # fmt: skip
        return made.model_copy(update=origin).identified()
    path = find(wanted, PLACE, suffix=".py")
    if path is None:
        known = ", ".join(sorted({*store.names(), *shipped()}))
        raise ConfigError(
            f"no program is called {wanted}", got=f"there are: {known}", todo="Give one of these, or a path."
        )
    program = load_program(path)
    return record(
        program.source,
        name or program_name(program.name),
        functions,
        setting or Setting(),
        question=title_of(program.source),
    )


def name_of_wanted(wanted: str, store: ProgramStore) -> str:
    """Under which name `resolve` gives the program of a name, an id or a path; `wanted` itself where there is none.

    A shipped program's file may be called otherwise than the program.
    """
    kept = store.find(wanted)
    if kept is not None:
        return kept.name
    path = find(wanted, PLACE, suffix=".py")
    try:
        return wanted if path is None else program_name(load_program(path).name)
    except ProgramError:  # something else lies there
        return wanted


def record(source: str, name: str, functions: Registry, setting: Setting, *, question: str = "") -> StoredProgram:
    """The record of a program that a person wrote, checked and compiled now.

    :raises ConfigError: nothing can be kept under this name
    :raises NotReady: it has not passed its checks
    """
    from ..generate.checks import check_program

    checked_name(name)
    checked = check_program(
        source, functions, name=name, link=setting.link, edge_profile=setting.edge_profile,
        cloud_profile=setting.cloud_profile, objective=setting.objective,
    )  # fmt: skip
    if not checked.passed:
        raise NotReady(name, checked)
    return stored_program(name, checked, functions, question=question[:2000], created_utc=time.time())
