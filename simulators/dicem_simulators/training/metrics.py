"""What the trained networks are worth, on the held-out scenes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dicem_shared.detector import Detection, Detector
from dicem_simulators.scenes.objects import KINDS, LITTER
from dicem_simulators.scenes.render import Truth
from dicem_simulators.training.heldout import (
    HELDOUT_CROWD,
    HELDOUT_DIFFICULTY,
    HELDOUT_SCENES,
    HELDOUT_SEED,
)
from dicem_simulators.training.questions import ask

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIZES_PX = (0.0, 6.0, 12.0, 24.0, 48.0, 1e9)
"""Bins of an object's size, the square root of its box's area in frame pixels."""
BAR_PX = 12.0
DISTANCES_M = (0.0, 5.0, 10.0, 15.0, 25.0)
SEEN_SHARE = 0.25
"""Objects of which less is visible are nobody's fault: neither hits nor misses."""


@dataclass(frozen=True)
class Held:
    """A held-out picture and its truths."""

    image: Pixels
    truths: list[Truth]


class AnswersQuestions(Protocol):
    """As `OnnxBlip2` does."""

    def answer(self, images: Sequence[Pixels], questions: Sequence[str]) -> list[str]:
        """One answer for each image and question."""


class MeasuresDistance(Protocol):
    """As `OnnxDepth` does."""

    def distance(self, image: Pixels, box: tuple[int, int, int, int]) -> float:
        """Metres to the foot of a box."""


def scenes_used() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "scenes": HELDOUT_SCENES,
        "seed": HELDOUT_SEED,
        "difficulty": HELDOUT_DIFFICULTY,
        "objects_per_scene": HELDOUT_CROWD,
    }


def size_px(width: float, height: float) -> float:
    """Square root of the area."""
    return float(np.sqrt(width * height))


def overlaps(found: Sequence[Detection], truths: Sequence[Truth]) -> Floats:
    """Intersection over union (found, truths)."""
    a = np.array([(d.x, d.y, d.x + d.width, d.y + d.height) for d in found], dtype=np.float64).reshape(-1, 1, 4)
    b = np.array([(t.x, t.y, t.x + t.width, t.y + t.height) for t in truths], dtype=np.float64).reshape(1, -1, 4)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    inner = sides.prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(inner / np.maximum(areas - inner, 1e-9))


def average_precision(
    frames: Sequence[tuple[list[Detection], list[Truth]]], kind: str, smallest: float, largest: float
) -> float | None:
    """AP at IoU 0.5 of one class over objects in a range of sizes; None without such objects.

    As COCO counts: objects outside the range (or hardly visible) and what matches them are left out, and so are false
    alarms whose own size is outside.
    """
    marks: list[tuple[float, bool]] = []
    total = 0
    for found, truths in frames:
        mine = [d for d in found if d.class_name == kind]
        there = [t for t in truths if t.kind == kind]
        counts = [smallest <= size_px(t.width, t.height) < largest and t.visible >= SEEN_SHARE for t in there]
        total += sum(counts)
        table = overlaps(mine, there)
        taken: set[int] = set()
        for i in sorted(range(len(mine)), key=lambda i: -mine[i].score):
            best = max(
                (j for j in range(len(there)) if j not in taken and table[i, j] >= 0.5),
                key=lambda j: (counts[j], table[i, j]),
                default=None,
            )
            if best is not None:
                taken.add(best)
                if counts[best]:
                    marks.append((mine[i].score, True))
            elif smallest <= size_px(mine[i].width, mine[i].height) < largest:
                marks.append((mine[i].score, False))
    if not total:
        return None
    marks.sort(key=lambda mark: -mark[0])
    hits = np.cumsum([hit for _, hit in marks]) if marks else np.zeros(0)
    recall, precision = hits / total, hits / np.arange(1, len(marks) + 1)
    return float(np.mean([max(precision[recall >= level], default=0.0) for level in np.linspace(0, 1, 101)]))


def detector_metrics(path: Path, held: Iterable[Held]) -> dict[str, Any]:
    """AP by class and size, and how much litter is found at a score of 0.25, by distance."""
    detector = Detector(path, score=0.01, iou=0.5)
    frames = [(detector.detect(each.image), each.truths) for each in held]
    by_class = {kind: average_precision(frames, kind, BAR_PX, 1e9) for kind in KINDS}
    by_size = {}
    for low, high in itertools.pairwise(SIZES_PX):
        name = f"{low:g}-{high:g} px" if high < 1e9 else f"{low:g} px and more"
        by_size[name] = _mean([average_precision(frames, kind, low, high) for kind in KINDS])
    return {
        "held_out": scenes_used(),
        "objects": sum(len(truths) for _, truths in frames),
        "map50_12px_and_more": _mean(list(by_class.values())),
        "ap50_12px_and_more": {k: _round(v) for k, v in by_class.items()},
        "map50_by_size": by_size,
        "litter_at_score_0.25": _litter(frames),
    }


