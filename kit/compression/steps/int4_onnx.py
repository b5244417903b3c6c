"""ONNX Runtime in 4 bits: matrices rounded by blocks, tables of embeddings by rows, each with a scale of its own.

Products are made with activations in 8 bits, rounded by blocks as well, so that an answer does not depend on what else
is in the batch.

Knows graphs in four bits. Knows nothing of gates or chains.
"""

from __future__ import annotations

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import others
from kit.compression.onnx_graphs.four_bits import matrices_in_four_bits, tables_in_four_bits
from kit.compression.steps.onnx import graph_of, predictor_of
from kit.methods import Fitted, Job
from kit.models.backends.onnx import require_onnx
from kit.models.saved_kind import Kind
from kit.recipe.sections.compression import Int4OnnxStep
from kit.records.record import Record

_SMALLEST_BLOCK = 16  # that ONNX Runtime has


class Int4Onnx:
    """A graph whose matrices and table of embeddings are in 4 bits."""

    takes = (Kind.TORCH, Kind.ONNX, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.QUANTIZED_ONNX

    def require(self, step: Int4OnnxStep, source: Record | None) -> None:
        """The packages of `kit[onnx]`."""
        require_onnx()
        require_aware(step.aware, source)

    def variants(self, step: Int4OnnxStep) -> list[Int4OnnxStep]:
        """The smallest blocks; learning."""
        return others(step, [{"block": _SMALLEST_BLOCK}, {"aware": 1.0}])

    def compress(self, step: Int4OnnxStep, source: Record, job: Job) -> Fitted:
        """Export if need be, then round."""
        rounding = Rounding(4, step.block, True, 4)
        folder, training = learn_rounding(source, job, rounding, step.aware)
        graph = graph_of(folder, job)

        def rounded(model: bytes) -> bytes:
            return matrices_in_four_bits(tables_in_four_bits(model), step.block)

        made = predictor_of(graph.changed(rounded, "int4", "blocks"), folder, job)
        return Fitted(made, training, {"device": "cpu"})
