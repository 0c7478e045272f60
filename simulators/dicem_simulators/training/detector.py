"""Train the demo detector: a YOLO11 of half a million parameters, with ultralytics' network and loss.

The loop is our own: rectangular pictures held in memory, so that two CPU cores spend their time on convolutions.
Ultralytics stamps its licence into what it exports: the weights are AGPL-3.0.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from dicem_simulators.scenes.objects import KINDS
from dicem_simulators.scenes.render import Truth
from dicem_simulators.training.cards import NOTICE
from dicem_simulators.training.libraries import library, ultralytics
from dicem_simulators.training.scenes import TrainingSet

WIDTH, HEIGHT = 416, 320
"""Of the network's input; a 640x480 frame fills 416x312 of it."""
SEED = 5
STEPS = 2400
BATCH = 16
RATE = 2e-3
SMALLEST_PX = 5
"""Objects whose longer side is shorter are not taught."""

Log = Callable[[str], None]


def network_yaml() -> dict[str, Any]:
    """YOLO11 at an eighth of its width, and no more than 64 channels."""
    text = (Path(ultralytics().__file__).parent / "cfg" / "models" / "11" / "yolo11.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text)
    return config | {"nc": len(KINDS), "scales": {"n": [0.5, 0.125, 512]}, "scale": "n"}


def boxes_of(truths: list[Truth]) -> npt.NDArray[np.float32]:
    """(n, 5): class, centre x, centre y, width, height in frame pixels, of what can be learned."""
    rows = [
        (KINDS.index(t.kind), t.x + t.width / 2, t.y + t.height / 2, t.width, t.height)
        for t in truths
        if max(t.width, t.height) >= SMALLEST_PX and t.visible >= 0.25
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def sample(
    rng: np.random.Generator, image: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """One picture as the network sees it (320, 416, 3), cut, mirrored and tinted at random, and its boxes in pixels."""
    high, wide = image.shape[:2]
    share = 1.0 if rng.uniform() < 0.5 else float(rng.uniform(0.6, 1.0))
    cut_w, cut_h = round(wide * share), round(high * share)
    x0, y0 = int(rng.integers(wide - cut_w + 1)), int(rng.integers(high - cut_h + 1))
    cut = Image.fromarray(image[y0 : y0 + cut_h, x0 : x0 + cut_w])
    seen = np.asarray(cut.resize((WIDTH, 312), Image.Resampling.BILINEAR, reducing_gap=1.0))
    ratio = np.array([WIDTH / cut_w, 312 / cut_h] * 2, dtype=np.float32)
    corners = np.concatenate([boxes[:, 1:3] - boxes[:, 3:] / 2, boxes[:, 1:3] + boxes[:, 3:] / 2], axis=1)
    corners = (corners - np.array([x0, y0, x0, y0], dtype=np.float32)) * ratio
    inside = np.clip(corners, 0, np.array([WIDTH, 312] * 2, dtype=np.float32))
    size, whole = inside[:, 2:] - inside[:, :2], corners[:, 2:] - corners[:, :2]
    keep = (size.prod(axis=1) > 0.3 * whole.prod(axis=1)) & (size.min(axis=1) > 1)
    inside = inside[keep]
    if rng.uniform() < 0.5:
        seen, inside = seen[:, ::-1], inside[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [WIDTH, 0, WIDTH, 0]
    tint = rng.uniform(0.82, 1.18) * rng.uniform(0.94, 1.06, 3)
    canvas = np.full((HEIGHT, WIDTH, 3), 114, dtype=np.uint8)
    canvas[4:316] = np.clip(seen * tint, 0, 255)
    inside[:, [1, 3]] += 4
    found = np.concatenate(
        [boxes[keep, :1], (inside[:, :2] + inside[:, 2:]) / 2, inside[:, 2:] - inside[:, :2]], axis=1
    )
    return canvas, found.astype(np.float32)


def train(data: TrainingSet, log: Log, steps: int = STEPS, checkpoint: Path | None = None) -> Any:
    """The trained network (an average over its last steps), for `export`; its state goes to `checkpoint` meanwhile."""
    torch = library("torch")
    tasks = ultralytics("nn.tasks")
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    images = [np.asarray(Image.open(path)) for path in data.images]
    boxes = [boxes_of(truths) for truths in data.truths]
    network = tasks.DetectionModel(network_yaml(), ch=3, nc=len(KINDS), verbose=False)
    network.args = ultralytics("cfg").get_cfg()
    network.names = dict(enumerate(KINDS))
    average = deepcopy(network).eval()
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    order: list[int] = []
    network.train()
    for step in range(steps):
        warm = min(1.0, (step + 1) / 100)
        rate = RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        if len(order) < BATCH:
            order = [int(i) for i in rng.permutation(len(images))]
        picked, order = order[:BATCH], order[BATCH:]
        pictures, found = zip(*(sample(rng, images[i], boxes[i]) for i in picked), strict=True)
        labels = np.concatenate([np.insert(f, 0, k, axis=1) for k, f in enumerate(found)])
        batch = {
            "img": torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).float() / 255,
            "batch_idx": torch.from_numpy(labels[:, 0]),
            "cls": torch.from_numpy(labels[:, 1:2]),
            "bboxes": torch.from_numpy(labels[:, 2:] / [WIDTH, HEIGHT, WIDTH, HEIGHT]).float(),
        }
        losses, parts = network.loss(batch)
        optimiser.zero_grad()
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        _follow(average, network, min(0.998, step / (step + 60)))
        if step % 50 == 0:
            shown = {k: round(float(v), 3) for k, v in parts.items()}
            log(f"detector step {step}/{steps} {shown}")
        if checkpoint and step % 300 == 299:
            torch.save(average.state_dict(), checkpoint)
    return average


def _follow(average: Any, network: Any, keep: float) -> None:
    """Move the average a little toward the network."""
    state = network.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.mul_(keep).add_(state[name].detach(), alpha=1 - keep)


def export(network: Any, path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write `network` as ONNX in ultralytics' layout (1, 4 + classes, N), with metadata; `size` is (height, width)."""
    torch = library("torch")
    folder = path.parent / "export"
    folder.mkdir(parents=True, exist_ok=True)
    network = deepcopy(network).eval()
    network.task, network.pt_path = "detect", str(folder / "model.pt")
    torch.save({"model": network, "train_args": {"task": "detect", "imgsz": list(size)}}, folder / "model.pt")
    model = ultralytics().YOLO(str(folder / "model.pt"), task="detect")
    written = model.export(format="onnx", imgsz=list(size), simplify=True, opset=17, dynamic=False, verbose=False)
    onnx = library("onnx")
    exported = onnx.load(str(written))
    kept = {entry.key: entry.value for entry in exported.metadata_props if entry.key != "date"}
    onnx.helper.set_model_props(exported, kept | {"description": f"dicem demo detector: {NOTICE}"})
    onnx.save(exported, str(path))
    shutil.rmtree(folder)
