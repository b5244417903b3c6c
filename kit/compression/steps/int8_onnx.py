"""ONNX Runtime in 8 bits: a graph whose matrices are rounded, activations as they come or by a calibration.

Knows ONNX Runtime's quantizers. Knows nothing of gates or chains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import others
from kit.compression.onnx_graphs.four_bits import lookups, tables_in_four_bits
from kit.compression.steps.onnx import graph_of, predictor_of
from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import Encoded, encode
from kit.errors import ModelError, first_line
from kit.measurement.metrics import decisions
from kit.methods import Fitted, Job
from kit.models.backends.onnx import OnnxPredictor, require_onnx
from kit.models.checkpoints.loading import load_tokenizer
from kit.models.predictor import Texts
from kit.models.saved_kind import Kind
from kit.recipe.sections.compression import Int8OnnxStep
from kit.records.record import Record
from kit.runtime.quiet_libraries import without_warnings
from kit.runtime.temporary import temporary_folder

_CALIBRATION_TEXTS = 256  # of the budget
_LARGE = 0.125  # share of the largest table's numbers from which 4 bits are worth while


class Int8Onnx:
    """A graph whose matrices are in 8 bits (Jacob et al. 2018, arXiv:1712.05877), by ONNX Runtime's quantizers."""

    takes = (Kind.TORCH, Kind.ONNX, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.QUANTIZED_ONNX

    def require(self, step: Int8OnnxStep, source: Record | None) -> None:
        """The packages of `kit[onnx]`; and a classifier, where ranges are to be fixed or rounding learnt."""
        require_onnx()
        require_aware(step.aware, source)
        if step.calibration == "static" and source is not None and source.recipe.task == "translation":
            raise ModelError(
                "int8-onnx: calibration: static fixes ranges on texts, and a decoder's inputs are not there before it "
                "writes",
                "leave calibration out: the ranges of each batch are taken as they come",
            )

    def variants(self, step: Int8OnnxStep) -> list[Int8OnnxStep]:
        """Unsigned weights, which older processors add safely; fixed ranges; the table in float32; learning."""
        return others(
            step, [{"weights": "uint8"}, {"calibration": "static"}, {"embeddings": "float32"}, {"aware": 1.0}]
        )

    def compress(self, step: Int8OnnxStep, source: Record, job: Job) -> Fitted:
        """Export if need be, then round."""
        table = 4 if step.embeddings == "int4" else None
        folder, training = learn_rounding(source, job, Rounding(8, None, True, table), step.aware)
        graph = graph_of(folder, job)
        texts = job.data.train.texts[:_CALIBRATION_TEXTS]  # validation examples judge the step
        tokenizer = load_tokenizer(folder)
        encoded = encode(texts, tokenizer, job.recipe.data.max_length)

        def rounded(model: bytes) -> bytes:
            if step.embeddings != "int4":
                return _quantized(model, step, encoded, tokenizer)
            # Positions and kinds of token stay in 8 bits: there is nothing to save.
            later = lookups(model, _LARGE)
            return tables_in_four_bits(_quantized(model, step, encoded, tokenizer, later), _LARGE)

        made = predictor_of(graph.changed(rounded, "int8", step.calibration), folder, job)
        settings: dict[str, Any] = {"device": "cpu"}
        if step.calibration == "static":
            settings["calibration_texts"] = len(texts)
        elif isinstance(made, OnnxPredictor):
            settings["batch_effect"] = _batch_effect(made, texts, job)
        return Fitted(made, training, settings)


def _batch_effect(predictor: OnnxPredictor, texts: Texts, job: Job) -> dict[str, Any]:
    """Return how far outputs for training texts alone are from those in batches, and the share of other labels."""
    together, alone = predictor.outputs(texts), np.concatenate([predictor.outputs([text]) for text in texts])
    other = decisions(together, job.task.multi_label) != decisions(alone, job.task.multi_label)
    return {
        "largest_difference": float(np.abs(together - alone).max()),
        "other_labels": float(other.any(axis=1).mean()),
        "split": "train",
        "texts": len(texts),
    }


def _quantized(
    model: bytes, step: Int8OnnxStep, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, without: Sequence[str] = ()
) -> bytes:
    """The graph in 8 bits. without: names of nodes that stay as they are."""
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
        exact, ready, rounded = (scratch / name for name in ("exact.onnx", "ready.onnx", "rounded.onnx"))
        exact.write_bytes(model)
        try:
            if step.calibration == "dynamic":
                with without_warnings():
                    quantize_dynamic(
                        exact,
                        rounded,
                        weight_type=weights,
                        per_channel=step.per_channel,
                        op_types_to_quantize=operators,
                        nodes_to_exclude=list(without),
                    )
            else:
                quant_pre_process(exact, ready, skip_symbolic_shape=True)
                quantize_static(
                    ready, rounded, _Batches(encoded, tokenizer, ready), quant_format=QuantFormat.QDQ,
                    weight_type=weights, activation_type=QuantType.QUInt8, per_channel=step.per_channel,
                    op_types_to_quantize=operators, nodes_to_exclude=list(without),
                    calibrate_method=CalibrationMethod.MinMax,
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
