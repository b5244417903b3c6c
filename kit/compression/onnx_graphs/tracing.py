"""Tracing: from a module of torch to a graph for ONNX Runtime.

Knows torch's exporter. Knows nothing of what a graph computes.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from kit.errors import ModelError, first_line
from kit.models.checkpoints.loading import quiet
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
    """The graph of a module.

    example: its inputs. shapes: which of their axes may be of other lengths. inputs, outputs: names of the graph's.
    what: the model, for messages. Raises ModelError if torch cannot trace it.
    """
    module.requires_grad_(False)  # a gradient to be had makes tracing take a tenth longer
    with temporary_folder("onnx") as scratch:
        path = scratch / "model.onnx"
        try:
            with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                torch.onnx.export(
                    module, example, path, dynamo=True, external_data=False, verbose=False, dynamic_shapes=shapes,
                    input_names=inputs, output_names=outputs,
                )  # fmt: skip
        except Exception as error:
            raise ModelError(f"the model in {what} cannot be made a graph of: {first_line(error)}") from error
        return _finished(path.read_bytes())


def _finished(graph: bytes) -> bytes:
    """The same graph, faster, and without the exporter's notes on the code that each node came from (local paths).

    ONNX Runtime makes one node of an addition and the layer norm that follows, whose kernel for CPUs takes five times
    as long as the two (1.32: a quarter of a small encoder's time). It does not know that pattern by the name of Sum.
    The exporter notes the shapes of weights beside the weights; where ONNX Runtime transposes one to round it, it
    leaves the note (1.30), and then refuses the graph.
    """
    import onnx

    model = onnx.load_from_string(graph)
    normalised = {node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    for node in model.graph.node:
        if node.op_type == "Add" and node.output[0] in normalised:
            node.op_type = "Sum"
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    weights = {each.name for each in model.graph.initializer}
    kept = [each for each in model.graph.value_info if each.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return bytes(model.SerializeToString())


def content_of(folder: Path) -> tuple[tuple[str, str], ...]:
    """The files of a folder with their hashes."""
    return tuple((file.name, file_sha256(file)) for file in sorted(folder.iterdir()) if file.is_file())
