"""Non-maximum suppression: of boxes that overlap, the one with the best score stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_BLOCK = 128
"""Boxes compared all with all at once: large enough to spare Python steps, small enough to stay in the cache."""


def best_first(scores: Floats, limit: int) -> Indices:
    """Indices of the `limit` highest scores, highest first; equal ones in their order."""
    return np.argsort(-scores, kind="stable")[:limit].astype(np.intp, copy=False)


def iou(these: Floats, those: Floats) -> Floats:
    """Intersection over union (a, b) of boxes (a, 4) with boxes (b, 4); left, top, right, bottom."""
    a, b = these[:, None, :], those[None, :, :]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = _area(a) + _area(b) - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def suppress(boxes: Floats, classes: Indices | None, threshold: float, limit: int) -> Indices:
    """Indices of the boxes that stay, at most `limit`, for boxes (n, 4) sorted best first.

    A box falls when a better one that stays overlaps it by more than `threshold` (IoU).  With `classes` (n,) only
    boxes of one class compete; with None all do.
    """

    def overlap(these: Indices, those: Indices) -> npt.NDArray[np.bool_]:
        over = iou(boxes[these], boxes[those]) > threshold
        return over if classes is None else over & (classes[these, None] == classes[None, those])

    waiting = np.arange(len(boxes), dtype=np.intp)
    kept = waiting[:0]
    while len(waiting) and len(kept) < limit:
        block, waiting = waiting[:_BLOCK], waiting[_BLOCK:]
        falls_to = overlap(block, block)
        fallen = np.zeros(len(block), dtype=np.bool_)
        stays = []
        for place in range(len(block)):
            if not fallen[place]:
                stays.append(place)
                fallen |= falls_to[place]
        kept = np.concatenate([kept, block[stays]])
        if len(waiting):
            waiting = waiting[~overlap(block[stays], waiting).any(axis=0)]
    return kept[:limit]


def _area(boxes: Floats) -> Floats:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]), dtype=np.float32)
