"""4-bit quantization of graphs for ONNX Runtime: matrices by block, embedding matrices by row.

Rounding to the nearest of 16 steps: Dettmers and Zettlemoyer 2023, arXiv:2212.09720.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.errors import ModelError, first_line

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_ACTIVATIONS_IN_8_BITS = 4  # `accuracy_level` in ONNX Runtime
_ROWS_AT_ONCE = 4_096  # all of 250,000 rows of 768 numbers would take gigabytes of memory
# Candidates for the value of step -8, as a share of the row's largest absolute value: clipping makes the steps finer.
# With the last candidate, step 7 stands for the largest value.
_REACHES = np.append(np.linspace(0.6, 1.0, 11), 8 / 7).astype(np.float32)


def matrices_in_four_bits(model: bytes, block: int) -> bytes:
    """Quantize the constant matrices of the matrix products of a graph to 4 bits.

    Args:
        model: Serialized graph.
        block: Number of weights along the summed axis that share a scale.

    Raises:
        ModelError: The graph cannot be quantized.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(
        block_size=block,
        is_symmetric=True,
        accuracy_level=_ACTIVATIONS_IN_8_BITS,
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=("MatMul",),
    )
    logger = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the quantizer logs every node
    try:
        quantizer = MatMulNBitsQuantizer(onnx.load_from_string(model), algo_config=config)
        with np.errstate(invalid="ignore"):  # blocks of zeros, such as padding
            quantizer.process()
        return bytes(quantizer.model.model.SerializeToString())
    except Exception as error:
        raise ModelError(f"the graph cannot be quantized to 4 bits: {first_line(error)}") from error
    finally:
        logger.setLevel(level)


def lookups(model: bytes, least: float = 0.0) -> list[str]:
    """Return the names of the nodes that look up rows in float32 tables of an even width.

    Args:
        model: Serialized graph.
        least: Minimum size of a table, as a share of the size of the largest table.
    """
    import onnx

    return [node.name for node, _ in _lookups(onnx.load_from_string(model).graph, least)]


def tables_in_four_bits(model: bytes, least: float = 0.0) -> bytes:
    """Quantize the tables of a graph to 4 bits: two numbers per byte, and one scale per row.

    Seven nodes unpack the rows after they are looked up. ONNX Runtime's operator for this, GatherBlockQuantized, takes
    five to seven times as long: a tenth of a small model's time for one text.

    Args:
        model: Serialized graph.
        least: Minimum size of a table, see `lookups`.
    """
    import onnx
    from onnx import helper, numpy_helper

    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    shared = {"kit_low": np.uint8(15), "kit_shift": np.uint8(4), "kit_zero": np.uint8(8), "kit_one": np.float32(1)}
    replaced = {node.name: (node, table) for node, table in _lookups(graph, least)}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.name not in replaced:
            nodes.append(node)
            continue
        table = numpy_helper.to_array(replaced[node.name][1])
        name, ids = replaced[node.name][1].name, node.input[1]
        if f"{name}_packed" not in {tensor.name for tensor in graph.initializer}:
            packed, scales = _packed(table)
            graph.initializer.append(numpy_helper.from_array(packed, f"{name}_packed"))
            graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
        part = {key: f"{node.name}_{key}" for key in ("rows", "low", "high", "both", "whole", "scales")}
        nodes += [
            helper.make_node("Gather", [f"{name}_packed", ids], [part["rows"]], f"{node.name}_packed"),
            helper.make_node("BitwiseAnd", [part["rows"], "kit_low"], [part["low"]]),
            helper.make_node("BitShift", [part["rows"], "kit_shift"], [part["high"]], direction="RIGHT"),
            helper.make_node("Concat", [part["low"], part["high"]], [part["both"]], axis=-1),
            helper.make_node("DequantizeLinear", [part["both"], "kit_one", "kit_zero"], [part["whole"]]),
            helper.make_node("Gather", [f"{name}_scales", ids], [part["scales"]], f"{node.name}_scales"),
            helper.make_node("Mul", [part["whole"], part["scales"]], list(node.output)),
        ]
    if not replaced:
        return model
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in shared.items())
    _drop_unused(graph)
    return bytes(loaded.SerializeToString())


def _lookups(graph: GraphProto, least: float) -> list[tuple[NodeProto, Any]]:
    from onnx import TensorProto

    tables = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and tensor.dims[1] % 2 == 0 and tensor.data_type == TensorProto.FLOAT
    }
    lookups = [
        (node, tables[node.input[0]]) for node in graph.node if node.op_type == "Gather" and node.input[0] in tables
    ]
    sizes = [math.prod(table.dims) for _, table in lookups]
    return [lookup for lookup, size in zip(lookups, sizes, strict=True) if size >= least * max(sizes)]


def _packed(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize a float32 table (n, width) to packed numbers (n, width / 2) uint8 and scales (n, 1) float32.

    The lower bits of a byte hold a number of the row's first half, the upper bits one of the second half. Each row gets
    the scale with the least squared error; it may be negative, because the steps reach from -8 to 7.
    """
    half = table.shape[1] // 2
    packed = np.empty((len(table), half), np.uint8)
    scales = np.empty((len(table), 1), np.float32)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = table[start : start + _ROWS_AT_ONCE]
        largest = np.maximum(np.abs(rows).max(1, keepdims=True), np.finfo(np.float32).tiny)
        least = np.full((len(rows), 1), np.inf, np.float32)
        best, best_scale = np.zeros_like(rows), np.ones_like(least)
        for reach in (*_REACHES, *-_REACHES):
            scale = largest * reach / 8
            steps = np.clip(np.rint(rows / scale), -8, 7)
            error = np.square(steps * scale - rows).sum(1, keepdims=True)
            better = (error < least)[:, 0]
            least[better], best[better], best_scale[better] = error[better], steps[better], scale[better]
        whole = (best + 8).astype(np.uint8)
        packed[start : start + _ROWS_AT_ONCE] = whole[:, :half] | (whole[:, half:] << 4)
        scales[start : start + _ROWS_AT_ONCE] = best_scale
    return packed, scales


def _drop_unused(graph: GraphProto) -> None:
    used = Counter(name for node in graph.node for name in node.input) + Counter(output.name for output in graph.output)
    kept = [tensor for tensor in graph.initializer if used[tensor.name]]
    del graph.initializer[:]
    graph.initializer.extend(kept)
