"""The error tree: as it is drawn, and each error in one line."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from dicem_shared import errors
from dicem_shared.errors import BlobMissing, DicemError, MissingExtra, Overloaded, ProgramFailed, ProgramLimitError

CLASSES = {name: each for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, DicemError)}


def test_the_tree_is_as_drawn() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([ |`-]*)(\w+)", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    assert drawn == {name: each.__bases__[0].__name__ for name, each in CLASSES.items()}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "it broke"),
        ({"expected": "a"}, "it broke (expected a)"),
        ({"got": "b"}, "it broke (got b)"),
        ({"expected": "a", "got": "b"}, "it broke (expected a, got b)"),
        ({"todo": "Mend it."}, "it broke. Mend it."),
        ({"expected": "a", "got": "b", "todo": "Mend it."}, "it broke (expected a, got b). Mend it."),
    ],
)
def test_an_error_says_what_was_expected_what_was_got_and_what_to_do(parts: dict[str, str], said: str) -> None:
    error = DicemError("it broke", **parts)
    assert str(error) == said
    assert (error.what, error.expected, error.got, error.todo) == (
        "it broke", parts.get("expected", ""), parts.get("got", ""), parts.get("todo", ""),
    )  # fmt: skip


def test_errors_that_carry_more() -> None:
    assert Overloaded("busy", retry_after_s=2.5).retry_after_s == 2.5
    limit = ProgramLimitError("too long", limit="cpu_s", expected="2 s")
    assert (limit.limit, str(limit)) == ("cpu_s", "too long (expected 2 s)")
    failed = ProgramFailed("p:3: KeyError", exc_type="KeyError", line=3)
    assert (failed.exc_type, failed.line) == ("KeyError", 3)
    extra = MissingExtra("torch", "transformers")
    assert (extra.extra, str(extra)) == (
        "transformers",
        'torch is not installed. Run: pip install "dicem[transformers]"',
    )
    blob = BlobMissing("ab" * 32)
    assert (blob.blob, str(blob)) == ("ab" * 32, "blob abababababab is not here. Send it again.")


def test_every_error_that_a_reply_may_carry_has_a_word_of_its_own() -> None:
    def below(kind: type[errors.DicemError]) -> list[type[errors.DicemError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    kinds = [*below(errors.FunctionError), *below(errors.MessageError), errors.ImageError, errors.ModelError]
    ours = [kind for kind in kinds if kind.__module__ == errors.__name__]
    words = [kind.reason for kind in ours]
    assert len(words) == len(set(words)) > 10
    assert "failed" not in words


MADE: dict[str, DicemError] = {
    "BlobMissing": BlobMissing("ab" * 32),
    "CompileError": errors.CompileError([], where="a.py"),
    "MissingExtra": MissingExtra("Ray", "cluster"),
    "Overloaded": Overloaded("busy", retry_after_s=2.5, expected="a", got="b", todo="Wait."),
    "ProgramFailed": ProgramFailed("it raised", exc_type="KeyError", line=3, todo="Mend it."),
    "ProgramLimitError": ProgramLimitError("too long", limit="cpu_s", expected="1", got="2"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_crosses_to_another_process_whole(name: str) -> None:
    error = MADE.get(name) or CLASSES[name]("it broke", expected="a", got="b", todo="Mend it.")
    for crossed in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(crossed) is type(error)
        assert (str(crossed), crossed.args, vars(crossed)) == (str(error), error.args, vars(error))
