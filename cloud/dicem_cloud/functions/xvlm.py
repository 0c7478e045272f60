"""`xvlm`: how well texts fit an image; whether a thing has a property, and which of some options describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from dicem_shared import catalog
from dicem_shared.errors import DicemError
from dicem_shared.images import Pixels
from dicem_shared.implementations import Implementation, Work, together
from dicem_shared.types import ModelId


class MatchesTexts(Protocol):
    """A network that says how well texts fit an image."""

    def match(self, images: Sequence[Pixels], texts: Sequence[Sequence[str]]) -> Sequence[Sequence[float] | DicemError]:
        """For each image, a score of 0 to 1 for each of its texts; or why there is none."""


class Xvlm(Implementation):
    """Scores of one image can be compared with each other, and with those of another image for the same text.

    :param threshold: score from which a property is there
    :param prompt: what the network reads, with {text} in it
    """

    reentrant = True

    def __init__(
        self,
        network: MatchesTexts,
        model: ModelId,
        *,
        threshold: float,
        prompt: str = "{text}",
        max_batch: int | None = None,
    ) -> None:
        self._network = network
        self.model = model
        self._threshold, self._prompt = threshold, prompt
        spec = catalog.xvlm
        self.spec = spec if max_batch is None else replace(spec, batch=replace(spec.batch, max_size=max_batch))

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return together(batch, self._match)

    def _match(self, batch: Sequence[Work]) -> list[Any]:
        images = [work.params["image"].pixels for work in batch]
        matched = self._network.match(images, [self._texts(work) for work in batch])
        return [
            scores if isinstance(scores, DicemError) else self._result(list(scores), bool(work.params.get("options")))
            for scores, work in zip(matched, batch, strict=True)
        ]

    def _texts(self, work: Work) -> list[str]:
        """What the network is to hold against the image: the object with its property, or with each option."""
        thing, options = work.params["object_name"].strip(), work.params.get("options")
        if options:
            phrases = [f"{thing} {option.strip()}" for option in options]
        else:
            phrases = [f"{work.params.get('property', '').strip()} {thing}"]
        return [self._prompt.replace("{text}", phrase.strip()) for phrase in phrases]

    def _result(self, scores: list[float], asked_for_each: bool) -> dict[str, Any]:
        best = max(scores)
        return {"result": best >= self._threshold, "score": best, "scores": scores if asked_for_each else []}
