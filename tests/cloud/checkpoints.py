"""Tiny checkpoints with random weights, of the true architectures: what `from_pretrained` reads, without its weight.

    build_accident_checkpoints(folder)      # what configs/programs/accident.py asks: glip, blip2 (blip) and xvlm

Needs the extra [transformers].  The same folder holds the same numbers each time: the seed is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "question", ":", "answer", "what", "is", "it", "?", "plastic", "metal"]
MORE_WORDS = ["the", "color", "model", "of", "car", "damaged", "overturned", "a", "photo", "red", "blue", "boat", "."]
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

QUERY_TOKENS = 4
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VOCABULARY = 40


def tokenizer(words: Sequence[str] = (*WORDS, *MORE_WORDS), *, ends: bool = False, numbers: Any = None) -> Any:
    """Whole words, in lower case; with `ends`, between <s> and </s>."""
    known = numbers or {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", known["<s>"]), ("</s>", known["</s>"])]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def save_blip2(folder: Path, *, decoder: bool = True) -> None:
    """`Blip2ForConditionalGeneration` with OPT, or T5, that reads 40 tokens."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text = (
        transformers.OPTConfig(
            vocab_size=VOCABULARY, hidden_size=16, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=40, word_embed_proj_dim=16, **ids,
        )
        if decoder
        else transformers.T5Config(
            vocab_size=VOCABULARY, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0,
            **ids,
        )
    )  # fmt: skip
    words = tokenizer()
    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(**SMALL, image_size=32, patch_size=16, initializer_range=0.02),
        qformer_config=transformers.Blip2QFormerConfig(**SMALL, encoder_hidden_size=16, vocab_size=32),
        text_config=text,
        num_query_tokens=QUERY_TOKENS,
        image_token_index=len(words),
    )
    network = transformers.Blip2ForConditionalGeneration(config)
    _stir(network, 0.5)
    network.query_tokens.data.normal_()
    network.save_pretrained(folder)
    pixels = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.Blip2Processor(pixels, words, num_query_tokens=QUERY_TOKENS).save_pretrained(folder)


def save_depth(folder: Path, *, kind: str = "metric") -> None:
    """`DepthAnythingForDepthEstimation`, up to 80 m."""
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=80,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    transformers.DPTImageProcessor(size=size, ensure_multiple_of=14, keep_aspect_ratio=True).save_pretrained(folder)


def save_grounding_dino(folder: Path) -> None:
    """`GroundingDinoForObjectDetection` with 12 queries; its words have the numbers that the network knows by heart."""
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_indices=[2, 3, 4],
    )  # fmt: skip
    text = transformers.BertConfig(vocab_size=1100, max_position_embeddings=64, **SMALL)
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, num_queries=12, d_model=32, max_text_len=64,
        encoder_layers=1, encoder_ffn_dim=32, encoder_attention_heads=2, encoder_n_points=2,
        decoder_layers=2, decoder_ffn_dim=32, decoder_attention_heads=2, decoder_n_points=2,
    )  # fmt: skip
    network = transformers.GroundingDinoForObjectDetection(config)
    _stir(network)
    network.save_pretrained(folder)
    numbers = {"<pad>": 0, "<unk>": 100, "<s>": 101, "</s>": 102, ".": 1012, "?": 1029}
    left = [word for word in (*WORDS, *MORE_WORDS) if word not in numbers]
    numbers |= {word: 200 + number for number, word in enumerate(left)}
    size = {"shortest_edge": 64, "longest_edge": 96}
    pixels = transformers.GroundingDinoImageProcessor(size=size)
    transformers.GroundingDinoProcessor(pixels, tokenizer(ends=True, numbers=numbers)).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    """`Owlv2ForObjectDetection` with 16 boxes, that reads 16 tokens."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.Owlv2Config(
        text_config={**SMALL, "vocab_size": VOCABULARY, "max_position_embeddings": 16, **ids},
        vision_config={**SMALL, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    network = transformers.Owlv2ForObjectDetection(config)
    _stir(network)
    network.save_pretrained(folder)
    pixels = transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64})
    words = tokenizer(ends=True)
    words.model_max_length = 16
    transformers.Owlv2Processor(pixels, words).save_pretrained(folder)


def save_blip_itm(folder: Path) -> None:
    """`BlipForImageTextRetrieval`, that reads 32 tokens."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    config = transformers.BlipConfig(
        text_config={
            **SMALL, "vocab_size": VOCABULARY, "max_position_embeddings": 32, "encoder_hidden_size": 16, **ids,
        },
        vision_config={**SMALL, "image_size": 32, "patch_size": 16},
        image_text_hidden_size=16,
    )  # fmt: skip
    network = transformers.BlipForImageTextRetrieval(config)
    _stir(network)
    network.save_pretrained(folder)
    pixels = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(pixels, tokenizer(ends=True)).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """`SiglipModel`, that reads 16 tokens."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.SiglipConfig(
        text_config={**SMALL, "vocab_size": VOCABULARY, "max_position_embeddings": 16, **ids},
        vision_config={**SMALL, "image_size": 32, "patch_size": 16},
    )
    network = transformers.SiglipModel(config)
    _stir(network)
    network.save_pretrained(folder)
    pixels = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    transformers.SiglipProcessor(pixels, tokenizer(ends=True)).save_pretrained(folder)


def save_siglip2(folder: Path) -> None:
    """`Siglip2Model`, that looks at 16 patches of an image of any shape and reads 32 letters."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.Siglip2Config(
        text_config={**SMALL, "vocab_size": VOCABULARY, "max_position_embeddings": 32, **ids},
        vision_config={**SMALL, "num_patches": 16, "patch_size": 8},
    )
    network = transformers.Siglip2Model(config)
    _stir(network)
    network.save_pretrained(folder)
    pixels = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    words = transformers.Siglip2Tokenizer(vocab={letter: number for number, letter in enumerate(letters)}, merges=[])
    transformers.Siglip2Processor(pixels, words).save_pretrained(folder)


def _stir(network: Any, width: float = 0.25) -> None:
    """Weights that are not near zero: so that what is seen depends on what there is to see."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0.0, width)


def build_accident_checkpoints(folder: Path) -> dict[str, dict[str, Any]]:
    """Checkpoints for configs/programs/accident.py under `folder`, and the `functions` of a cloud's config that serves
    them on the CPU: some boxes are found, and not all alike."""
    for name, save in (("glip", save_grounding_dino), ("blip2", save_blip2), ("xvlm", save_blip_itm)):
        save(folder / name)
    on_cpu = {"device": "cpu"}
    return {
        "glip": {"model": str(folder / "glip"), "score": 0.05, "max_objects": 4, "iou": 0.9, **on_cpu},
        "blip2": {
            "backend": "transformers", "model": str(folder / "blip2"), "max_new_tokens": 4, "prompt": "{query}",
            **on_cpu,
        },
        "xvlm": {"model": str(folder / "xvlm"), "threshold": 0.09, "prompt": "{text}", **on_cpu},
    }  # fmt: skip


def noise(height: int, width: int, seed: int = 0) -> Any:
    """An image (height, width, 3; uint8 RGB) with nothing in it."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
