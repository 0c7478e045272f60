"""Objects found by words: Grounding DINO (Liu et al., 2023) and OWLv2 (Minderer et al., 2023) through transformers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from dicem_shared.detector.nms import best_first, suppress
from dicem_shared.errors import DicemError, InvalidCall
from dicem_shared.images import Pixels

from ..functions_config import GlipConfig
from .glip import Finding, whole_pixels
from .network import Network, attempts, in_passes
from .torch_device import Devices

AUTO = "AutoModelForZeroShotObjectDetection"
CLASSES = {"grounding-dino": AUTO, "owlv2": AUTO}
GPU_DTYPE = {"grounding-dino": "float32"}
"""half a precision moves its boxes by a pixel and more"""


@dataclass(frozen=True)
class _Asked:
    """One image and the words for it, as the network reads them."""

    pixels: Any
    """(3, height, width) of the network"""
    words: list[int]
    size: tuple[int, int]
    """height and width of the image"""


class TransformersGlip(Network):
    """`AutoModelForZeroShotObjectDetection` from a folder or a hub name."""

    def __init__(self, config: GlipConfig, devices: Devices | None = None) -> None:
        """Look at the checkpoint.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, or it is damaged or of another architecture
        """
        super().__init__("glip", config.model, CLASSES, config, devices, gpu_dtype=GPU_DTYPE)
        self._settings = config
        self._grounds = self.architecture == "grounding-dino"
        text = self.config.text_config
        self._longest = int(text.max_position_embeddings)
        if self._grounds:
            self._longest = min(self._longest, int(self.config.max_text_len))

    def find(self, images: Sequence[Pixels], names: Sequence[str]) -> list[list[Finding] | DicemError]:
        """For each image (H, W, 3; uint8 RGB), the boxes of what its words name, best first; or why there are none.

        What is of one size and one length shares a pass: then nothing is padded, and what is found does not depend on
        the company.

        :raises OutOfDeviceMemory: the device is too small for so many
        """
        return in_passes(attempts(self._prepare, images, names), _alike, self._look)

    def _prepare(self, image: Pixels, name: str) -> _Asked:
        text = self._settings.prompt.replace("{object}", name.strip())
        if self._grounds:
            text = text.lower().rstrip(". ") + "."  # as it was taught
        (words,) = self.tokens([text])["input_ids"]
        if len(words) > self._longest:
            raise InvalidCall(
                "the name of the object is too long for this network",
                expected=f"at most {self._longest} tokens",
                got=f"{len(words)} tokens",
            )
        return _Asked(self.pixels(image)["pixel_values"], words, (image.shape[0], image.shape[1]))

    def _look(self, batch: list[_Asked]) -> list[list[Finding]]:
        pixels = self.torch.stack([one.pixels for one in batch])
        words = self.torch.tensor([one.words for one in batch])
        inputs = {"input_ids": words, "attention_mask": self.torch.ones_like(words)}
        if self._grounds:
            inputs["token_type_ids"] = self.torch.zeros_like(words)
        else:
            inputs = self._padded(inputs)
        with self.held(len(batch)) as network:
            seen = network(
                pixel_values=self.moved(pixels), **{name: self.moved(one) for name, one in inputs.items()}
            )  # fmt: skip
            raw = SimpleNamespace(logits=seen.logits.float().cpu(), pred_boxes=seen.pred_boxes.float().cpu())
        return [self._findings(*found) for found in zip(self._boxes(raw, words, batch), batch, strict=True)]

    def _padded(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """OWLv2 was taught with words of one length."""
        room = (0, self._longest - inputs["input_ids"].shape[1])
        pad = self.torch.nn.functional.pad
        filler = self.processor.tokenizer.pad_token_id or 0
        return {
            "input_ids": pad(inputs["input_ids"], room, value=filler),
            "attention_mask": pad(inputs["attention_mask"], room, value=0),
        }

    def _boxes(self, raw: Any, words: Any, batch: list[_Asked]) -> list[Any]:
        """Scores and boxes in pixels, by the processor's own rules."""
        finish = self.processor.post_process_grounded_object_detection
        sizes = self.torch.tensor([one.size for one in batch])
        how = {"threshold": self._settings.score, "target_sizes": sizes}
        with self._words:
            if self._grounds:
                return list(finish(raw, input_ids=words, text_threshold=1.0, **how))
            return list(finish(raw, **how))

    def _findings(self, found: Any, asked: _Asked) -> list[Finding]:
        height, width = asked.size
        scores = found["scores"].numpy()
        order = best_first(scores, len(scores))
        boxes = (whole_pixels(found["boxes"][one].tolist(), width, height) for one in order)
        there = [
            Finding(min(max(float(scores[one]), 0.0), 1.0), box)
            for one, box in zip(order, boxes, strict=True)
            if box is not None  # what lies in the padding takes nobody's place
        ]
        corners = [(x, y, x + wide, y + high) for x, y, wide, high in (one.box for one in there)]
        floats = np.array(corners, dtype=np.float32).reshape(-1, 4)
        return [there[one] for one in suppress(floats, None, self._settings.iou, self._settings.max_objects)]


def _alike(one: _Asked) -> Hashable:
    return tuple(np.shape(one.pixels)), len(one.words)
