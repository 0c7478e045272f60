"""Train the demo BLIP-2: the real architecture, at a thousandth of its size, on crops of rendered objects."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from dicem_simulators.scenes.render import Truth
from dicem_simulators.training import onnx_files
from dicem_simulators.training.libraries import library
from dicem_simulators.training.questions import PROMPT, WORD, ask, split, words
from dicem_simulators.training.scenes import TrainingSet
from dicem_simulators.training.schedule import batches, set_rate

SIZE = 48
SMALLEST_PX = 16
"""Longer side of the objects that are asked about in the held-out scenes; training goes down to 12."""
QUERIES = 8
HIDDEN = 96
MEAN, STD = (0.42, 0.46, 0.46), (0.24, 0.22, 0.23)
SPECIAL = ("<pad>", "<unk>", "</s>", "<image>")
PAD, UNKNOWN, END, IMAGE = range(4)
SEED = 6
STEPS = 2400
BATCH = 64
RATE = 1.5e-3
VARIANTS = 3
"""Differently jittered crops of each training object."""

Log = Callable[[str], None]
Bytes = npt.NDArray[np.uint8]


def crop(rng: np.random.Generator, image: Bytes, truth: Truth, jitter: float) -> Bytes:
    """The object cut out as a detector would: each edge off by up to `jitter` of the box, re-encoded at quality 90."""
    high, wide = image.shape[:2]
    off = rng.uniform(-jitter, jitter, 4) * [truth.width, truth.height, truth.width, truth.height]
    left, top = max(0, math.floor(truth.x + off[0])), max(0, math.floor(truth.y + off[1]))
    right = min(wide, max(left + 4, math.ceil(truth.x + truth.width + off[2])))
    bottom = min(high, max(top + 4, math.ceil(truth.y + truth.height + off[3])))
    encoded = io.BytesIO()
    Image.fromarray(image[top:bottom, left:right]).save(encoded, "JPEG", quality=90)
    return np.asarray(Image.open(encoded).convert("RGB"))


def shrink(image: Bytes) -> Bytes:
    """As the image processor does: bicubic, to a square."""
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def training_crops(data: TrainingSet) -> tuple[Bytes, list[Truth]]:
    """(n, 48, 48, 3) and what they show."""
    rng = np.random.default_rng(SEED)
    crops: list[Bytes] = []
    shown: list[Truth] = []
    for path, truths in zip(data.images, data.truths, strict=True):
        seen = [t for t in truths if max(t.width, t.height) >= 12 and t.visible >= 0.5]
        image = np.asarray(Image.open(path)) if seen else None
        for truth in seen:
            assert image is not None
            for _ in range(VARIANTS):
                cut = crop(rng, image, truth, 0.15)
                if rng.uniform() < 0.25:
                    blur = ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0)))
                    cut = np.asarray(Image.fromarray(cut).filter(blur))
                crops.append(shrink(cut))
                shown.append(truth)
    return np.stack(crops), shown


def normalise(pixels: Bytes) -> npt.NDArray[np.float32]:
    """(n, 3, 48, 48) for the network."""
    scaled = (pixels.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def network() -> Any:
    """An untrained BLIP-2 of about 0.7 million parameters."""
    transformers, torch = library("transformers"), library("torch")
    vision = transformers.Blip2VisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=6,
        initializer_range=0.02,  # the default, 1e-10, is for checkpoints that are loaded
    )
    qformer = transformers.Blip2QFormerConfig(
        hidden_size=HIDDEN,
        encoder_hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        vocab_size=8,
        max_position_embeddings=16,
    )
    text = transformers.OPTConfig(
        vocab_size=len(SPECIAL) + len(words()),
        hidden_size=HIDDEN,
        word_embed_proj_dim=HIDDEN,
        ffn_dim=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=96,
        dropout=0.0,
        pad_token_id=PAD,
        bos_token_id=END,
        eos_token_id=END,
    )
    config = transformers.Blip2Config(
        vision_config=vision.to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=IMAGE,
        image_text_hidden_size=32,
    )
    made = transformers.Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(made.query_tokens, std=0.5)
    made.generation_config.eos_token_id = END
    made.generation_config.bos_token_id = END
    made.generation_config.pad_token_id = PAD
    return made


def vocabulary() -> dict[str, int]:
    """Tokens by word."""
    return {word: i for i, word in enumerate((*SPECIAL, *words()))}


def encode(vocab: dict[str, int], text: str) -> list[int]:
    """Tokens of `text`."""
    return [vocab.get(word, UNKNOWN) for word in split(text)]


def train(data: TrainingSet, log: Log, steps: int = STEPS) -> Any:
    """The trained network."""
    torch = library("torch")
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED + 1)
    crops, shown = training_crops(data)
    log(f"vqa: {len(crops)} crops")
    model = network()
    vocab = vocabulary()
    log(f"vqa: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters, {len(vocab)} words")
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    model.train()
    for step, picked in batches(rng, len(crops), BATCH, steps):
        set_rate(optimiser, RATE, step, steps)
        pixels = _vary(rng, crops[picked])
        asked = [ask(rng, shown[i]) for i in picked]
        tokens, targets = _texts(vocab, [(a.question, a.answer) for four in asked for a in four])
        features = model.get_image_features(torch.from_numpy(pixels), return_dict=True).pooler_output
        features = features.repeat_interleave(4, dim=0)
        texts = torch.from_numpy(tokens)
        embedded = torch.cat([features, model.get_input_embeddings()(texts)], dim=1)
        mask = torch.cat([torch.ones(features.shape[:2], dtype=torch.long), (texts != PAD).long()], dim=1)
        logits = model.language_model(inputs_embeds=embedded, attention_mask=mask).logits[:, QUERIES - 1 : -1]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=PAD, label_smoothing=0.02
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            log(f"vqa step {step}/{steps} loss {float(loss):.3f}")
    return model.eval()


def _vary(rng: np.random.Generator, crops: Bytes) -> npt.NDArray[np.float32]:
    """Mirror, brighten and tint a little."""
    flip = rng.uniform(size=len(crops)) < 0.5
    varied = np.where(flip[:, None, None, None], crops[:, :, ::-1], crops)
    gain = rng.uniform(0.88, 1.12, (len(crops), 1, 1, 1)) * rng.uniform(0.97, 1.03, (len(crops), 1, 1, 3))
    return normalise(np.clip(varied * gain, 0, 255).astype(np.uint8))


def _texts(vocab: dict[str, int], asked: Sequence[tuple[str, str]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Tokens (n, length) of prompts with answers, and what each position must say next; PAD where it does not matter.

    Targets stand one place before the token they name, and the place before the text is the last query's.
    """
    prompts = [encode(vocab, PROMPT.format(query=question)) for question, _ in asked]
    answers = [[*encode(vocab, answer), END] for _, answer in asked]
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    tokens = np.full((len(asked), longest), PAD, dtype=np.int64)
    targets = np.full((len(asked), longest), PAD, dtype=np.int64)
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        tokens[i, : len(prompt) + len(answer)] = prompt + answer
        targets[i, len(prompt) : len(prompt) + len(answer)] = answer
    return tokens, targets


