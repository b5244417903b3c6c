"""4-bit graphs for ONNX Runtime, with one scale per block of a matrix and per row of an embedding matrix.

Activations are quantized to 8 bits per block, so that a prediction does not depend on the other texts of the batch.
"""

from __future__ import annotations

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import changed_steps
from kit.compression.onnx_graphs.four_bits import matrices_in_four_bits, tables_in_four_bits
from kit.compression.steps.onnx import graph_of, predictor_of
from kit.methods import Fitted, Job
from kit.models.backends.onnx import require_onnx
from kit.models.kinds.form import Form
from kit.recipe.sections.compression import Int4OnnxStep
from kit.records.record import Record

_SMALLEST_BLOCK = 16  # in ONNX Runtime


class Int4Onnx:
    """Quantization of weight matrices and embedding matrices to 4 bits."""

    takes = (Form.TORCH, Form.ONNX, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.QUANTIZED_ONNX

    def require(self, step: Int4OnnxStep, source: Record | None) -> None:
        """Raise ModelError without `kit[onnx]`, or if the requested training is not possible."""
        require_onnx()
        require_aware(step.aware, source)

    def variants(self, step: Int4OnnxStep) -> list[Int4OnnxStep]:
        """Return variants with the smallest blocks, and with quantization-aware training."""
        return changed_steps(step, [{"block": _SMALLEST_BLOCK}, {"aware": 1.0}])

    def compress(self, step: Int4OnnxStep, source: Record, job: Job) -> Fitted:
        """Train if requested, trace unless the source is a graph, and quantize."""
        rounding = Rounding(4, step.block, True, 4)
        folder, training = learn_rounding(source, job, rounding, step.aware)
        graph = graph_of(folder, job)

        def quantize(model: bytes) -> bytes:
            return matrices_in_four_bits(tables_in_four_bits(model), step.block)

        predictor = predictor_of(graph.changed(quantize, "int4", "blocks"), folder, job)
        return Fitted(predictor, training, {"device": "cpu"})
