"""A program with its provenance: what was asked, who wrote it, what it was checked with, what it became.

The id is a hash over all of it but the time, so the same inputs give the same id on every machine, and a record that
somebody has changed by hand shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.errors import ConfigError, ProgramError
from dicem_shared.functions import Registry
from dicem_shared.ids import digest
from dicem_shared.types import Id, Site, Utc, WhenAway

from ..generate.types import Checked, Generated
from ..types import CompiledProgram, Objective

MAX_SOURCE: Final = 200_000

_WORDS: Final = re.compile(r"[a-z0-9]+")
_SMALL: Final = frozenset(
    {"a", "an", "and", "are", "at", "be", "can", "do", "does", "in", "is", "it", "me", "of", "on", "or", "the", "there",
     "to", "we", "what", "which", "you"}
)  # fmt: skip

Origin = Literal["generated", "written"]
"""by a language model, or by hand"""


class FunctionRecord(Strict):
    """A function as the program was checked with it."""

    name: str
    version: str
    """see `FunctionSpec.version`"""


class CheckRecord(Strict):
    """A check that it passed."""

    name: str
    detail: str = ""
    """how many worlds, as far as time allowed; not part of the id"""


class CallRecord(Strict):
    """A place in the serial program that makes calls, and where they run."""

    number: int
    line: int
    text: str
    site: Site | None
    reason: str
    when_away: WhenAway
    calls: float
    """expected a frame"""


class PlanRecord(Strict):
    """The plan in short; expectations a frame."""

    link: str
    edge_profile: str
    cloud_profile: str
    objective: Objective
    latency_s: float
    cost_usd: float
    bytes_up: float
    calls: tuple[CallRecord, ...] = ()
    problems: tuple[str, ...] = ()


class StoredProgram(Strict):
    """See the module's text."""

    schema_version: Literal[1] = 1
    name: Id
    """under which it is kept; not part of the id"""
    question: Annotated[str, Field(max_length=2000)] = ""
    origin: Origin
    model: str = ""
    """which one wrote it; empty: a person did"""
    prompt_version: str = ""
    attempts: Annotated[int, Field(ge=0)] = 0
    """replies of the model until it passed; not part of the id"""
    functions_from: str = "local"
    functions: tuple[FunctionRecord, ...]
    """those that it calls"""
    serial: Annotated[str, Field(max_length=MAX_SOURCE)]
    distributed: Annotated[str, Field(max_length=MAX_SOURCE)]
    plan: PlanRecord
    checks: tuple[CheckRecord, ...]
    dicem: str
    """the version of dicem that checked and compiled it"""
    created_utc: Utc = 0.0
    """not part of the id"""
    id: str = ""

    @property
    def versions(self) -> dict[str, str]:
        """The functions that it calls, with their versions."""
        return {record.name: record.version for record in self.functions}

    def true_id(self) -> str:
        """What the id is if nobody has changed the record."""
        own = dict.fromkeys(("name", "attempts", "created_utc", "id", "schema_version"), True)
        return digest(
            "stored-program", self.model_dump(mode="json", exclude={**own, "checks": {"__all__": {"detail"}}})
        )

    def identified(self) -> StoredProgram:
        """The same with its id."""
        return self.model_copy(update={"id": self.true_id()})

    @model_validator(mode="after")
    def _unchanged(self) -> Self:
        if self.id and self.id != self.true_id():
            raise ValueError("the record was changed after it was stored: its id does not fit what it says")
        return self


def stored_program(
    name: str,
    checked: Checked,
    functions: Registry,
    *,
    generated: Generated | None = None,
    question: str = "",
    created_utc: float = 0.0,
) -> StoredProgram:
    """The record of a program that has passed its checks.

    :param generated: how a model came to it; None if a person wrote it
    :raises ValueError: it has not passed
    :raises ProgramError: it cannot be kept: compiled, it is too long
    """
    if checked.compiled is None or not checked.passed:
        raise ValueError("only a program that has passed every check is stored")
    compiled = checked.compiled
    try:
        made = StoredProgram(
            name=name,
            question=generated.question if generated else question,
            origin="generated" if generated else "written",
            model=generated.model if generated else "",
            prompt_version=generated.prompt_version if generated else "",
            attempts=len(generated.attempts) if generated else 0,
            functions_from=generated.functions_from if generated else "local",
            functions=_called(compiled, functions),
            serial=checked.source,
            distributed=compiled.source,
            plan=_plan_record(compiled),
            checks=tuple(CheckRecord(name=check.name, detail=check.detail) for check in checked.checks),
            dicem=version("dicem"),
            created_utc=created_utc,
        )
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        what = f"{name} cannot be kept: {'.'.join(map(str, first['loc']))}"
        raise ProgramError(what, got=first["msg"]) from None
    return made.identified()


def name_of(question: str) -> str:
    """A name for a program that answers a question: its first telling words."""
    words = [word for word in _WORDS.findall(question.lower()) if word not in _SMALL]
    name = "-".join(words)[:32].strip("-")
    return name or "question"


def program_name(text: str) -> str:
    """A file's or a program's own name, as far as it may stand in a topic."""
    return "".join(c if (c.isalnum() and c.isascii()) or c in "_-" else "-" for c in text)[:32] or "program"


def stale(stored: StoredProgram, functions: Registry) -> list[str]:
    """What has changed among the functions since the program was checked; empty: nothing that matters to it."""
    said = {"missing": "is not there any more", "changed": "has changed since the program was checked"}
    return [f"the function {name} {said[how]}" for name, how in functions.changed_since(stored.versions).items()]


def check_fresh(stored: StoredProgram, functions: Registry) -> None:
    """:raises ConfigError: the program is stale"""
    if found := stale(stored, functions):
        todo = "Ask for it anew, or check it: dicem programs add"
        raise ConfigError(f"{stored.name} is stale: {found[0]}", todo=todo)


def _called(compiled: CompiledProgram, functions: Registry) -> tuple[FunctionRecord, ...]:
    names: Iterable[str] = sorted({name for site in compiled.sites for name in site.functions if name in functions})
    return tuple(FunctionRecord(name=name, version=functions.get(name).version) for name in names)


def _plan_record(compiled: CompiledProgram) -> PlanRecord:
    plan = compiled.plan
    calls = []
    for site in compiled.sites:
        placement = plan.placements.get(site.number)
        if placement is not None:
            calls.append(
                CallRecord(
                    number=site.number, line=site.line, text=site.text, site=placement.site, reason=placement.reason,
                    when_away=placement.when_away, calls=placement.calls,
                )
            )  # fmt: skip
    return PlanRecord(
        link=plan.link, edge_profile=plan.edge_profile, cloud_profile=plan.cloud_profile, objective=plan.objective,
        latency_s=plan.latency_s, cost_usd=plan.cost_usd, bytes_up=plan.bytes_up, calls=tuple(calls),
        problems=plan.problems,
    )  # fmt: skip
