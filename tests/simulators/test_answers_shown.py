"""Answers on a terminal, whatever programs return and print."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dicem_shared.types import Answer
from dicem_simulators.answers_shown import MAX_PRINTED, print_answer


def shown(**more: object) -> list[str]:
    given: dict[str, object] = {
        "id": "a" * 32, "survey_id": "s", "vehicle": "v", "camera": "c", "frame": 7, "program_id": "p",
        "status": "final", "source": "edge", "t_utc": 0.0,
    }  # fmt: skip
    out = io.StringIO()
    print_answer(Answer.model_validate(given | more), Console(file=out, force_terminal=False, width=80))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "\x9b31m",
        "\u202e",
        "[/]",
        "[red]x",
        "\\",
        "\\\\",
        "x\\[/]",
        "[link=http://x]y",
        ":boat:",
        "\r",
        "\u2028",
    ],
)
def test_nothing_that_a_terminal_obeys(text: str) -> None:
    lines = shown(value=text, printed=text) + shown(value={text: [text]}) + shown(status="failed", reason=text)
    assert all(line.isprintable() for line in lines)
    if text.isprintable():
        assert text in lines[0]


def test_each_printed_line_has_its_own() -> None:
    assert [line.strip() for line in shown(value=1, printed="one\n\ntwo\n")[1:]] == [
        "printed: one",
        "printed:",
        "printed: two",
    ]


def test_a_flood_of_lines_is_cut() -> None:
    lines = shown(value=1, printed="x\n" * 60_000)
    assert len(lines) == MAX_PRINTED + 2
    assert "59980 lines more" in lines[-1]
    assert max(map(len, shown(value="y" * 60_000, printed="x" * 60_000))) < 400
