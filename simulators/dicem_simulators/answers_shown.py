"""Answers on a terminal: a line a frame, and what they come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from dicem_codegen.library.stored import StoredProgram
from dicem_codegen.types import printable
from dicem_shared.types import Answer

from .scoring import percentile

MAX_VALUE = 300
"""characters of a value, or of a printed line, that a line shows"""
MAX_PRINTED: Final = 20
"""printed lines that are shown of an answer"""


def print_answer(answer: Answer, console: Console) -> None:
    """One line: frame, status, where it was answered, how long it took, what it cost, what it is."""
    value = answer.value if answer.status == "final" else f"{answer.status}: {answer.reason}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = printable(text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}...")
    colour = {"final": "default", "failed": "red"}.get(answer.status, "yellow")
    took = f"{answer.latency_s:6.2f} s  {answer.cost.bytes_up / 1000:7.1f} kB"
    said = Text.assemble(f"frame {answer.frame:5d}  {answer.source:6s} {took}  ", (text, colour))
    console.print(said, soft_wrap=True)
    printed = answer.printed.splitlines()
    left = len(printed) - MAX_PRINTED
    for line in [*printed[:MAX_PRINTED], *([f"... and {left} lines more (--json)"] if left > 0 else [])]:
        console.print(Text(f"             printed: {printable(line[:MAX_VALUE])}"), soft_wrap=True)


def totals(answers: Sequence[Answer], time: Literal["simulated", "real"] = "simulated") -> dict[str, Any]:
    """What the answers come to.  `time`: what seconds and dollars are."""
    good = [answer for answer in answers if answer.status == "final"]
    waits = [answer.latency_s for answer in answers]
    return {
        "frames": len(answers),
        "final": len(good),
        "failed": len(answers) - len(good),
        "latency_s": {"median": percentile(waits, 0.5), "p95": percentile(waits, 0.95)},
        "bytes_up": sum(answer.cost.bytes_up for answer in answers),
        "usd": sum(answer.cost.usd for answer in answers),
        "time": time,
    }


def print_answers(
    program: StoredProgram, answers: Sequence[Answer], console: Console, *, as_json: bool,
    time: Literal["simulated", "real"] = "simulated",
) -> None:  # fmt: skip
    """What they come to, after each has been printed; or all of it for machines."""
    found = totals(answers, time)
    if as_json:
        ordered = sorted(answers, key=lambda each: each.frame)
        documents = [answer.model_dump(mode="json", by_alias=True) for answer in ordered]
        told = {"program": program.model_dump(mode="json"), "answers": documents, "totals": found}
        typer.echo(json.dumps(told, indent=2))
        return
    failed = f", {found['failed']} failed" if found["failed"] else ""
    console.print(
        f"{found['frames']} frames{failed}; {found['time']}: {found['latency_s']['median']:.2f} s in the median, "
        f"{found['bytes_up'] / 1000:.0f} kB up, ${found['usd']:.4f} in all",
        highlight=False,
    )
