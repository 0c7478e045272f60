"""ONNX files of trained networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dicem_simulators.training.libraries import library


def write(
    network: Any,
    forward: Callable[..., Any],
    inputs: dict[str, Any],
    output: str,
    path: Path,
    free: dict[str, dict[int, str]] | None = None,
) -> None:
    """Export `forward`, which calls on parts of `network`; `inputs` are examples by name, `free` their open sizes."""
    torch = library("torch")
    module = torch.nn.Module()
    module.network, module.forward = network.eval(), forward
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes=free or {},
            opset_version=17,
            dynamo=False,
        )
    halve(path)


def halve(path: Path, smallest: int = 256) -> None:
    """Store weights of at least `smallest` numbers as float16, cast back to float32 when the file is loaded.

    Lossless, and only done, where the numbers are float16 numbers already, as after `model.half()`.  The arithmetic
    stays single precision: runtimes fold the casts away once, at load.
    """
    onnx = library("onnx")
    model = onnx.load(str(path))
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, name + ".half"))
        casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
