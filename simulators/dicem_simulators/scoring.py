"""What the answers of a mission are worth: agreement with the baseline, precision and recall, times, totals."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dicem_shared.types import Answer, Box, Cost

DISTANCE_TOLERANCE = 0.10
"""Numbers within this share of each other agree."""
NEAR_M = 5.0
MATCH_IOU = 0.3
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def values_agree(a: Any, b: Any) -> bool:
    """Equal, but for numbers (also those in a text) that differ by at most 10 %."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=DISTANCE_TOLERANCE)
    if isinstance(a, str) and isinstance(b, str):
        words = _NUMBER.sub("#", a).casefold() == _NUMBER.sub("#", b).casefold()
        numbers = zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=False)
        return words and all(values_agree(float(x), float(y)) for x, y in numbers)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(values_agree(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(values_agree(a[key], b[key]) for key in a)
    return False


def answers_agree(a: Answer | None, b: Answer | None) -> bool:
    """Same status, agreeing values, the same printed text."""
    if a is None or b is None:
        return False
    return a.status == b.status and values_agree(a.value, b.value) and values_agree(a.printed, b.printed)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def near_litter(truth: Mapping[str, Any] | None) -> list[Box]:
    """Boxes of the litter that is really within five metres."""
    objects = truth["objects"] if truth else []
    return [
        (round(o["x"]), round(o["y"]), round(o["width"]), round(o["height"]))
        for o in objects
        if o.get("litter") and o["distance_m"] < NEAR_M
    ]


def found_near(answer: Answer) -> list[Box]:
    """Boxes that an answer says are within five metres."""
    return [o.bbox for o in answer.observations if o.distance_m is not None and o.distance_m < NEAR_M]


def match(found: Iterable[Box], there: Iterable[Box]) -> tuple[int, int, int]:
    """Hits, false alarms and misses: each thing that is there is matched by the best box that is left."""
    left, hits, missed = list(found), 0, 0
    for box in there:
        best = max(left, key=lambda f: overlap(f, box), default=None)
        if best is not None and overlap(best, box) >= MATCH_IOU:
            left.remove(best)
            hits += 1
        else:
            missed += 1
    return hits, len(left), missed


def percentile(values: list[float], share: float) -> float | None:
    """Linear interpolation between the closest ranks; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summarise(
    answers: Mapping[int, Answer],
    truth: Mapping[int, Mapping[str, Any] | None],
    baseline: Mapping[int, Answer] | None,
    totals: Cost,
) -> dict[str, Any]:
    """One mode's figures, by the names that `dicem simulate --json` publishes.

    A frame counts as "litter" where the truth has litter within five metres; without truth, where the baseline found
    any (without a baseline, this mode): so every mode is judged on the same frames.  `totals` are the whole mission's.
    """
    latency: dict[str, list[float]] = {"empty": [], "litter": []}
    calls: Counter[str] = Counter()
    hits = alarms = misses = 0
    for number, answer in sorted(answers.items()):
        known = truth.get(number)
        there = near_litter(known)
        found = found_near(answer)
        judge = answer if baseline is None else baseline.get(number, answer)
        latency["litter" if (there if known else found_near(judge)) else "empty"].append(answer.latency_s)
        calls.update(answer.cost.calls)
        if known:
            hit, alarm, missed = match(found, there)
            hits, alarms, misses = hits + hit, alarms + alarm, misses + missed
    has_truth = any(truth.values())
    return {
        "frames": len(truth),
        "answers": len(answers),
        "failed": sum(a.status != "final" for a in answers.values()),
        "agreement": _agreement(answers, baseline, truth),
        "agreement_litter": _agreement(answers, baseline, {n: t for n, t in truth.items() if near_litter(t)}),
        "precision": hits / (hits + alarms) if has_truth and hits + alarms else None,
        "recall": hits / (hits + misses) if has_truth and hits + misses else None,
        "latency_s": {
            kind: {"p50": _rounded(percentile(v, 0.5)), "p95": _rounded(percentile(v, 0.95))}
            for kind, v in latency.items()
        },
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "cloud_s": _rounded(totals.cloud_s),
        "cost_usd": _rounded(totals.usd),
        "calls": dict(sorted(calls.items())),
    }


def _agreement(
    answers: Mapping[int, Answer], baseline: Mapping[int, Answer] | None, frames: Mapping[int, Any]
) -> float | None:
    if baseline is None or not frames:
        return None
    return sum(answers_agree(answers.get(n), baseline.get(n)) for n in frames) / len(frames)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
