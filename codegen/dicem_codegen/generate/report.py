"""A generated program for people and for machines: what it is, what was made of it, what it will take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..place import plan_text
from ..place.words import dollars, seconds, size
from ..types import CompiledProgram, printable
from .types import Generated, Usage


def text(generated: Generated) -> str:
    """The serial program, the distributed one with its tags, the plan, and what a frame is expected to take."""
    compiled = compiled_of(generated)
    names = {site.number: printable(site.text) for site in compiled.sites}
    parts = [
        ("serial program", shown(generated.checked.source)),
        ("distributed program", shown(compiled.source)),
        ("plan", plan_text(compiled.plan, names)),
    ]
    sections = [f"# {title}\n{body.rstrip()}\n" for title, body in parts]
    return "\n".join([*sections, expectation(compiled)]) + "\n"


def expectation(compiled: CompiledProgram) -> str:
    """What a frame is expected to take, on one line."""
    plan = compiled.plan
    return f"expected a frame: {seconds(plan.latency_s)}, {dollars(plan.cost_usd)}, {size(plan.bytes_up)} up"


def usage_line(usage: Usage, attempts: int) -> str:
    """What the question took."""
    tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    cost = f", {usage.usd:.4f} USD" if usage.usd else ""
    return f"{tried}, {usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens{cost}, {usage.seconds:.1f} s"


def document(generated: Generated) -> dict[str, Any]:
    """All of it as plain values."""
    compiled = compiled_of(generated)
    plan = asdict(compiled.plan)
    placements = plan.pop("placements")
    return {
        "question": generated.question,
        "model": generated.model,
        "prompt_version": generated.prompt_version,
        "functions_from": generated.functions_from,
        "functions": [spec.name for spec in generated.functions],
        "serial": generated.checked.source,
        "distributed": compiled.source,
        "calls": [{**asdict(site), "placement": placements.get(site.number)} for site in compiled.sites],
        "plan": plan,
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail} for check in generated.checked.checks
        ],
        "attempts": len(generated.attempts),
        "usage": asdict(generated.usage),
    }


def compiled_of(generated: Generated) -> CompiledProgram:
    """The compiled program, which one that has passed has."""
    assert generated.checked.compiled is not None
    return generated.checked.compiled


def shown(source: str) -> str:
    """Source for a terminal: what a terminal would obey is written out."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in source.split("\n"))
