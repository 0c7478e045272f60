"""What a function must be to be run, at the edge as in the cloud; beside it, those that both sites serve.

Where two sites run the same code on the same model, a call may go to either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..errors import FunctionError, OutOfDeviceMemory
from ..functions import FunctionSpec
from ..patches import Patch
from ..types import ModelId

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work:
    """One call's arguments, checked; each image parameter is a `Patch`.

    `whole_frame` gives the pixels of the patch's whole frame, for networks that need what lies around it, or None
    where only crops of it are here.  After `deadline_utc` nobody waits for the result.
    """

    params: dict[str, Any]
    whole_frame: Callable[[], Patch | None] = lambda: None
    deadline_utc: float = math.inf


class Implementation(Protocol):
    """A function that can be run.  `run` is never called by two threads at once, unless it is `reentrant`."""

    spec: FunctionSpec
    """what it promises; `spec.batch.max_size` bounds a batch"""
    model: ModelId
    """which model answers"""
    reentrant: bool = False
    """several threads may run batches at once: it holds its device itself, only for as long as it computes, so that one
    batch is read and resized while another one is computed"""

    @property
    def at_once(self) -> int:
        """How many batches it takes at the same time; asked again for each."""
        return 1

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """One outcome an item, in order: a result, or why there is none.  A bad item does not fail the others."""

    def model_for(self, work: Work) -> ModelId:
        """Which model answers this very call, for functions that have several."""
        return self.model

    @staticmethod
    def wants_frame(work: Work) -> bool:
        """Whether `run` needs this call's whole frame.  Asked where the function is not, before the call goes there."""
        return False


def run_batch(implementation: Implementation, batch: Sequence[Work]) -> list[Any | Exception]:
    """One outcome an item, whatever the implementation does wrong."""
    try:
        outcomes = implementation.run(batch)
    except Exception as error:
        return [error] * len(batch)
    if len(outcomes) != len(batch):
        what = f"{implementation.spec.name} lost calls of a batch"
        return [FunctionError(what, expected=str(len(batch)), got=str(len(outcomes)))] * len(batch)
    return outcomes


def each(batch: Sequence[T], answer: Callable[[T], R]) -> list[R | Exception]:
    """The outcomes of `answer` for the items, one after the other."""
    outcomes: list[R | Exception] = []
    for item in batch:
        try:
            outcomes.append(answer(item))
        except Exception as error:
            outcomes.append(error)
    return outcomes


def together(batch: Sequence[T], answer: Callable[[Sequence[T]], Sequence[R]]) -> list[R | Exception]:
    """The outcomes of `answer` for all items in one pass; where that fails, one by one: then only the bad ones do.

    Where the device's memory ran out, in halves.
    """
    try:
        return list(answer(batch))
    except OutOfDeviceMemory as error:
        half = len(batch) // 2
        return together(batch[:half], answer) + together(batch[half:], answer) if half else [error]
    except Exception as error:
        return [error] if len(batch) == 1 else each(batch, lambda item: answer([item])[0])
