"""What the two small networks are trained by alike: the order of the examples, and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

WARM_UP = 150
"""steps"""


def batches(rng: np.random.Generator, examples: int, size: int, steps: int) -> Iterator[tuple[int, list[int]]]:
    """Step and the numbers of its examples: every example once before any comes again."""
    order: list[int] = []
    for step in range(steps):
        if len(order) < size:
            order = [int(i) for i in rng.permutation(examples)]
        picked, order = order[:size], order[size:]
        yield step, picked


def set_rate(optimiser: Any, peak: float, step: int, steps: int) -> None:
    """Linear warm-up, then half a cosine down to 2 % of `peak`."""
    rate = peak * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
    for group in optimiser.param_groups:
        group["lr"] = rate
