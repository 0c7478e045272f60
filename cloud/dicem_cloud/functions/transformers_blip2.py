"""BLIP-2 (Li et al., 2023) through transformers: the demo's tiny checkpoint and the full-size ones alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicem_shared.errors import InvalidCall, ModelError
from dicem_shared.images import Pixels

from ..config import Device
from .checkpoints import checkpoint_folder
from .torch_device import choose, load_weights, loading, torch_and_transformers


class TransformersBlip2:
    """`Blip2ForConditionalGeneration` from a folder or a hub name, decoding greedily: the same question about the same
    image gets the same answer."""

    def __init__(
        self,
        model: str,
        *,
        device: Device = "auto",
        threads: int = 1,
        prompt: str = "Question: {query} Answer:",
        max_new_tokens: int = 16,
    ) -> None:
        """Load the network.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, or it is damaged or of another architecture
        """
        self._torch, transformers = torch_and_transformers()
        self.folder = checkpoint_folder(model, "blip-2")
        self._device, self._dtype = choose(self._torch, device, threads)
        self._prompt, self._max_new_tokens = prompt, max_new_tokens
        with loading(self.folder):
            self._processor = transformers.AutoProcessor.from_pretrained(self.folder, local_files_only=True)
            self._network = load_weights(
                transformers.Blip2ForConditionalGeneration.from_pretrained, self.folder, self._dtype, self._device
            )
        self._config = self._network.config
        if self._processor.num_query_tokens != self._config.num_query_tokens:
            raise ModelError(
                f"the processor of {self.folder} does not fit its network",
                expected=f"{self._config.num_query_tokens} query tokens",
                got=str(self._processor.num_query_tokens),
            )

    def answer(self, images: Sequence[Pixels], questions: Sequence[str]) -> list[str]:
        """One answer for each image (H, W, 3; uint8 RGB) and its question.

        Images that share a question share a pass: then no question is padded, and an answer does not depend on the
        company it was asked in.

        :raises InvalidCall: a question is too long for the network
        """
        answers = [""] * len(questions)
        for question in dict.fromkeys(questions):
            where = [index for index, other in enumerate(questions) if other == question]
            for index, text in zip(where, self._ask([images[i] for i in where], question), strict=True):
                answers[index] = text
        return answers

    def _ask(self, images: Sequence[Pixels], question: str) -> list[str]:
        prompt = self._prompt.replace("{query}", question)
        inputs = self._processor(
            images=[np.ascontiguousarray(image) for image in images],
            text=[prompt] * len(images),
            input_data_format="channels_last",
            return_tensors="pt",
        )
        length = inputs["input_ids"].shape[1]
        self._check_length(length)
        with self._torch.inference_mode():
            tokens = self._network.generate(
                pixel_values=inputs["pixel_values"].to(self._device, self._dtype),
                input_ids=inputs["input_ids"].to(self._device),
                attention_mask=inputs["attention_mask"].to(self._device),
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                num_beams=1,
            )
        if not self._config.text_config.is_encoder_decoder:
            tokens = tokens[:, length:]  # a decoder repeats what it was asked
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]

    def _check_length(self, tokens: int) -> None:
        """Position tables end somewhere; going past them fails deep inside, on a GPU for good."""
        limit = getattr(self._config.text_config, "max_position_embeddings", None)
        if limit is not None and tokens + self._max_new_tokens > limit:
            raise InvalidCall(
                "the question is too long for this network",
                expected=f"at most {limit - self._max_new_tokens} tokens, image and prompt included",
                got=f"{tokens} tokens",
            )
