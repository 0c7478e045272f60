"""From functions and a question to what the model reads, and from problems to what it reads next.

The same functions, words and question give the same bytes.  What a function says of itself is data from whoever serves
it: it is quoted as JSON, bounded, and without anything that does not print.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from dicem_shared.errors import ConfigError
from dicem_shared.functions import FunctionSpec, Registry

from . import prompt_text as words
from .types import Problem

_WORDS: Final = [(name, value) for name, value in sorted(vars(words).items()) if name.isupper()]
PROMPT_VERSION: Final = "1-" + hashlib.sha256(repr(_WORDS).encode()).hexdigest()[:12]
"""Another one whenever the prompt's words are others; the first number counts changes in how they are put together."""
MAX_QUESTION: Final = 2_000
"""characters"""
MAX_DOCUMENTATION: Final = 600
"""characters kept of a function's documentation"""
MAX_TEXT: Final = 160
"""characters kept of any other text in a function's description"""
MAX_ITEMS: Final = 64
MAX_DEPTH: Final = 12
MAX_FUNCTION: Final = 6_000
"""characters that one function may take"""
MAX_FUNCTIONS: Final = 60_000
"""characters that all of them may take"""
MAX_WORDS: Final = 300
"""words of the detector"""
MAX_PROBLEMS: Final = 20
"""that are given back at once: what comes after is often a consequence"""
_DROPPED: Final = frozenset({"title", "examples", "$schema", "$id", "$comment", "python_type"})
_LARGEST: Final = 1e18
_JOINERS: Final = "\u200c\u200d"
"""Part of words in some scripts, though they do not print."""


def check_question(question: str) -> str:
    """The question on one line.

    :raises ConfigError: there is none, it is too long, or it holds what does not print
    """
    plain = " ".join(question.split())
    if not plain:
        raise ConfigError("the question is empty", expected="a sentence", todo='Say: dicem generate "QUESTION"')
    if len(plain) > MAX_QUESTION:
        got = str(len(plain))
        raise ConfigError("the question is too long", expected=f"at most {MAX_QUESTION} characters", got=got)
    for place, character in enumerate(plain, start=1):
        if not character.isprintable() and character not in _JOINERS:
            raise ConfigError("the question holds what is no text", got=f"{character!a} at character {place}")
    return plain


def system_prompt(functions: Registry, form: Literal["schema", "text"], vocabulary: Iterable[str] | None = None) -> str:
    """All that the model must know but the question.

    :param vocabulary: the words that the detector knows; None where that is not known
    :raises ConfigError: the functions' descriptions are more than fits a prompt, or there are none
    """
    if not len(functions):
        raise ConfigError("there are no functions to ask", todo="See `dicem functions`, and what the cloud serves.")
    served = {spec.name for spec in functions}
    parts = [words.TASK, words.PATCHES + "".join(f"- {text}\n" for text in _methods(served))]
    if vocabulary is not None and "yolov8" in served:
        known = [clean(word, 64) for word in list(vocabulary)[:MAX_WORDS]]
        others = words.OTHER_WORDS if "glip" in served else words.NO_OTHER_WORDS
        parts.append(words.VOCABULARY.format(words=_json(known), others=others))
    parts += [words.FUNCTIONS + _functions(functions), _examples(served), words.FORMS[form]]
    return "\n".join(parts)


def question_message(question: str) -> str:
    """The question, as the model gets it."""
    return words.QUESTION.format(question=question)


def repair_message(question: str, source: str | None, problems: Sequence[Problem]) -> str:
    """What is to be mended: problems as a JSON list, and the source with its lines numbered."""
    said = [
        {"line": problem.line, "column": problem.column, "message": clean(problem.message, 500),
         **({"hint": clean(problem.hint, 300)} if problem.hint else {})}
        for problem in sorted(problems)[:MAX_PROBLEMS]
    ]  # fmt: skip
    if len(problems) > MAX_PROBLEMS:
        said.append({"message": f"and {len(problems) - MAX_PROBLEMS} more"})
    listed = "[\n" + ",\n".join(f"  {_json(each)}" for each in said) + "\n]"
    program = words.NUMBERED.format(lines=numbered(source)) if source is not None else ""
    return words.REPAIR.format(problems=listed, program=program, question=question)


def numbered(source: str) -> str:
    """The source with a number before each line."""
    lines = source.rstrip("\n").split("\n")
    width = len(str(len(lines)))
    return "\n".join(f"{number:>{width}}| {line}" for number, line in enumerate(lines, start=1))


def clean(text: str, length: int) -> str:
    """A stranger's text: only what prints, on one line, at most `length` characters."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def _methods(served: set[str]) -> Iterable[str]:
    return (text for needs, text in words.METHODS if not needs or served & set(needs))


def _functions(functions: Registry) -> str:
    lines = [_described(spec) for spec in functions]
    if sum(map(len, lines)) > MAX_FUNCTIONS:
        raise ConfigError(
            "the functions' descriptions do not fit a prompt", expected=f"at most {MAX_FUNCTIONS} characters",
            got=f"{len(lines)} functions, {sum(map(len, lines))} characters",
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def _described(spec: FunctionSpec) -> str:
    said: dict[str, Any] = {"name": spec.name, "documentation": clean(spec.documentation, MAX_DOCUMENTATION)}
    if spec.alias_of:
        said["alias_of"] = clean(spec.alias_of, 64)
    said["parameters"] = _schema(spec.parameters_schema, 0)
    said["result"] = _schema(spec.result_schema, 0)
    line = _json(said)
    if len(line) > MAX_FUNCTION:
        raise ConfigError(
            f"function {spec.name}: its schemas do not fit a prompt", expected=f"at most {MAX_FUNCTION} characters",
            got=str(len(line)),
        )  # fmt: skip
    return line


def _schema(value: Any, depth: int, *, names: bool = False) -> Any:
    """A schema as far as it says something; `names`: the keys are names that somebody chose, not keywords."""
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        kept = [(key, part) for key, part in value.items() if names or key not in _DROPPED][:MAX_ITEMS]
        inside = not names
        return {
            clean(str(key), 64): _schema(part, depth + 1, names=inside and key in ("properties", "$defs"))
            for key, part in kept
        }
    if isinstance(value, (list, tuple)):
        return [_schema(part, depth + 1) for part in value[:MAX_ITEMS]]
    if isinstance(value, (int, float)) and not abs(value) <= _LARGEST:
        return "…"  # not a number, or more digits than are any use
    return clean(value, MAX_TEXT) if isinstance(value, str) else value


def _examples(served: set[str]) -> str:
    shown = [(question, program) for needs, question, program in words.EXAMPLES if served.issuperset(needs)]
    texts = [f"{question}\n\n```python\n{program}```\n" for question, program in shown]
    return "# Examples\n\n" + "\n".join(texts) if texts else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
