"""ONNX Runtime in 4 bits: matrices and the table of embeddings rounded by blocks, each with a scale of its own.

Products are made with activations in 8 bits, rounded by blocks as well, so that an answer does not depend on what else
is in the batch. Rounding to the nearest of 16 steps within blocks: Dettmers and Zettlemoyer 2023, arXiv:2212.09720.

Knows ONNX Runtime's block-wise quantizer. Knows nothing of gates or chains.
"""

from __future__ import annotations

import logging

import numpy as np

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import others
from kit.compression.onnx import graph_of, predictor_of
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.kind import Kind
from kit.models.onnx import require_onnx
from kit.recipe.compressing import Int4OnnxStep
from kit.record import Record

TABLE_BLOCK = 128  # numbers of a token's row that share a scale: a table that is only looked up needs no smaller ones
_SMALLEST_BLOCK = 16  # that ONNX Runtime has
_ACTIVATIONS_IN_8_BITS = 4  # its name for that


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
        rounding = Rounding(4, step.block, True, (4, TABLE_BLOCK))
        folder, training = learn_rounding(source, job, rounding, step.aware)
        graph = graph_of(folder, job)

        def rounded(model: bytes) -> bytes:
            return in_four_bits(in_four_bits(model, ("Gather",), TABLE_BLOCK), ("MatMul",), step.block)

        made = predictor_of(graph.changed(rounded, "int4", "blocks"), folder, job)
        return Fitted(made, training, {"device": "cpu"})


def in_four_bits(model: bytes, operators: tuple[str, ...], block: int) -> bytes:
    """A graph with the constant matrices of these operators in 4 bits. Raises ModelError if it cannot be rounded.

    operators: `MatMul`, or `Gather` for tables. block: numbers that share a scale, along what is summed or looked up.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(
        block_size=block,
        is_symmetric=True,
        accuracy_level=_ACTIVATIONS_IN_8_BITS,
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=operators,
    )
    told = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    level = told.level
    told.setLevel(logging.ERROR)  # it tells of every node
    try:
        quantizer = MatMulNBitsQuantizer(onnx.load_from_string(model), algo_config=config)
        with np.errstate(invalid="ignore"):  # blocks of zeros, as padding has
            quantizer.process()
        return bytes(quantizer.model.model.SerializeToString())
    except Exception as error:
        raise ModelError(f"the graph cannot be rounded to 4 bits: {first_line(error)}") from error
    finally:
        told.setLevel(level)
