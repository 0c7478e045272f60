"""`blip2` and its alias `blip`: short answers to questions about an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from dicem_shared import catalog
from dicem_shared.errors import DicemError
from dicem_shared.functions import FunctionSpec
from dicem_shared.images import Pixels
from dicem_shared.implementations import Implementation, Work, together
from dicem_shared.types import ModelId


class Answers(Protocol):
    """A network that answers questions about images."""

    def answer(self, images: Sequence[Pixels], questions: Sequence[str]) -> Sequence[str | DicemError]:
        """One answer for each image and its question, or why there is none."""


class Blip2(Implementation):
    """Both names run on the same network; `spec` says under which of them this one is served."""

    def __init__(
        self,
        network: Answers,
        model: ModelId,
        *,
        spec: FunctionSpec = catalog.blip2,
        max_batch: int | None = None,
        reentrant: bool = False,
    ) -> None:
        self._network = network
        self.reentrant = reentrant
        self.model = model
        self.spec = spec if max_batch is None else replace(spec, batch=replace(spec.batch, max_size=max_batch))
        self._question, self._answer = ("question", "answer") if spec.name == "blip" else ("query", "output")

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return together(batch, self._ask)

    def _ask(self, batch: Sequence[Work]) -> list[Any]:
        images = [work.params["image"].pixels for work in batch]
        questions = [work.params[self._question] for work in batch]
        answers = self._network.answer(images, questions)
        return [one if isinstance(one, DicemError) else {self._answer: one} for one in answers]
