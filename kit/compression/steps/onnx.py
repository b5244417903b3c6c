"""Float32 graphs for ONNX Runtime."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from kit.compression.onnx_graphs.attention import Attending
from kit.compression.onnx_graphs.templates import traced_once
from kit.compression.onnx_graphs.tracing import content_of, traced
from kit.compression.onnx_graphs.translator_graphs import graphs_of
from kit.data.batching import EncodedDataset
from kit.data.encode import encode
from kit.errors import ModelError
from kit.measurement.logits import largest_change
from kit.methods import Fitted, Job
from kit.models.backends.onnx import Graph, OnnxPredictor, read_graph, require_onnx
from kit.models.backends.onnx_translator import Graphs, OnnxTranslator, is_onnx_translator
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.classifier import TransformerPredictor
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.translation.seq2seq import load_tokenizer_pair
from kit.models.translation.translator import longest_source, prefix_of
from kit.recipe.sections.compression import OnnxStep
from kit.records.record import Record

_MAX_DIFFERENCE = 1e-4  # of a logit, between torch and the graph in float32
_PROOF_TEXTS = 64  # of the budget
_NAMES = ("_name_or_path", "id2label", "label2id")


class Onnx:
    """Conversion of a torch model to a graph in float32."""

    takes = (Form.TORCH, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.ONNX

    def require(self, step: OnnxStep, source: Record | None) -> None:
        """Raise ModelError without the packages of `kit[onnx]`."""
        require_onnx()

    def variants(self, step: OnnxStep) -> list[OnnxStep]:
        """Return no variants: the step has no settings."""
        return []

    def compress(self, step: OnnxStep, source: Record, job: Job) -> Fitted:
        """Trace the model, and check on texts of the budget that the graph predicts the same."""
        folder = source.model_folder
        return Fitted(predictor_of(graph_of(folder, job), folder, job), settings={"device": "cpu"})


class _Logits(torch.nn.Module):
    """A classifier that returns only its logits."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = Attending(model), names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (batch, labels), given tensors (batch, length) in the order of `names`."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True)))
        return logits


def graph_of(folder: Path, job: Job) -> Graph | Graphs:
    """Return the graph of the classifier in a folder, or the two graphs of the translator.

    Graphs are read if the folder has them; otherwise the model is traced. Raises ModelError if the model cannot be
    traced, or if its graph predicts differently.
    """
    kind = form_of(folder)
    if is_onnx_translator(folder) or kind in (Form.TRANSLATOR, Form.WARM_TRANSLATOR):
        return graphs_of(folder, job)
    if kind is Form.ONNX:
        return read_graph(folder)
    texts = job.data.train.texts[:_PROOF_TEXTS]
    return _exported(folder, content_of(folder), tuple(texts), job.recipe.data.max_length)


def predictor_of(graph: Graph | Graphs, folder: Path, job: Job) -> OnnxPredictor | OnnxTranslator:
    """Return the predictor of a graph.

    `folder` is that of the original model, with its tokenizers.
    """
    if isinstance(graph, Graphs):
        tokenizer_pair = load_tokenizer_pair(folder)
        return OnnxTranslator(graph, tokenizer_pair, longest_source(tokenizer_pair), prefix_of(folder))
    return OnnxPredictor(graph, load_tokenizer(folder), job.recipe.data.max_length)


@lru_cache(maxsize=1)  # the variants of a step are often tried on the same model
def _exported(
    folder: Path, content: tuple[tuple[str, str], ...], proof: tuple[tuple[str, ...], ...], max_length: int
) -> Graph:
    """Trace the classifier in a folder and check its graph.

    Args:
        folder: Folder of the classifier.
        content: Names and hashes of the folder's files, as a cache key.
        proof: Texts to compare the predictions of.
        max_length: Maximum number of tokens per text.
    """
    model, tokenizer, texts = load_classifier(folder), load_tokenizer(folder), list(proof)
    dataset = EncodedDataset.for_tokenizer(encode(texts, tokenizer, max_length), tokenizer)
    batch = dataset.collate([0, len(texts) - 1])
    names = list(batch)
    axes = {0: torch.export.Dim("batch", min=1, max=4_096), 1: torch.export.Dim("length", min=1, max=_positions(model))}
    shapes = (tuple(axes for _ in names),)
    expected = TransformerPredictor(model, tokenizer, max_length).outputs(texts)
    module, example = _Logits(model, names).eval(), tuple(batch.values())
    graph = traced_once(
        module,
        (*_architecture(model), *names),
        partial(traced, module, example, shapes, inputs=names, outputs=["logits"], what=str(folder)),
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    config = model.config.to_dict()
    config.pop("_name_or_path", None)  # a local path
    converted = Graph(graph, parameters, "float32", "float32", config)
    change = largest_change(OnnxPredictor(converted, tokenizer, max_length).outputs(texts), expected)
    if not change <= _MAX_DIFFERENCE:
        raise ModelError(f"the graph of {folder} does not predict as the model does (a logit differs by {change:.2g})")
    return converted


def _architecture(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the configuration of a model without labels and location, and its attention."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NAMES}
    return json.dumps(config, sort_keys=True, default=str), str(model.config._attn_implementation)


def _positions(model: PreTrainedModel) -> int:
    """Return the maximum number of positions of a model, for the exporter's range of lengths."""
    config = getattr(model.base_model, "config", model.config)
    return int(getattr(config, "max_position_embeddings", 8_192) or 8_192)
