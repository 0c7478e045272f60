"""BLIP-2 (Li et al., 2023) through onnxruntime: the demo's tiny checkpoint, without PyTorch or transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dicem_shared.errors import InvalidCall, ModelError
from dicem_shared.images import Pixels

from .checkpoints import read_object
from .onnx_folder import Floats, Preprocess, open_network, setting

Tokens = npt.NDArray[np.int64]


class OnnxBlip2:
    """`vision.onnx` (pixels to image features) and `decoder.onnx` (features and words to the next word), with the words
    in `vocab.json`.  Decodes greedily: the same question about the same image gets the same answer."""

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        """Load the network.

        :raises ModelError: a file is missing or damaged
        """
        folder = Path(folder)
        meta = read_object(folder / "meta.json")
        self._vocab = {str(word): int(token) for word, token in read_object(folder / "vocab.json").items()}
        self._words = {token: word for word, token in self._vocab.items()}
        self._prompt = str(setting(meta, folder, "prompt"))
        self._split = re.compile(str(setting(meta, folder, "split")))
        self._longest, self._max_new = (int(setting(meta, folder, k)) for k in ("max_text_tokens", "max_new_tokens"))
        tokens = setting(meta, folder, "tokens")
        self._end, self._unknown = int(tokens["end"]), int(tokens["unknown"])
        self._silent = {int(token) for token in tokens.values()}
        size = int(setting(meta, folder, "size"))
        self._see = Preprocess(size, size, meta, folder)
        self._vision = open_network(folder / "vision.onnx", threads)
        self._decoder = open_network(folder / "decoder.onnx", threads)

    def answer(self, images: Sequence[Pixels], questions: Sequence[str]) -> list[str]:
        """One answer for each image (H, W, 3; uint8 RGB) and its question.

        An image that is asked several questions is looked at once.  Images that share a question share a pass.

        :raises InvalidCall: a question is too long for the network
        :raises ModelError: the network fails
        """
        prompts = {question: self._encode(question) for question in dict.fromkeys(questions)}
        if not prompts:
            return []
        different = {id(image): image for image in images}
        rows = {key: row for row, key in enumerate(different)}
        pixels = np.stack([self._see(image) for image in different.values()])
        features: Floats = self._run(self._vision, {"pixels": pixels})
        answers = [""] * len(questions)
        for question, prompt in prompts.items():
            where = [index for index, other in enumerate(questions) if other == question]
            seen = features[[rows[id(images[index])] for index in where]]
            for index, text in zip(where, self._decode(seen, prompt), strict=True):
                answers[index] = text
        return answers

    def _encode(self, question: str) -> list[int]:
        words = self._split.findall(self._prompt.replace("{query}", question).lower())
        if len(words) > self._longest:
            raise InvalidCall(
                "the question is too long for this network",
                expected=f"at most {self._longest} words, prompt included",
                got=f"{len(words)} words",
            )
        return [self._vocab.get(word, self._unknown) for word in words]

    def _decode(self, features: Floats, prompt: list[int]) -> list[str]:
        """The likeliest word again and again, until each answer has ended."""
        tokens: Tokens = np.tile(np.array(prompt, dtype=np.int64), (len(features), 1))
        ended = np.zeros(len(features), dtype=bool)
        said: list[list[str]] = [[] for _ in features]
        for _ in range(self._max_new):
            logits = self._run(self._decoder, {"features": features, "tokens": tokens})
            best = np.where(ended, self._end, logits.argmax(axis=1))
            for row, token in enumerate(best.tolist()):
                if token not in self._silent:
                    said[row].append(self._words.get(token, ""))
            ended |= best == self._end
            if ended.all():
                break
            tokens = np.concatenate([tokens, best[:, None]], axis=1)
        return [" ".join(words) for words in said]

    def _run(self, network: object, inputs: dict[str, npt.NDArray[np.float32] | Tokens]) -> Floats:
        try:
            (output,) = network.run(None, inputs)  # type: ignore[attr-defined]
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise ModelError("the BLIP-2 network fails on this image", got=str(error).splitlines()[0][:160]) from error
        return np.asarray(output, dtype=np.float32)
