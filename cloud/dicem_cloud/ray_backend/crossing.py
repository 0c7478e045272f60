"""What crosses between a gateway and a replica: batches there, answers back, as plain data.

Pixels go as arrays that own their memory, so that Ray hands them over without a copy on the same machine.  On the other
side they are read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dicem_shared.errors import DicemError, FunctionError, InvalidCall
from dicem_shared.functions import Batch
from dicem_shared.images import Pixels
from dicem_shared.implementations import Implementation, Work
from dicem_shared.patches import Patch
from dicem_shared.types import ModelId

WantsFrame = Callable[[Work], bool]
"""Whether a call needs its whole frame; a plain function of a module, so that it crosses too."""


@dataclass(frozen=True)
class Item:
    """One call of a batch."""

    params: dict[str, Any]
    whole: Patch | None
    """its frame, where the function needs that and it is here"""

    def work(self) -> Work:
        """The call as an implementation takes it."""
        return Work(self.params, lambda: self.whole)


@dataclass(frozen=True)
class Described:
    """What a gateway must know of a function that it does not hold."""

    name: str
    model: ModelId
    batch: Batch
    wants_frame: WantsFrame
    reentrant: bool


@dataclass(frozen=True)
class Answers:
    """How a batch ended: an outcome an item, in order."""

    outcomes: list[Any | DicemError]
    models: list[ModelId | None]
    """which model answered, where it is not the usual one"""
    billed_s: float
    """for as long as a device was held, or the batch ran where none is"""
    notes: list[str]
    """for the gateway's log, and for nobody else"""


class Packer:
    """Packs the works of one batch; pixels that several of them share are copied once."""

    def __init__(self, wants_frame: WantsFrame) -> None:
        self._wants_frame = wants_frame
        self._frames: dict[str, Pixels] = {}

    def pack(self, work: Work) -> Item:
        """One call.

        :raises DicemError: its frame cannot be read
        """
        params = {name: _owned(value) if isinstance(value, Patch) else value for name, value in work.params.items()}
        whole = work.whole_frame() if self._wants_frame(work) else None
        if whole is not None:
            blob = whole.frame.blob  # the hash of what is in it: the same pixels, whosever they are
            whole = replace(whole, pixels=self._frames.setdefault(blob, np.ascontiguousarray(whole.pixels)))
        return Item(params, whole)


def _owned(patch: Patch) -> Patch:
    return replace(patch, pixels=np.ascontiguousarray(patch.pixels))


def describe(implementation: Implementation) -> Described:
    """A function, for a gateway that does not hold it."""
    spec = implementation.spec
    return Described(
        spec.name, implementation.model, spec.batch, implementation.wants_frame, implementation.reentrant
    )  # fmt: skip


def answers(
    implementation: Implementation, works: Sequence[Work], outcomes: Sequence[Any | Exception], billed_s: float
) -> Answers:
    """Outcomes as they cross: results as plain values, and errors of ours only."""
    notes: list[str] = []
    plain = [_plain(implementation, outcome, notes) for outcome in outcomes]
    models = [
        None if isinstance(outcome, DicemError) else _unusual(implementation, work)
        for work, outcome in zip(works, plain, strict=True)
    ]
    return Answers(plain, models, billed_s, notes)


def _unusual(implementation: Implementation, work: Work) -> ModelId | None:
    model = implementation.model_for(work)
    return None if model == implementation.model else model


def _plain(implementation: Implementation, outcome: Any | Exception, notes: list[str]) -> Any | DicemError:
    if isinstance(outcome, DicemError):
        return outcome.with_traceback(None)
    if isinstance(outcome, Exception):
        return _foreign(implementation.spec.name, outcome, notes)
    try:
        return implementation.spec.check_result(outcome)
    except InvalidCall as error:  # the function's fault, not the caller's
        return FunctionError(str(error))


def _foreign(name: str, error: Exception, notes: list[str]) -> FunctionError:
    """What is no business of the caller's goes into the log, not onto the wire."""
    import traceback

    notes.append("".join(traceback.format_exception(error)))
    return FunctionError(f"{name} failed ({type(error).__name__})", todo="The cloud's log says more.")
