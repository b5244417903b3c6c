"""Tracing of torch modules to graphs for ONNX Runtime."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from kit.errors import ModelError, first_line
from kit.models.checkpoints.tokenizers import quiet
from kit.runtime.files import file_sha256
from kit.runtime.temporary import temporary_folder


def traced(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    shapes: tuple[Any, ...],
    inputs: list[str],
    outputs: list[str],
    what: str,
) -> bytes:
    """Trace a module.

    Args:
        module: Module to trace.
        example: Inputs to trace the module with.
        shapes: Dynamic axes of each input, in the form of `torch.onnx.export`.
        inputs: Names of the graph's inputs.
        outputs: Names of the graph's outputs.
        what: Location of the model, for messages.

    Returns:
        The serialized graph.

    Raises:
        ModelError: Torch cannot trace the module.
    """
    module.requires_grad_(False)  # tracing with gradients takes a tenth longer
    with temporary_folder("onnx") as scratch:
        path = scratch / "model.onnx"
        try:
            with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                torch.onnx.export(
                    module, example, path, dynamo=True, external_data=False, verbose=False, dynamic_shapes=shapes,
                    input_names=inputs, output_names=outputs,
                )  # fmt: skip
        except Exception as error:
            raise ModelError(f"the model in {what} cannot be converted to a graph: {first_line(error)}") from error
        return _finished(path.read_bytes())


def _finished(graph: bytes) -> bytes:
    """Return the graph with faster layer norms, and without the exporter's metadata, which contains local paths.

    ONNX Runtime fuses an addition and the layer norm that follows into one node, whose CPU kernel takes five times as
    long as the two (1.32: a quarter of a small encoder's time). It does not fuse a Sum, so additions become Sums. The
    exporter also stores the shapes of weights. ONNX Runtime does not update the shape of a weight that it transposes
    for quantization (1.30), and then rejects the graph, so these shapes are removed.
    """
    import onnx

    model = onnx.load_from_string(graph)
    normalized = {node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    for node in model.graph.node:
        if node.op_type == "Add" and node.output[0] in normalized:
            node.op_type = "Sum"
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [info for info in model.graph.value_info if info.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return bytes(model.SerializeToString())


def content_of(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the names of a folder's files with their hashes, as a cache key."""
    return tuple((file.name, file_sha256(file)) for file in sorted(folder.iterdir()) if file.is_file())
