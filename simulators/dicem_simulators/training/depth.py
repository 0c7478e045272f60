"""Train the demo depth network: Depth Anything's architecture, very small, giving metres over the water."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dicem_simulators.training import onnx_files
from dicem_simulators.training.libraries import library
from dicem_simulators.training.scenes import DEPTH_SIZE, TrainingSet
from dicem_simulators.training.schedule import batches, set_rate

WIDTH, HEIGHT = DEPTH_SIZE
MAX_M = 80.0
"""What the sky, and all that is farther off, counts as."""
MEAN, STD = (0.45, 0.50, 0.52), (0.25, 0.23, 0.23)
HIDDEN = 64
SEED = 9
STEPS = 1200
BATCH = 16
RATE = 1.5e-3

Log = Callable[[str], None]


def network() -> Any:
    """An untrained network of about a quarter of a million parameters."""
    transformers = library("transformers")
    backbone = transformers.Dinov2Config(
        hidden_size=HIDDEN,
        num_hidden_layers=4,
        num_attention_heads=4,
        mlp_ratio=2,
        image_size=WIDTH,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        apply_layernorm=True,
        reshape_hidden_states=False,
        use_mask_token=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=HIDDEN,
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_sizes=[16, 24, 32, 48],
        fusion_hidden_size=24,
        head_hidden_size=16,
        depth_estimation_type="metric",
        max_depth=int(MAX_M),
    )
    return transformers.DepthAnythingForDepthEstimation(config)


def shrink(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """As the image processor does: bicubic, to 224x168."""
    return np.asarray(Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def normalise(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(n, 3, 168, 224) for the network."""
    scaled = (pixels.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def train(data: TrainingSet, log: Log, steps: int = STEPS) -> Any:
    """The trained network.  The loss is the error of the distance's logarithm, so that near and far count alike."""
    torch = library("torch")
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    pictures = np.stack([shrink(np.asarray(Image.open(path))) for path in data.images])
    model = network()
    log(f"depth: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters")
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.02)
    model.train()
    for step, picked in batches(rng, len(pictures), BATCH, steps):
        set_rate(optimiser, RATE, step, steps)
        seen, metres = pictures[picked], np.minimum(data.distances[picked].astype(np.float32), MAX_M)
        flip = rng.uniform(size=BATCH) < 0.5
        seen = np.where(flip[:, None, None, None], seen[:, :, ::-1], seen)
        metres = np.where(flip[:, None, None], metres[:, :, ::-1], metres)
        gain = rng.uniform(0.85, 1.15, (BATCH, 1, 1, 1)) * rng.uniform(0.95, 1.05, (BATCH, 1, 1, 3))
        pixels = torch.from_numpy(normalise(np.clip(seen * gain, 0, 255).astype(np.uint8)))
        truth = torch.from_numpy(np.ascontiguousarray(metres))
        error = (model(pixel_values=pixels).predicted_depth.clamp_min(0.1).log() - truth.log()).abs()
        weight = (truth / 5).sqrt() * (truth < MAX_M) + 0.1  # far rows are few
        loss = (error * weight).sum() / weight.sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            log(f"depth step {step}/{steps} loss {float(loss):.4f}")
    return model.eval()


def save(model: Any, folder: Path) -> None:
    """Write the checkpoint (half precision) and processor for transformers, and `model.onnx` with `meta.json`."""
    torch, transformers = library("torch"), library("transformers")
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    kind = transformers.DepthAnythingForDepthEstimation
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    processor = transformers.DPTImageProcessor(
        size={"height": HEIGHT, "width": WIDTH},
        resample=Image.Resampling.BICUBIC,
        image_mean=list(MEAN),
        image_std=list(STD),
        keep_aspect_ratio=False,
        ensure_multiple_of=14,
    )
    processor.save_pretrained(folder)
    meta = {
        "width": WIDTH,
        "height": HEIGHT,
        "mean": MEAN,
        "std": STD,
        "resample": "bicubic",
        "max_m": MAX_M,
        "reads": "horizontal metres from below the camera; for an object, at the foot of its box",
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")

    def metres(pixels: Any) -> Any:
        return model(pixel_values=pixels).predicted_depth

    onnx_files.write(model, metres, {"pixels": torch.zeros(1, 3, HEIGHT, WIDTH)}, "metres", folder / "model.onnx")
