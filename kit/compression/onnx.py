"""ONNX Runtime: a graph of the model, in float32 or with weights in 8 bits.

Knows torch's exporter and ONNX Runtime's quantizers. Knows nothing of gates or chains.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.compression.gate import decided
from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import Encoded, encode
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.kind import Kind, kind_of
from kit.models.load import load_classifier, load_tokenizer, quiet
from kit.models.onnx import Graph, OnnxPredictor, read_graph, require_onnx
from kit.models.predictor import Texts, TransformerPredictor
from kit.recipe.compressing import Int8OnnxStep, OnnxStep
from kit.record import Record

_PARITY = 1e-4  # of a logit, between torch and the graph in float32
_CALIBRATION_TEXTS, _PROOF_TEXTS = 256, 64  # of the budget


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
            _exported(source, job), load_tokenizer(source.model_folder), job.recipe.data.max_length
        )
        return Fitted(predictor, settings={"device": "cpu"})


class Int8Onnx:
    """A graph whose matrices are in 8 bits (Jacob et al. 2018, arXiv:1712.05877), by ONNX Runtime's quantizers."""

    takes = (Kind.TORCH, Kind.ONNX)
    gives = Kind.INT8_ONNX

    def require(self, step: Int8OnnxStep, source: Record | None) -> None:
        """The packages of `kit[onnx]`."""
        require_onnx()

    def variants(self, step: Int8OnnxStep) -> list[Int8OnnxStep]:
        """Unsigned weights, which older processors add up without overflow; fixed ranges; the table in float32."""
        others: list[dict[str, Any]] = [{"weights": "uint8"}, {"calibration": "static"}, {"embeddings": False}]
        return [step.model_copy(update=other) for other in others if step.model_copy(update=other) != step]

    def compress(self, step: Int8OnnxStep, source: Record, job: Job) -> Fitted:
        """Export if need be, then round."""
        folder = source.model_folder
        graph = read_graph(folder) if kind_of(folder) is Kind.ONNX else _exported(source, job)
        tokenizer = load_tokenizer(folder)
        texts = job.data.train.texts[:_CALIBRATION_TEXTS]  # validation examples judge the step
        encoded = encode(texts, tokenizer, job.recipe.data.max_length)
        rounded = _quantized(graph.model, step, encoded, tokenizer)
        predictor = OnnxPredictor(
            Graph(rounded, graph.parameters, "int8", step.calibration, graph.config),
            tokenizer,
            job.recipe.data.max_length,
        )
        settings: dict[str, Any] = {"device": "cpu"}
        if step.calibration == "static":
            settings["calibration_texts"] = len(texts)
        else:
            settings["batch_effect"] = _batch_effect(predictor, texts, job)
        return Fitted(predictor, settings=settings)


def _batch_effect(predictor: OnnxPredictor, texts: Texts, job: Job) -> dict[str, float]:
    """How far answers to texts alone are from those in batches: of any logit, and the share of other labels."""
    together, alone = predictor.logits(texts), np.concatenate([predictor.logits([text]) for text in texts])
    return {
        "largest_difference": float(np.abs(together - alone).max()),
        "other_labels": float((decided(job, together) != decided(job, alone)).any(axis=1).mean()),
    }


class _Logits(torch.nn.Module):
    """A classifier of which only the logits come out."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits (batch, labels) of the tensors (batch, length) that `names` says."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def _exported(source: Record, job: Job) -> Graph:
    """The graph of a Record's classifier. Raises ModelError if it cannot be traced, or answers differently."""
    content = tuple(sorted((name, sha) for name, sha in source.content["files"].items() if name.startswith("model/")))
    texts, longest = job.data.train.texts[:_PROOF_TEXTS], job.recipe.data.max_length
    return _traced(source.model_folder, content, tuple(texts), longest)


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
        graph = path.read_bytes()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    made = Graph(graph, parameters, "float32", "float32", model.config.to_dict())
    expected = TransformerPredictor(model, tokenizer, longest).logits(texts)
    change = float(np.abs(OnnxPredictor(made, tokenizer, longest).logits(texts) - expected).max())
    if not change <= _PARITY:
        raise ModelError(f"the graph of {folder} does not answer as the model does (a logit differs by {change:.2g})")
    return made


def _longest(model: PreTrainedModel) -> int:
    """Positions that a model has, for the exporter's range of lengths."""
    config = getattr(model.base_model, "config", model.config)
    return int(getattr(config, "max_position_embeddings", 8_192) or 8_192)


def _quantized(model: bytes, step: Int8OnnxStep, encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> bytes:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    weights = QuantType.QInt8 if step.weights == "int8" else QuantType.QUInt8
    operators = ["MatMul", "Gemm", *(["Gather"] if step.embeddings else [])]
    with tempfile.TemporaryDirectory(prefix="kit-onnx-") as scratch:
        given, ready, rounded = (Path(scratch) / name for name in ("given.onnx", "ready.onnx", "rounded.onnx"))
        given.write_bytes(model)
        try:
            if step.calibration == "dynamic":
                quantize_dynamic(
                    given, rounded, weight_type=weights, per_channel=step.per_channel, op_types_to_quantize=operators
                )
            else:
                quant_pre_process(given, ready, skip_symbolic_shape=True)
                quantize_static(
                    ready, rounded, _Batches(encoded, tokenizer, ready), quant_format=QuantFormat.QDQ,
                    weight_type=weights, activation_type=QuantType.QUInt8, per_channel=step.per_channel,
                    op_types_to_quantize=operators, calibrate_method=CalibrationMethod.MinMax,
                )  # fmt: skip
        except Exception as error:
            raise ModelError(f"int8-onnx: the graph cannot be rounded: {first_line(error)}") from error
        return rounded.read_bytes()


class _Batches:
    """Texts as ONNX Runtime's calibration wants them: one dictionary of arrays after the other, then None."""

    def __init__(self, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        import onnx

        self.names = [each.name for each in onnx.load(path).graph.input]
        self.batches = self._iterate(encoded, tokenizer)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch."""
        return next(self.batches, None)

    def _iterate(self, encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, np.ndarray]]:
        dataset = EncodedDataset(encoded, None, tokenizer.pad_token_id or 0, tokenizer.padding_side == "left")
        for indices in sorted_batches(encoded.lengths, 1_024):
            batch = dataset.collate(indices.tolist())
            yield {name: batch[name].numpy() for name in self.names}
