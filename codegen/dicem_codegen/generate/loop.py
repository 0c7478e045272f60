"""Question, program, checks, and back to the model with what is wrong: a few times, then a clear failure.

generated = generate("Is there litter near?", catalog(), endpoint, lambda source: check_program(source, ...))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from dicem_shared.errors import ConfigError
from dicem_shared.files import write_whole
from dicem_shared.functions import Registry

from .budget import Budget
from .discover import LOCAL
from .endpoint import Endpoint, Form, Message, Reply
from .errors import EndpointError, GenerationFailed
from .prompt import PROMPT_VERSION, check_question, clean, question_message, repair_message, system_prompt
from .reply import program_in
from .types import Attempt, Checked, Generated, Problem

CheckProgram = Callable[[str], Checked]
"""Holds a program's source against all that it must keep to; raises for what is not the program's fault."""
MAX_REPLY_KEPT: Final = 20_000
"""characters of a reply that the model is shown again"""
_NOTHING: Final = "(no text)"


def generate(
    question: str,
    functions: Registry,
    endpoint: Endpoint,
    check: CheckProgram,
    *,
    functions_from: str = LOCAL,
    vocabulary: Iterable[str] | None = None,
    rounds: int | None = None,
    on_attempt: Callable[[Attempt], None] = lambda _attempt: None,
) -> Generated:
    """The program that answers a question, as a model wrote it and as it passed its checks.

    :param functions: what the model is told of, and what the program may call
    :param functions_from: where they were read
    :param vocabulary: the words that the detector knows; None where that is not known
    :param rounds: how often the model may mend its program; as the endpoint's config says if None
    :param on_attempt: gets each attempt as soon as it was checked
    :raises ConfigError: no question, functions that fit no prompt, or words that nobody can look for
    :raises EndpointError: the endpoint cannot be used, or the budget does not even allow the first request
    :raises GenerationFailed: no program that passes; carries the attempts
    """
    asked = check_question(question)
    words = None if vocabulary is None else tuple(vocabulary)
    if words is None and "yolov8" in functions and "glip" not in functions:
        raise ConfigError(
            "nobody says which words the detector knows, and there is no glip for others",
            todo='Say them: --words "litter, boat".',
        )
    talk = _Conversation(asked, functions, words)
    budget = Budget(endpoint.config)
    attempts: list[Attempt] = []
    for number in range(1, 2 + (endpoint.config.rounds if rounds is None else rounds)):
        try:
            reply = endpoint.ask(talk.messages, budget)
        except EndpointError as cause:
            if not attempts:
                raise
            what = f"no program after {_times(len(attempts))}, and then: {cause.what}"
            raise GenerationFailed(
                what, question=asked, attempts=attempts, got=cause.got or last_problem(attempts), todo=cause.todo
            ) from cause
        attempt = _attempt(number, reply, endpoint, check)
        attempts.append(attempt)
        on_attempt(attempt)
        if attempt.checked is not None and attempt.checked.passed:
            return Generated(
                asked, attempt.checked, tuple(attempts), endpoint.config.model, PROMPT_VERSION, functions,
                functions_from,
            )  # fmt: skip
        if said_before(attempts):
            what = f"the model repeats itself: no program that passes after {_times(number)}"
            raise GenerationFailed(what, question=asked, attempts=attempts, got=last_problem(attempts), todo=_TODO)
        talk.mend(attempt)
    what = f"no program that passes after {_times(len(attempts))}"
    raise GenerationFailed(what, question=asked, attempts=attempts, got=last_problem(attempts), todo=_TODO)


_TODO: Final = "Ask in other words, or ask a more capable model; `dicem programs` lists programs that work without one."


class _Conversation:
    """The messages so far: instructions, the question, then each reply with what was wrong with it."""

    def __init__(self, question: str, functions: Registry, vocabulary: tuple[str, ...] | None) -> None:
        self._question, self._functions, self._vocabulary = question, functions, vocabulary
        self._later: list[Message] = []
        self._systems: dict[Form, str] = {}

    def messages(self, form: Form) -> Sequence[Message]:
        """What is sent, where the model is asked to reply in this form."""
        if form not in self._systems:
            self._systems[form] = system_prompt(self._functions, form, self._vocabulary)
        return [
            {"role": "system", "content": self._systems[form]},
            {"role": "user", "content": question_message(self._question)},
            *self._later,
        ]

    def mend(self, attempt: Attempt) -> None:
        """Add a reply, and what is wrong with it."""
        problems = problems_of(attempt)
        self._later += [
            {"role": "assistant", "content": attempt.reply[:MAX_REPLY_KEPT] or _NOTHING},
            {"role": "user", "content": repair_message(self._question, attempt.source, problems)},
        ]


def _attempt(number: int, reply: Reply, endpoint: Endpoint, check: CheckProgram) -> Attempt:
    """What is in a reply; a program is checked if there is a whole one."""
    if reply.problem:
        return Attempt(number, reply.text, None, None, reply.problem, reply.usage)
    taken = program_in(reply.text)
    if not taken.is_json and reply.form == "schema":
        endpoint.plain_text("passes over the JSON schema")
    if taken.source is None:
        return Attempt(number, reply.text, None, None, taken.problem, reply.usage)
    return Attempt(number, reply.text, taken.source, check(taken.source), "", reply.usage)


def problems_of(attempt: Attempt) -> tuple[Problem, ...]:
    """All that is wrong with an attempt."""
    if attempt.checked is not None:
        return attempt.checked.problems
    return (Problem(1, 1, attempt.problem),)


def last_problem(attempts: Sequence[Attempt]) -> str:
    """The first thing that is wrong with the last attempt, for people."""
    for attempt in reversed(attempts):
        for problem in sorted(problems_of(attempt)):
            where = f"line {problem.line}: " if attempt.source is not None else ""
            return clean(f"{where}{problem.message}", 300)
    return ""


def said_before(attempts: Sequence[Attempt]) -> bool:
    """Whether the last attempt is, to the letter, one that was refused before: asking on would go round in circles."""
    *earlier, last = attempts
    if last.source is not None:
        return any(each.source == last.source for each in earlier)
    return any(each.source is None and each.reply == last.reply and each.problem == last.problem for each in earlier)


def _times(count: int) -> str:
    return "1 reply" if count == 1 else f"{count} replies"


def attempts_document(failed: GenerationFailed) -> dict[str, Any]:
    """What was tried, as plain values."""
    return {
        "question": failed.question,
        "failed": failed.what,
        "prompt_version": PROMPT_VERSION,
        "attempts": [
            {
                "number": attempt.number,
                "reply": attempt.reply,
                "source": attempt.source,
                "problem": attempt.problem,
                "checks": [
                    {"name": check.name, "passed": check.passed, "detail": check.detail,
                     "problems": [asdict(problem) for problem in check.problems]}
                    for check in (attempt.checked.checks if attempt.checked is not None else ())
                ],
                "usage": asdict(attempt.usage),
            }
            for attempt in failed.attempts
        ],
    }  # fmt: skip


def keep_attempts(failed: GenerationFailed, path: Path) -> Path:
    """Write the attempts to a file.

    :raises ConfigError: it cannot be written
    """
    document = json.dumps(attempts_document(failed), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, document + "\n")
    return path
