"""Image-text matching through transformers: BLIP-ITM (Li et al., 2022), SigLIP (Zhai et al., 2023) and SigLIP 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicem_shared.errors import DicemError, InvalidCall, ModelError
from dicem_shared.images import Pixels

from ..functions_config import XvlmConfig
from .network import Network, attempts
from .torch_device import Devices

CLASSES = {"blip": "BlipForImageTextRetrieval", "siglip": "AutoModel", "siglip2": "AutoModel"}
THRESHOLD = {"blip": 0.5, "siglip": 0.1, "siglip2": 0.1}
"""score from which a text fits, where the config names none"""


@dataclass(frozen=True)
class _Asked:
    """One image and its texts, as the network reads them."""

    pixels: dict[str, Any]
    words: list[list[int]]


class TransformersXvlm(Network):
    """`BlipForImageTextRetrieval` with its matching head, or SigLIP, from a folder or a hub name."""

    def __init__(self, config: XvlmConfig, devices: Devices | None = None) -> None:
        """Look at the checkpoint.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, or it is damaged or of another architecture
        """
        super().__init__("xvlm", config.model, CLASSES, config, devices)
        self._max_pairs = config.max_pairs
        self._blip = self.architecture == "blip"
        self._longest = int(self.config.text_config.max_position_embeddings)
        self.threshold = THRESHOLD[self.architecture] if config.threshold is None else config.threshold
        if self._blip and "BlipForImageTextRetrieval" not in (self.config.architectures or []):
            raise ModelError(
                f"the checkpoint {self.folder} matches no texts",
                expected="BlipForImageTextRetrieval",
                got=", ".join(self.config.architectures or ["no class"]),
                todo="BLIP's checkpoints for this have `itm` in their name.",
            )

    def match(self, images: Sequence[Pixels], texts: Sequence[Sequence[str]]) -> list[list[float] | DicemError]:
        """For each image (H, W, 3; uint8 RGB), a score of 0 to 1 for each of its texts; or why there is none.

        A score does not depend on the other texts or images: it is a probability of its own, not a share.

        :raises OutOfDeviceMemory: the device is too small for so many
        """
        prepared = attempts(self._prepare, images, texts)
        good = [one for one in prepared if not isinstance(one, DicemError)]
        pairs = [(one, words) for one in good for words in one.words]
        scores: list[float] = []
        for first in range(0, len(pairs), self._max_pairs):
            scores += self._scores(pairs[first : first + self._max_pairs])
        left = iter(scores)
        return [one if isinstance(one, DicemError) else _checked([next(left) for _ in one.words]) for one in prepared]

    def _prepare(self, image: Pixels, texts: Sequence[str]) -> _Asked:
        words = self.tokens(texts)["input_ids"]
        longest = max(map(len, words))
        if longest > self._longest:
            raise InvalidCall(
                "the text is too long for this network",
                expected=f"at most {self._longest} tokens",
                got=f"{longest} tokens",
            )
        return _Asked(self.pixels(image), words)

    def _scores(self, pairs: list[tuple[_Asked, list[int]]]) -> list[float]:
        """One score a pair; an image that stands in several of them is looked at once."""
        different = {id(asked): asked for asked, _ in pairs}
        rows = {key: row for row, key in enumerate(different)}
        where = self.torch.tensor([rows[id(asked)] for asked, _ in pairs])
        pixels = {
            name: self.torch.stack([asked.pixels[name] for asked in different.values()])
            for name in next(iter(different.values())).pixels
        }
        words, mask = self._padded([words for _, words in pairs])
        with self.held(len(pairs)) as network:
            compute = self._by_blip if self._blip else self._by_siglip
            moved = {name: self.moved(one) for name, one in pixels.items()}
            return list(compute(network, moved, self.moved(where), self.moved(words), self.moved(mask)).tolist())

    def _padded(self, texts: list[list[int]]) -> tuple[Any, Any]:
        """Words and mask (pairs, length): BLIP's to the longest of them, SigLIP's to the length that it was taught.

        SigLIP's are filled on the side where its tokenizer does it: it reads what it was asked at the end.
        """
        filler = self.processor.tokenizer.pad_token_id or 0
        length = max(map(len, texts)) if self._blip else self._longest
        words, mask = self.torch.full((len(texts), length), filler), self.torch.zeros((len(texts), length)).long()
        from_left = self._blip or self.processor.tokenizer.padding_side == "right"
        for row, text in enumerate(texts):
            place = slice(0, len(text)) if from_left else slice(length - len(text), length)
            words[row, place], mask[row, place] = self.torch.tensor(text), 1
        return words, mask

    def _by_blip(self, network: Any, pixels: dict[str, Any], where: Any, words: Any, mask: Any) -> Any:
        """As `BlipForImageTextRetrieval.forward` with its matching head, but each image goes in once."""
        seen = network.vision_model(**pixels).last_hidden_state
        read = network.text_encoder(input_ids=words, attention_mask=mask, encoder_hidden_states=seen[where])
        return network.itm_head(read.last_hidden_state[:, 0, :]).float().softmax(dim=1)[:, 1].cpu()

    def _by_siglip(self, network: Any, pixels: dict[str, Any], where: Any, words: Any, mask: Any) -> Any:
        """As `SiglipModel.forward` for the pairs that were asked for; it reads words without a mask."""
        del mask
        seen = network.get_image_features(**pixels).pooler_output.float()
        read = network.get_text_features(input_ids=words).pooler_output.float()
        normalise = self.torch.nn.functional.normalize
        alike = (normalise(seen, dim=-1)[where] * normalise(read, dim=-1)).sum(dim=-1)
        return (alike * network.logit_scale.float().exp() + network.logit_bias.float()).sigmoid().cpu()


def _checked(scores: list[float]) -> list[float] | DicemError:
    if not all(map(math.isfinite, scores)):
        return ModelError("the matching network gives no score for this image", got=str(scores[0]))
    return [min(max(score, 0.0), 1.0) for score in scores]
