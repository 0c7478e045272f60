"""The cards that lie beside the bundled models."""

from __future__ import annotations

from pathlib import Path

NOTICE = "trained on rendered scenes; for demonstration and tests, not for the field"

_CARDS = {
    "yolov8": """# Demo detector

A YOLO11 of about half a million parameters (an eighth of the usual width, at most 64 channels), 416x320, nine classes:
{kinds}.

It was *{notice}*.

- `model.onnx`: ultralytics' usual layout (1, 4 + classes, N), with names, stride and input size in the metadata.
- `metrics.json`: held-out scenes; their seed and difficulty were frozen before training. Size is the square root of the
  box's area in pixels of a 640x480 frame.
- Made by `make train` (`dicem_simulators.training.detector`).

**Licence: AGPL-3.0.** The network and its trainer are ultralytics' (https://ultralytics.com/license), which stamps
its licence into what it exports. The rest of dicem is Apache-2.0. Any other ONNX detector in the same layout, or
YOLOX's, can take its place.
""",
    "blip2": """# Demo BLIP-2

`Blip2ForConditionalGeneration` (Li et al., 2023) with 0.7 million parameters, for crops of 48x48 pixels: the very
classes of the full-size checkpoints, at a thousandth of their size. It names an object, its material and its colour,
and says yes or no to guesses about them; it knows about seventy words and nothing else.

It was *{notice}*.

- `model.safetensors` (half precision), `config.json`, tokenizer and processor: for transformers.
- `vision.onnx`, `decoder.onnx`, `vocab.json`, `meta.json`: the same network for onnxruntime, decoded greedily.
- `metrics.json`: crops cut from whole held-out scenes, with a detector's small errors, re-encoded as JPEG.
- Made by `make train` (`dicem_simulators.training.vqa`). Licence: Apache-2.0.
""",
    "depth": """# Demo metric depth

`DepthAnythingForDepthEstimation` (Yang et al., 2024), metric, with a third of a million parameters, for pictures of
224x168 pixels. It gives horizontal metres from below the camera to the water; the distance of an object is read at the
foot of its box. It knows one camera: 640x480, focal length 700 pixels, 1.2 m above the water, looking 10 degrees down.
The four outermost columns of a map are wrong.
Where roll and pitch are known, the horizon formula (`dicem_shared.camera`) is exact and needs no network.

It was *{notice}*.

- `model.safetensors` (half precision), `config.json`, `preprocessor_config.json`: for transformers.
- `model.onnx`, `meta.json`: the same network for onnxruntime.
- `metrics.json`: objects within 30 m in held-out scenes whose foot is in the frame.
- Made by `make train` (`dicem_simulators.training.depth`). Licence: Apache-2.0.
""",
}


def write_card(folder: Path, name: str, kinds: str = "") -> None:
    """`card.md` of the model `name`."""
    (folder / "card.md").write_text(_CARDS[name].format(notice=NOTICE, kinds=kinds))
