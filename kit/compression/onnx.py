"""ONNX Runtime: a graph of the model, in float32.

Knows torch's exporter. Knows nothing of gates or chains.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from kit.data.batching import EncodedDataset
from kit.data.encode import encode
from kit.errors import ModelError, first_line
from kit.files import file_sha256
from kit.methods import Fitted, Job
from kit.models.kind import Kind, kind_of
from kit.models.load import load_classifier, load_tokenizer, quiet
from kit.models.onnx import Graph, OnnxPredictor, read_graph, require_onnx
from kit.models.predictor import TransformerPredictor
from kit.recipe.compressing import OnnxStep
from kit.record import Record

_PARITY = 1e-4  # of a logit, between torch and the graph in float32
_PROOF_TEXTS = 64  # of the budget


class Onnx:
    """The graph of a model of torch, in float32."""

    takes = (Kind.TORCH,)
    gives = Kind.ONNX

    def require(self, step: OnnxStep, source: Record | None) -> None:
        """The packages of `kit[onnx]`."""
        require_onnx()

    def variants(self, step: OnnxStep) -> list[OnnxStep]:
        """None."""
        return []

    def compress(self, step: OnnxStep, source: Record, job: Job) -> Fitted:
        """Trace the model, and prove on texts of the budget that the graph answers alike."""
        predictor = OnnxPredictor(
            exported(source.model_folder, job), load_tokenizer(source.model_folder), job.recipe.data.max_length
        )
        return Fitted(predictor, settings={"device": "cpu"})


class _Logits(torch.nn.Module):
    """A classifier of which only the logits come out."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits (batch, labels) of the tensors (batch, length) that `names` says."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def graph_of(folder: Path, job: Job) -> Graph:
    """The graph in a folder, or that of the classifier in it. Raises ModelError if it cannot be made."""
    return read_graph(folder) if kind_of(folder) is Kind.ONNX else exported(folder, job)


def exported(folder: Path, job: Job) -> Graph:
    """The float32 graph of a classifier. Raises ModelError if it cannot be traced, or answers differently."""
    content = tuple((file.name, file_sha256(file)) for file in sorted(folder.iterdir()) if file.is_file())
    texts, longest = job.data.train.texts[:_PROOF_TEXTS], job.recipe.data.max_length
    return _traced(folder, content, tuple(texts), longest)


@lru_cache(maxsize=1)  # a step is often tried with other settings, on the same model
def _traced(
    folder: Path, content: tuple[tuple[str, str], ...], proof: tuple[tuple[str, ...], ...], longest: int
) -> Graph:
    """The graph of a classifier in a folder. content: the files there with their hashes. proof: texts to compare on."""
    model, tokenizer, texts = load_classifier(folder), load_tokenizer(folder), list(proof)
    dataset = EncodedDataset(
        encode(texts, tokenizer, longest), None, tokenizer.pad_token_id or 0, tokenizer.padding_side == "left"
    )
    batch = dataset.collate([0, len(texts) - 1])
    names = list(batch)
    axes = {0: torch.export.Dim("batch", min=1, max=4_096), 1: torch.export.Dim("length", min=1, max=_longest(model))}
    with tempfile.TemporaryDirectory(prefix="kit-onnx-") as scratch:
        path = Path(scratch) / "model.onnx"
        try:
            with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                torch.onnx.export(
                    _Logits(model, names).eval(), tuple(batch.values()), path, dynamo=True, external_data=False,
                    verbose=False, dynamic_shapes=(tuple(axes for _ in names),), input_names=names,
                    output_names=["logits"],
                )  # fmt: skip
        except Exception as error:
            raise ModelError(f"the model in {folder} cannot be made a graph of: {first_line(error)}") from error
        graph = _without_traces(path.read_bytes())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    config = model.config.to_dict()
    config.pop("_name_or_path", None)  # where the model was read from is no part of it
    made = Graph(graph, parameters, "float32", "float32", config)
    expected = TransformerPredictor(model, tokenizer, longest).outputs(texts)
    change = float(np.abs(OnnxPredictor(made, tokenizer, longest).outputs(texts) - expected).max())
    if not change <= _PARITY:
        raise ModelError(f"the graph of {folder} does not answer as the model does (a logit differs by {change:.2g})")
    return made


def _without_traces(graph: bytes) -> bytes:
    """The same graph without what the exporter notes at each node of the code it came from, local paths included."""
    import onnx

    model = onnx.load_from_string(graph)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    return bytes(model.SerializeToString())


def _longest(model: PreTrainedModel) -> int:
    """Positions that a model has, for the exporter's range of lengths."""
    config = getattr(model.base_model, "config", model.config)
    return int(getattr(config, "max_position_embeddings", 8_192) or 8_192)
