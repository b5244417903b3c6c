"""8-bit graphs for ONNX Runtime, with activations quantized dynamically or by calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import changed_steps
from kit.compression.onnx_graphs.four_bits import lookups, tables_in_four_bits
from kit.compression.steps.onnx import graph_of, predictor_of
from kit.data.batching import EncodedDataset
from kit.data.encode import Encoded, encode
from kit.data.padding import sorted_batches
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.backends.onnx import OnnxPredictor, require_onnx
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.kinds.form import Form
from kit.models.predictor import Texts
from kit.recipe.sections.compression import Int8OnnxStep
from kit.records.record import Record
from kit.runtime.quiet_libraries import without_warnings
from kit.runtime.temporary import temporary_folder

_CALIBRATION_TEXTS = 256  # of the budget
_MIN_TABLE_SHARE = 0.125  # minimum size of a 4-bit table, as a share of the largest table: smaller ones save little


class Int8Onnx:
    """Quantization of weights to 8 bits (Jacob et al. 2018, arXiv:1712.05877), by ONNX Runtime's quantizers."""

    takes = (Form.TORCH, Form.ONNX, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.QUANTIZED_ONNX

    def require(self, step: Int8OnnxStep, source: Record | None) -> None:
        """Raise ModelError without `kit[onnx]`, or if the requested training or calibration is not possible."""
        require_onnx()
        require_aware(step.aware, source)
        if step.calibration == "static" and source is not None and source.recipe.rules.writes_text:
            raise ModelError(
                "int8-onnx: calibration: static computes ranges on texts, but the inputs of a decoder are not known "
                "before it generates them",
                "leave calibration out: ranges are then computed for each batch",
            )

    def variants(self, step: Int8OnnxStep) -> list[Int8OnnxStep]:
        """Return variants with more exact settings.

        These are unsigned weights, which do not overflow on older processors, static ranges, an embedding matrix in
        float32, and quantization-aware training.
        """
        return changed_steps(
            step, [{"weights": "uint8"}, {"calibration": "static"}, {"embeddings": "float32"}, {"aware": 1.0}]
        )

    def compress(self, step: Int8OnnxStep, source: Record, job: Job) -> Fitted:
        """Train if requested, trace unless the source is a graph, and quantize."""
        table = 4 if step.embeddings == "int4" else None
        folder, training = learn_rounding(source, job, Rounding(8, None, True, table), step.aware)
        graph = graph_of(folder, job)
        texts = job.data.train.texts[:_CALIBRATION_TEXTS]  # validation examples are reserved for the gate
        tokenizer = load_tokenizer(folder)
        encoded = encode(texts, tokenizer, job.recipe.data.max_length)

        def quantize(model: bytes) -> bytes:
            if step.embeddings != "int4":
                return _quantized(model, step, encoded, tokenizer)
            # The small tables of positions and token types stay in 8 bits.
            large_tables = lookups(model, _MIN_TABLE_SHARE)
            return tables_in_four_bits(_quantized(model, step, encoded, tokenizer, large_tables), _MIN_TABLE_SHARE)

        predictor = predictor_of(graph.changed(quantize, "int8", step.calibration), folder, job)
        settings: dict[str, Any] = {"device": "cpu"}
        if step.calibration == "static":
            settings["calibration_texts"] = len(texts)
        elif isinstance(predictor, OnnxPredictor):
            settings["batch_effect"] = _batch_effect(predictor, texts, job)
        return Fitted(predictor, training, settings)


def _batch_effect(predictor: OnnxPredictor, texts: Texts, job: Job) -> dict[str, Any]:
    """Measure how outputs depend on the other texts of a batch, because dynamic ranges are computed per batch.

    Returns:
        The largest difference between outputs alone and in a batch, the share of texts with another prediction, and
        the split and number of texts.
    """
    together, alone = predictor.outputs(texts), np.concatenate([predictor.outputs([text]) for text in texts])
    other = ~job.task.measure.same(alone, together)
    return {
        "largest_difference": float(np.abs(together - alone).max()),
        "other_labels": float(other.mean()),
        "split": "train",
        "texts": len(texts),
    }


def _quantized(
    model: bytes, step: Int8OnnxStep, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, without: Sequence[str] = ()
) -> bytes:
    """Quantize a graph to 8 bits, except the nodes with the names in `without`."""
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    weights = QuantType.QInt8 if step.weights == "int8" else QuantType.QUInt8
    operators = ["MatMul", "Gemm", *(["Gather"] if step.embeddings != "float32" else [])]
    with temporary_folder("onnx") as scratch:
        exact, ready, quantized = (scratch / name for name in ("exact.onnx", "ready.onnx", "quantized.onnx"))
        exact.write_bytes(model)
        try:
            if step.calibration == "dynamic":
                with without_warnings():
                    quantize_dynamic(
                        exact,
                        quantized,
                        weight_type=weights,
                        per_channel=step.per_channel,
                        op_types_to_quantize=operators,
                        nodes_to_exclude=list(without),
                    )
            else:
                quant_pre_process(exact, ready, skip_symbolic_shape=True)
                quantize_static(
                    ready, quantized, _Batches(encoded, tokenizer, ready), quant_format=QuantFormat.QDQ,
                    weight_type=weights, activation_type=QuantType.QUInt8, per_channel=step.per_channel,
                    op_types_to_quantize=operators, nodes_to_exclude=list(without),
                    calibrate_method=CalibrationMethod.MinMax,
                )  # fmt: skip
        except Exception as error:
            raise ModelError(f"int8-onnx: the graph cannot be quantized: {first_line(error)}") from error
        return quantized.read_bytes()


class _Batches:
    """Calibration data for ONNX Runtime: an iterator over batches of texts that ends with None."""

    def __init__(self, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        import onnx

        self.names = [graph_input.name for graph_input in onnx.load(path).graph.input]
        self.batches = self._iterate(encoded, tokenizer)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch as arrays by input name, or None at the end."""
        return next(self.batches, None)

    def _iterate(self, encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, np.ndarray]]:
        dataset = EncodedDataset.for_tokenizer(encoded, tokenizer)
        for indices in sorted_batches(encoded.lengths, 1_024):
            batch = dataset.collate(indices.tolist())
            yield {name: batch[name].numpy() for name in self.names}