def save(model: Any, folder: Path) -> None:
    """Write the checkpoint (half precision), tokenizer and processor for transformers, and the same for onnxruntime."""
    torch, transformers, tokenizers = library("torch"), library("transformers"), library("tokenizers")
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    vocab = vocabulary()
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<unk>"))
    raw.normalizer = tokenizers.normalizers.Lowercase()
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(r"\w+|[^\w\s]+"), behavior="removed", invert=True
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        bos_token="</s>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    pixels = transformers.BlipImageProcessor(
        size={"height": SIZE, "width": SIZE}, image_mean=list(MEAN), image_std=list(STD)
    )
    transformers.Blip2Processor(pixels, tokenizer, num_query_tokens=QUERIES).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocab, indent=0, ensure_ascii=False) + "\n")
    meta = {
        "size": SIZE,
        "mean": MEAN,
        "std": STD,
        "resample": "bicubic",
        "prompt": PROMPT,
        "split": WORD,
        "lowercase": True,
        "tokens": {"pad": PAD, "unknown": UNKNOWN, "end": END, "image": IMAGE},
        "max_new_tokens": 16,
        "max_text_tokens": 80,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    export(model, folder)


def export(model: Any, folder: Path) -> None:
    """`vision.onnx`: pixels (n, 3, 48, 48) to image features; `decoder.onnx`: those and tokens to the next logits."""
    torch = library("torch")
    model.config._attn_implementation = "eager"
    text = model.language_model.model.decoder

    def see(pixels: Any) -> Any:
        return model.get_image_features(pixels, return_dict=True).pooler_output

    def next_word(features: Any, tokens: Any) -> Any:
        embedded = torch.cat([features, text.embed_tokens(tokens)], dim=1)
        return model.language_model.lm_head(_decode(text, embedded)[:, -1])

    pixels = torch.zeros(2, 3, SIZE, SIZE)
    each = {0: "n"}
    onnx_files.write(
        model, see, {"pixels": pixels}, "features", folder / "vision.onnx", {"pixels": each, "features": each}
    )
    inputs = {"features": torch.zeros(2, QUERIES, HIDDEN), "tokens": torch.zeros(2, 9, dtype=torch.long)}
    free = {"features": each, "tokens": {0: "n", 1: "length"}, "logits": each}
    onnx_files.write(model, next_word, inputs, "logits", folder / "decoder.onnx", free)


def _decode(text: Any, embedded: Any) -> Any:
    """OPT's decoder without cache or padding, written out so that it can be exported at any length."""
    torch = library("torch")
    length = embedded.shape[1]
    places = torch.arange(length, device=embedded.device) + text.embed_positions.offset
    hidden = embedded + text.embed_positions.weight[places]
    ahead = torch.ones(length, length).triu(1) * -1e9
    for layer in text.layers:
        attention = layer.self_attn
        normal = layer.self_attn_layer_norm(hidden)
        heads, size = attention.num_heads, attention.head_dim
        shape = (hidden.shape[0], length, heads, size)
        q, k, v = (
            p(normal).view(shape).transpose(1, 2) for p in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        weights = (q @ k.transpose(-1, -2) * size**-0.5 + ahead).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(hidden.shape)
        hidden = hidden + attention.out_proj(mixed)
        hidden = hidden + layer.fc2(torch.relu(layer.fc1(layer.final_layer_norm(hidden))))
    return text.final_layer_norm(hidden)


def heldout_crops(pictures: Iterable[tuple[Bytes, list[Truth]]]) -> list[tuple[Bytes, Truth]]:
    """Crops of the held-out objects that are big enough to be asked about, with a detector's small errors."""
    rng = np.random.default_rng(SEED + 2)
    return [
        (crop(rng, image, truth, 0.08), truth)
        for image, truths in pictures
        for truth in truths
        if max(truth.width, truth.height) >= SMALLEST_PX and truth.visible >= 0.5
    ]
