"""A verdict for people and for machines."""

from __future__ import annotations

from typing import Any

from .observed import Observed
from .verifier import Difference, Verdict
from .world import World

MAX_WIDTH = 600
"""Longer texts are cut in what people read."""
MAX_FAILURES = 6


def summary(verdict: Verdict) -> str:
    """The figures in two lines."""
    totals = verdict.totals
    ratio = totals.makespan_ratio
    pace = f", {totals.serial_s:.1f} s one by one, {totals.compiled_s:.1f} s compiled ({ratio:.2f})" if ratio else ""
    lines = [
        f"{totals.seeds} seeds, in {totals.raised} of which the original raises",
        f"{totals.calls} calls, {totals.compiled_calls} compiled, {totals.surplus} of them surplus{pace}",
    ]
    if totals.unspecified:
        lines.append(f"{totals.unspecified} seeds hang on the order of a set, which the language leaves open")
    return "\n".join(lines)


def explained(difference: Difference, world: World, program: str, *, reduced: bool) -> str:
    """The first difference as a small reproduction: seed, frame, what was expected and got, the program's lines."""
    width, height = world.traits.frame_size
    known = ", ".join(world.traits.vocabulary) or "nothing"
    lines = [
        f"seed {difference.seed}, frame {width} x {height}, the detector knows {known}; "
        f"the compiled program in {'the runner' if difference.where == 'runner' else 'CPython'}:"
    ]
    for aspect in difference.aspects:
        lines += [f"  {aspect.kind}", f"    expected  {_cut(aspect.expected)}", f"    got       {_cut(aspect.got)}"]
    failed = _failures(difference.expected)
    if failed:
        lines += ["  calls that failed", *(f"    {line}" for line in failed)]
    lines.append("  the program, as far as it is needed" if reduced else "  the program")
    lines += [f"    {number:4} | {line}" for number, line in enumerate(program.rstrip("\n").split("\n"), 1)]
    return "\n".join(lines)


def document(verdict: Verdict, program: str | None = None) -> dict[str, Any]:
    """The same for machines.  `program`: the reduced one."""
    totals = verdict.totals
    word = "same" if verdict.same else "different" if verdict.difference else "oracle"
    return {
        "verdict": word,
        "seeds": totals.seeds,
        "differing": verdict.differing,
        "raised": totals.raised,
        "calls": totals.calls,
        "compiled_calls": totals.compiled_calls,
        "surplus": totals.surplus,
        "unspecified": totals.unspecified,
        "serial_s": round(totals.serial_s, 6),
        "compiled_s": round(totals.compiled_s, 6),
        "makespan_ratio": totals.makespan_ratio,
        "trouble": str(verdict.trouble) if verdict.trouble else None,
        "difference": _difference(verdict.difference, program) if verdict.difference else None,
    }


def _difference(difference: Difference, program: str | None) -> dict[str, Any]:
    return {
        "seed": difference.seed,
        "where": difference.where,
        "aspects": [{"kind": a.kind, "expected": a.expected, "got": a.got} for a in difference.aspects],
        "expected": difference.expected.to_plain(),
        "got": difference.got.to_plain(),
        "program": program,
    }


def _failures(seen: Observed) -> list[str]:
    failed = [f"{call.text()}: {call.outcome_text()}" for call in seen.calls if call.failure]
    more = [f"and {len(failed) - MAX_FAILURES} more"] if len(failed) > MAX_FAILURES else []
    return failed[:MAX_FAILURES] + more


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]}... ({len(text)} characters)"
