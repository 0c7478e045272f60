"""BLIP-2 (Li et al., 2023) through transformers: the demo's tiny checkpoint and the full-size ones alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dicem_shared.errors import DicemError, InvalidCall, ModelError
from dicem_shared.images import Pixels

from ..functions_config import Blip2Config, NetworkConfig
from .network import Network, attempts, in_passes
from .torch_device import Devices

CLASSES = {"blip-2": "Blip2ForConditionalGeneration"}
PROMPT = "Question: {query} Answer:"


class TransformersBlip2(Network):
    """`Blip2ForConditionalGeneration` from a folder or a hub name, decoding greedily: the same question about the same
    image gets the same answer."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        prompt: str = PROMPT,
        max_new_tokens: int = 16,
        settings: NetworkConfig | None = None,
        devices: Devices | None = None,
    ) -> None:
        """Look at the checkpoint.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, or it is damaged or of another architecture
        """
        super().__init__("blip2", model, CLASSES, settings or NetworkConfig(device=device), devices)
        self._prompt, self._max_new_tokens = prompt, max_new_tokens
        self._decoder_only = not self.config.text_config.is_encoder_decoder
        if self.processor.num_query_tokens != self.config.num_query_tokens:
            raise ModelError(
                f"the processor of {self.folder} does not fit its network",
                expected=f"{self.config.num_query_tokens} query tokens",
                got=str(self.processor.num_query_tokens),
            )
        self._image_tokens = [self.config.image_token_index] * self.config.num_query_tokens

    @classmethod
    def configured(cls, config: Blip2Config, devices: Devices) -> TransformersBlip2:
        """As a config says."""
        return cls(
            config.model, prompt=config.prompt, max_new_tokens=config.max_new_tokens, settings=config, devices=devices
        )

    def answer(self, images: Sequence[Pixels], questions: Sequence[str]) -> list[str | DicemError]:
        """One answer for each image (H, W, 3; uint8 RGB) and its question, or why there is none: InvalidCall where the
        question is too long for the network.

        Questions of one length share a pass: then none is padded, and an answer does not depend on the company that it
        was asked in.

        :raises OutOfDeviceMemory: the device is too small for so many
        """
        prepared = attempts(self._prepare, images, questions)
        return in_passes(prepared, lambda one: len(one["input_ids"]), self._ask)

    def _prepare(self, image: Pixels, question: str) -> dict[str, Any]:
        (words,) = self.tokens([self._prompt.replace("{query}", question)])["input_ids"]
        self._check_length(len(self._image_tokens) + len(words))
        return {"input_ids": [*self._image_tokens, *words], **self.pixels(image)}

    def _ask(self, batch: list[dict[str, Any]]) -> list[str]:
        pixels = self.torch.stack([one["pixel_values"] for one in batch])
        asked = self.torch.tensor([one["input_ids"] for one in batch])
        with self.held(len(batch)) as network:
            tokens = network.generate(
                pixel_values=self.moved(pixels),
                input_ids=self.moved(asked),
                attention_mask=self.moved(self.torch.ones_like(asked)),
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                num_beams=1,
            ).cpu()
        if self._decoder_only:
            tokens = tokens[:, asked.shape[1] :]  # it repeats what it was asked
        with self._words:
            texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _check_length(self, tokens: int) -> None:
        """Position tables end somewhere; going past them fails deep inside, on a GPU for good."""
        limit = getattr(self.config.text_config, "max_position_embeddings", None)
        if limit is not None and tokens + self._max_new_tokens > limit:
            raise InvalidCall(
                "the question is too long for this network",
                expected=f"at most {limit - self._max_new_tokens} tokens, image and prompt included",
                got=f"{tokens} tokens",
            )
