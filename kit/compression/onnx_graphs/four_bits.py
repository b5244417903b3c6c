"""Four bits in graphs for ONNX Runtime: matrices by blocks, tables of embeddings by rows.

Rounding to the nearest of 16 steps: Dettmers and Zettlemoyer 2023, arXiv:2212.09720.

Knows ONNX and ONNX Runtime's block-wise quantizer. Knows nothing of techniques.
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

_ACTIVATIONS_IN_8_BITS = 4  # ONNX Runtime's name for that
_ROWS = 4_096  # rounded at once: 250,000 rows of 768 numbers would take gigabytes
# Shares of a row's largest number that the step -8 may stand for: cutting it off makes the others finer. With the last,
# the step 7 stands for it.
_REACHES = np.append(np.linspace(0.6, 1.0, 11), 8 / 7).astype(np.float32)


def matrices_in_four_bits(model: bytes, block: int) -> bytes:
    """A graph with the constant matrices of its products in 4 bits. Raises ModelError if it cannot be rounded.

    block: numbers that share a scale, along what is summed.
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


def lookups(model: bytes, least: float = 0.0) -> list[str]:
    """Names of the nodes that look rows up in float32 tables of an even width.

    least: share of the largest table's numbers below which a table is left out.
    """
    import onnx

    return [node.name for node, _ in _lookups(onnx.load_from_string(model).graph, least)]


def tables_in_four_bits(model: bytes, least: float = 0.0) -> bytes:
    """A graph whose tables, see `lookups`, are in 4 bits: two numbers a byte, and a scale a row.

    Rows are taken apart after they were looked up, by seven nodes: ONNX Runtime's own operator, GatherBlockQuantized,
    takes five to seven times as long, a tenth of a small model's time for one text.
    """
    import onnx
    from onnx import helper, numpy_helper

    found = onnx.load_from_string(model)
    graph = found.graph
    shared = {"kit_low": np.uint8(15), "kit_shift": np.uint8(4), "kit_zero": np.uint8(8), "kit_one": np.float32(1)}
    replaced = {node.name: (node, table) for node, table in _lookups(graph, least)}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.name not in replaced:
            nodes.append(node)
            continue
        table = numpy_helper.to_array(replaced[node.name][1])
        name, ids = replaced[node.name][1].name, node.input[1]
        if f"{name}_packed" not in {each.name for each in graph.initializer}:
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
    return bytes(found.SerializeToString())


def _lookups(graph: GraphProto, least: float) -> list[tuple[NodeProto, Any]]:
    from onnx import TensorProto

    tables = {
        each.name: each
        for each in graph.initializer
        if len(each.dims) == 2 and each.dims[1] % 2 == 0 and each.data_type == TensorProto.FLOAT
    }
    found = [
        (node, tables[node.input[0]]) for node in graph.node if node.op_type == "Gather" and node.input[0] in tables
    ]
    sizes = [math.prod(table.dims) for _, table in found]
    return [each for each, size in zip(found, sizes, strict=True) if size >= least * max(sizes)]


def _packed(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, width) float32 as (n, width / 2) uint8 and (n, 1) float32.

    A byte has a number of a row's first half in its lower bits, one of its second half in the upper ones. Each row has
    the scale, of either sign (the steps reach from -8 to 7), whose squared error is least.
    """
    half = table.shape[1] // 2
    packed = np.empty((len(table), half), np.uint8)
    scales = np.empty((len(table), 1), np.float32)
    for start in range(0, len(table), _ROWS):
        rows = table[start : start + _ROWS]
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
        packed[start : start + _ROWS] = whole[:, :half] | (whole[:, half:] << 4)
        scales[start : start + _ROWS] = best_scale
    return packed, scales


def _drop_unused(graph: GraphProto) -> None:
    used = Counter(name for node in graph.node for name in node.input) + Counter(each.name for each in graph.output)
    kept = [each for each in graph.initializer if used[each.name]]
    del graph.initializer[:]
    graph.initializer.extend(kept)
