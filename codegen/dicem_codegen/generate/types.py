"""What passes between the parts that turn a question into a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dicem_shared.functions import Registry

from ..types import CompiledProgram

CheckName = Literal["parse", "calls", "types", "compile", "dry-run", "same-meaning"]
"""In this order; what comes after one that fails is not tried.

parse         it is Python, with one entry function
calls         only names that exist; each call fits its function's schema, and so does what is done with its result
types         pydantic-monty's type checker finds nothing, over stubs made from the registry
compile       it can be lowered, and placed
dry-run       its lowered serial form runs in the interpreter on made-up results, within the limits
same-meaning  the compiled form does what the lowered serial form does, in many such worlds, both in the interpreter
"""


@dataclass(frozen=True, order=True)
class Problem:
    """Something that a check found, in words that help whoever wrote the program to mend it."""

    line: int
    column: int
    """of the serial source, from 1; 1, 1 where there is no better place"""
    message: str
    """what is wrong: what was expected and what was got"""
    hint: str = ""
    """what to do"""


@dataclass(frozen=True)
class Check:
    """One check of a program."""

    name: CheckName
    problems: tuple[Problem, ...] = ()
    detail: str = ""
    """for people: `40 worlds`"""

    @property
    def passed(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.problems


@dataclass(frozen=True)
class Checked:
    """A program with all that was found out about it before it runs."""

    source: str
    checks: tuple[Check, ...]
    """those that were made: all of them, or up to the first that failed"""
    compiled: CompiledProgram | None = None
    """once it compiles"""

    @property
    def passed(self) -> bool:
        """Whether it may run."""
        return self.compiled is not None and all(check.passed for check in self.checks)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is to be mended."""
        return tuple(problem for check in self.checks for problem in check.problems)


@dataclass(frozen=True)
class Usage:
    """What asking a language model took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """of waiting for it"""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens,
            self.usd + other.usd, self.seconds + other.seconds,
        )  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One reply of the model, and what became of it."""

    number: int
    """from 1"""
    reply: str
    """as it came"""
    source: str | None
    """the program in it; None if there was none"""
    checked: Checked | None
    problem: str = ""
    """what is wrong with the reply itself: no program in it, cut off, a refusal"""
    usage: Usage = Usage()


@dataclass(frozen=True)
class Generated:
    """A question with the program that answers it, ready to be stored and run."""

    question: str
    checked: Checked
    """of the last attempt; it has passed"""
    attempts: tuple[Attempt, ...]
    model: str
    """as the endpoint's config names it"""
    prompt_version: str
    functions: Registry
    """those that the model was told of"""
    functions_from: str
    """where they were read: `local`, a URL, a broker"""

    @property
    def usage(self) -> Usage:
        """Of all attempts."""
        total = Usage()
        for attempt in self.attempts:
            total += attempt.usage
        return total