def _litter(frames: Sequence[tuple[list[Detection], list[Truth]]]) -> dict[str, Any]:
    """Litter found as litter, of whichever kind, by distance; and alarms where there is nothing at all."""
    found_by: dict[str, list[bool]] = {}
    false, empty = 0, 0
    for all_found, truths in frames:
        found = [d for d in all_found if d.score >= 0.25 and d.class_name in LITTER]
        table = overlaps(found, truths)
        false += sum(not len(truths) or bool(row.max() < 0.1) for row in table) if truths else len(found)
        empty += not truths and bool(found)
        for j, truth in enumerate(truths):
            if not truth.litter or truth.visible < 0.5:
                continue
            for low, high in itertools.pairwise(DISTANCES_M):
                if low <= truth.distance_m < high:
                    hit = bool(found) and bool((table[:, j] >= 0.5).any())
                    found_by.setdefault(f"{low:g}-{high:g} m", []).append(hit)
    return {
        "recall_by_distance": {
            k: {"objects": len(v), "recall": round(float(np.mean(v)), 4)} for k, v in sorted(found_by.items(), key=_low)
        },
        "false_alarms_per_scene": round(false / len(frames), 4),
        "empty_scenes_with_an_alarm": empty,
        "empty_scenes": sum(not truths for _, truths in frames),
    }


def vqa_metrics(network: AnswersQuestions, crops: Sequence[tuple[Pixels, Truth]]) -> dict[str, Any]:
    """Exact match by type of question and by the longer side of the object in frame pixels."""
    rng = np.random.default_rng(HELDOUT_SEED)
    right: dict[str, list[bool]] = {}
    by_size: dict[str, dict[str, list[bool]]] = {}
    for image, truth in crops:
        side = max(truth.width, truth.height)
        size = "16-24 px" if side < 24 else "24-48 px" if side < 48 else "48 px and more"
        asked = [a for _ in range(2) for a in ask(rng, truth)]
        answers = network.answer([image] * len(asked), [a.question for a in asked])
        for question, answer in zip(asked, answers, strict=True):
            right.setdefault(question.type, []).append(answer == question.answer)
            by_size.setdefault(size, {}).setdefault(question.type, []).append(answer == question.answer)
    return {
        "held_out": scenes_used(),
        "crops": len(crops),
        "exact_match": {k: round(float(np.mean(v)), 4) for k, v in sorted(right.items())},
        "exact_match_by_size": {
            size: {"questions": sum(map(len, types.values()))}
            | {k: round(float(np.mean(v)), 4) for k, v in sorted(types.items())}
            for size, types in sorted(by_size.items(), key=_low)
        },
    }


def depth_metrics(network: MeasuresDistance, held: Iterable[Held]) -> dict[str, Any]:
    """Relative error of the distance of objects within 30 m whose foot is in the frame."""
    errors: list[tuple[float, float]] = []
    for each in held:
        for truth in each.truths:
            foot_seen = truth.y + truth.height < each.image.shape[0]
            if truth.distance_m <= 30 and truth.visible >= 0.5 and foot_seen:
                metres = network.distance(each.image, (truth.x, truth.y, truth.width, truth.height))
                errors.append((truth.distance_m, abs(metres / truth.distance_m - 1)))
    all_ = np.array(errors)
    bins = {}
    for low, high in ((0, 5), (5, 10), (10, 20), (20, 30)):
        chosen = all_[(all_[:, 0] >= low) & (all_[:, 0] < high), 1]
        bins[f"{low}-{high} m"] = {"objects": len(chosen), "median": _round(float(np.median(chosen)))}
    return {
        "held_out": scenes_used(),
        "objects": len(errors),
        "relative_error": {
            "median": _round(float(np.median(all_[:, 1]))),
            "mean": _round(float(np.mean(all_[:, 1]))),
            "p90": _round(float(np.quantile(all_[:, 1], 0.9))),
        },
        "relative_error_by_distance": bins,
    }


def write(path: Path, metrics: dict[str, Any]) -> None:
    """As JSON that reads well."""
    path.write_text(json.dumps(metrics, indent=2) + "\n")


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return round(float(np.mean(there)), 4) if there else None


def _low(item: tuple[str, Any]) -> float:
    """The lower end of a bin, out of its name."""
    return float(item[0].replace("-", " ").split()[0])
