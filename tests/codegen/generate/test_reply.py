"""The program in a reply, however the model wraps it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_codegen.generate.reply import MAX_SOURCE, program_in

PROGRAM = "def execute_command(image):\n    return len(ImagePatch(image).find('boat'))\n"
PARTS = (
    "```", "~~~", "python", "\n", "{", "}", '"program"', ":", '"', "<think>", "</think>",
    "def execute_command(image):", " 1",
)  # fmt: skip
JSON = json.dumps({"plan": "Count.", "program": PROGRAM})


@pytest.mark.parametrize(
    "reply",
    [
        JSON,
        json.dumps({"program": PROGRAM}),
        f"\n  {JSON}\n",
        f"```json\n{JSON}\n```",
        f"Here it is:\n\n```json\n{JSON}\n```\nDone.",
        json.dumps({"program": f"```python\n{PROGRAM}```"}),
        json.dumps({"program": PROGRAM.replace("\n", "\r\n")}),
        '{"program": "' + PROGRAM + '"}',
        f"<think>find a\n```python\nx = 1\n```\n</think>\n{JSON}",
    ],
)
def test_json_in_its_shapes(reply: str) -> None:
    assert program_in(reply).source == PROGRAM


@pytest.mark.parametrize(
    "reply",
    [
        f"It counts.\n\n```python\n{PROGRAM}```\n",
        f"```\n{PROGRAM}```",
        f"```py title=x\n{PROGRAM}\n```",
        f"~~~python\n{PROGRAM}~~~",
        f"````python\n{PROGRAM}````",
        f"  ```python\n{PROGRAM}  ```",
        f"```python\n{PROGRAM}",
        f"First try:\n```python\nprint(1)\n```\nNo, better:\n```python\n{PROGRAM}```",
        f"```python\n{PROGRAM}```\nYou run it so:\n```\ndicem run\n```",
        PROGRAM,
        f"```python\r\n{PROGRAM}```".replace("\n", "\r\n"),
        f"<think>I could\n```python\ndef execute_command(image): 0\n```\n</think>```python\n{PROGRAM}```",
        f"{{not json}}\n```python\n{PROGRAM}```",
    ],
)
def test_fenced_blocks_in_their_shapes(reply: str) -> None:
    taken = program_in(reply)
    assert taken.source == PROGRAM
    assert not taken.is_json


def test_the_last_block_with_an_entry_wins() -> None:
    better = PROGRAM.replace("boat", "ship")
    assert program_in(f"```python\n{PROGRAM}```\nBetter:\n```python\n{better}```").source == better


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"plan": "x", "program": "def exe', "no whole JSON object"),
        ("{}", 'without a text called "program"'),
        ('{"program": 5}', 'without a text called "program"'),
        ('{"program": null}', 'without a text called "program"'),
        ("[1, 2]", 'without a text called "program"'),
        ("[" * 100_000, "no whole JSON object"),
        ('{"program": "  \\n "}', "the program is empty"),
        ('{"program": "x = \\"\\ud800\\""}', "half a surrogate pair"),
        (json.dumps({"program": "x" * (MAX_SOURCE + 1)}), "longer than"),
        ("I would rather not.", "no program"),
        ("```python\n```", "the program is empty"),
        ("def execute_command(image) returns the number", "no program"),
    ],
)
def test_what_holds_no_program(reply: str, said: str) -> None:
    taken = program_in(reply)
    assert taken.source is None
    assert said in taken.problem


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(st.text() | st.lists(st.sampled_from(PARTS)).map("".join))
def test_no_text_breaks_it(reply: str) -> None:
    taken = program_in(reply)
    assert (taken.source is None) == bool(taken.problem)
    if taken.source is not None:
        assert taken.source.endswith("\n")
        taken.source.encode()
