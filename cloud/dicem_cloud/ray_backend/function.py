"""A function as the gateway has it: an implementation whose batches are computed by replicas somewhere else."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dicem_shared.errors import CallTimeout, DicemError, FunctionError, SiteUnavailable
from dicem_shared.functions import FunctionSpec
from dicem_shared.implementations import Implementation, Work
from dicem_shared.types import ModelId

from ..device import bill
from .crossing import Answers, Described, Item, Packer
from .loop import LoopThread

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
"""before a batch is sent again; twice as long each time"""


@dataclass(frozen=True)
class Patience:
    """How long, and how often."""

    answer_s: float
    """until a batch must be answered, a replica's start and retries included"""
    retries: int
    """how often a batch is sent again whose replica died"""


class Remote:
    """The replicas of one application, seen from here.  Safe to be used by any thread.

    :param handle: Ray Serve's, made in the loop
    :param lost: what Ray raises where a batch is gone and may be sent again
    """

    def __init__(
        self, name: str, handle: Any, loop: LoopThread, patience: Patience, lost: tuple[type[BaseException], ...]
    ) -> None:
        self.name, self.patience = name, patience
        self.up = 1
        """replicas that run"""
        self.trouble = ""
        """what Ray says is wrong with them"""
        self.in_flight = 0
        """batches under way"""
        self.retries = 0
        """how often a batch was sent again because its replica had died"""
        self.wake: Callable[[], None] = lambda: None
        """called where a batch finds no replica"""
        self._handle, self._loop, self._lost = handle, loop, lost

    def describe(self) -> list[Described]:
        """What is served there.

        :raises SiteUnavailable: nobody answers
        """

        async def asked() -> list[Described]:
            ends_s = asyncio.get_running_loop().time() + self.patience.answer_s
            described: list[Described] = await self._retried("describe", (), ends_s, again=True)
            return described

        return self._loop.call(asked())

    def ask(self, name: str, items: Sequence[Item], *, again: bool, within_s: float = math.inf) -> Answers:
        """Have one batch computed; `again`: it may be computed twice.  After `within_s` nobody waits for it.

        :raises DicemError: there are no answers, for none of them
        """
        if not self.up:
            self.wake()
        return self._loop.call(self._answered(name, items, again=again, within_s=within_s))

    async def _answered(self, name: str, items: Sequence[Item], *, again: bool, within_s: float) -> Answers:
        self.in_flight += 1
        try:
            ends_s = asyncio.get_running_loop().time() + min(self.patience.answer_s, within_s)
            return await self._whole_or_one_by_one(name, items, ends_s, again=again)
        finally:
            self.in_flight -= 1

    async def _whole_or_one_by_one(self, name: str, items: Sequence[Item], ends_s: float, *, again: bool) -> Answers:
        """Where every replica died that took the batch, one of its items may be why: each is tried once more, alone."""
        try:
            answers: Answers = await self._retried("run", (name, list(items)), ends_s, again=again)
            return answers
        except _Died:
            if len(items) == 1 or not again:
                raise
        alone = [await self._alone(name, item, ends_s) for item in items]
        return Answers(
            [outcome for one in alone for outcome in one.outcomes],
            [model for one in alone for model in one.models],
            sum(one.billed_s for one in alone),
            [note for one in alone for note in one.notes],
        )

    async def _alone(self, name: str, item: Item, ends_s: float) -> Answers:
        try:
            self.retries += 1
            answers: Answers = await self._retried("run", (name, [item]), ends_s, again=False)
            return answers
        except DicemError as error:
            return Answers([error], [None], 0.0, [])

    async def _retried(self, method: str, arguments: tuple[Any, ...], ends_s: float, *, again: bool) -> Any:
        left = self.patience.retries if again else 0
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._sent(method, arguments, ends_s)
            except self._lost as error:
                log.warning("a replica of %s is gone (%s)", self.name, type(error).__name__)
                if not left:
                    raise _Died(self.name, self.patience.retries if again else 0) from None
            left -= 1
            self.retries += 1
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _sent(self, method: str, arguments: tuple[Any, ...], ends_s: float) -> Any:
        """Send it once.

        :raises SiteUnavailable: no replica came up in time
        :raises CallTimeout: none answered in time
        """
        response = self._handle.options(method_name=method).remote(*arguments)
        try:
            async with asyncio.timeout_at(ends_s):
                return await response
        except TimeoutError:
            response.cancel()
            raise self._late() from None
        except self._lost:
            raise
        except Exception as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, DicemError):
                raise cause from None
            log.error("%s failed on Ray: %s", self.name, error)
            what = f"{self.name} failed ({type(cause).__name__})"
            raise FunctionError(what, todo="The cloud's log says more.") from None

    def _late(self) -> DicemError:
        if not self.up:
            return SiteUnavailable(f"no replica of {self.name} came up", got=self.trouble)
        return CallTimeout(f"{self.name} was not computed in time")


class _Died(FunctionError):
    def __init__(self, name: str, retries: int) -> None:
        tried = f"the same {retries + 1} times" if retries else ""
        super().__init__(f"the replica of {name} died while it computed", got=tried)


class RayFunction(Implementation):
    """See the module's text."""

    reentrant = True

    def __init__(self, spec: FunctionSpec, described: Described, remote: Remote) -> None:
        self.spec, self.model, self.remote = spec, described.model, remote
        self._wants_frame = described.wants_frame
        self._others: dict[int, tuple[weakref.ref[Work], ModelId]] = {}

    @property
    def at_once(self) -> int:
        """See `Implementation.at_once`: a batch to each replica."""
        return max(1, self.remote.up)

    @property
    def retries(self) -> int:
        """How often a batch was sent again because its replica had died, for all functions of the same replicas."""
        return self.remote.retries

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        packer = Packer(self._wants_frame)
        packed = [_packed(packer, work) for work in batch]
        items = [one for one in packed if isinstance(one, Item)]
        if not items:
            return list(packed)
        within_s = max(work.deadline_utc for work in batch) - time.time()
        answers = self.remote.ask(self.spec.name, items, again=self.spec.idempotent, within_s=within_s)
        bill(answers.billed_s)
        for note in answers.notes:
            log.error("%s failed\n%s", self.spec.name, note)
        outcomes = iter(zip(answers.outcomes, answers.models, strict=True))
        return [
            self._taken(work, next(outcomes)) if isinstance(one, Item) else one
            for work, one in zip(batch, packed, strict=True)
        ]

    def model_for(self, work: Work) -> ModelId:
        """See `Implementation.model_for`: known once the call has run."""
        _, model = self._others.get(id(work), (None, self.model))
        return model

    def _taken(self, work: Work, answer: tuple[Any, ModelId | None]) -> Any:
        outcome, model = answer
        if model is not None:
            number = id(work)
            gone = weakref.ref(work, lambda _: self._others.pop(number, None))
            self._others[number] = gone, model
        return outcome


def _packed(packer: Packer, work: Work) -> Item | Exception:
    try:
        return packer.pack(work)
    except Exception as error:
        return error
