"""4-bit tables: rows that ONNX Runtime looks up, and their error."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from kit.compression.onnx_graphs.four_bits import lookups, tables_in_four_bits

WORDS, POSITIONS, ODD = (5_000, 64), (128, 64), (700, 33)


@pytest.fixture(scope="module")
def tables() -> dict[str, np.ndarray]:
    """Return tables with rows of very different scales, a row of zeros, and a row with an outlier."""
    random = np.random.default_rng(0)
    words = random.normal(size=WORDS) * random.lognormal(size=(WORDS[0], 1))
    words[7] = 0
    words[8] = [*[0.01] * 63, 1.0]
    tables = {"words": words, "positions": random.normal(size=POSITIONS), "odd": random.normal(size=ODD)}
    return {name: table.astype(np.float32) for name, table in tables.items()}


@pytest.fixture(scope="module")
def graph(tables: dict[str, np.ndarray]) -> bytes:
    """Return a graph that looks up rows of each table, and twice those of the words."""
    from onnx import TensorProto, helper, numpy_helper

    names = {"first": "words", "second": "words", "third": "positions", "fourth": "odd"}
    lookup_graph = helper.make_graph(
        [helper.make_node("Gather", [table, "ids"], [name], f"{name}_node") for name, table in names.items()],
        "lookups",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )
    model = helper.make_model(lookup_graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def rows_of(model: bytes, ids: np.ndarray) -> list[np.ndarray]:
    from onnxruntime import InferenceSession

    return [np.asarray(rows) for rows in InferenceSession(model).run(None, {"ids": ids})]


def test_error_is_below_that_of_plain_rounding(graph: bytes, tables: dict[str, np.ndarray]) -> None:
    ids = np.arange(120).reshape(3, 40)
    first, second, positions, odd = rows_of(tables_in_four_bits(graph), ids)
    exact = tables["words"][ids]
    assert np.array_equal(first, second) and first.shape == exact.shape
    largest = np.abs(exact).max(-1, keepdims=True)
    plain = np.clip(np.rint(exact / np.maximum(largest, 1e-9) * 7), -8, 7) * largest / 7
    error, plain_error = (np.square(rounded - exact).sum(-1) for rounded in (first, plain))
    assert (error <= plain_error * 1.0001).all() and error.mean() < 0.9 * plain_error.mean()
    assert not first.reshape(-1, 64)[7].any() and first.reshape(-1, 64)[8, -1] == pytest.approx(1.0, rel=0.1)
    assert 0 < np.square(positions - tables["positions"][ids]).mean() < 0.03
    assert np.array_equal(odd, tables["odd"][ids]), "rows of an odd width are not quantized"


def test_small_tables_can_be_excluded(graph: bytes, tables: dict[str, np.ndarray]) -> None:
    assert lookups(graph) == ["first_node", "second_node", "third_node"]
    assert lookups(graph, 0.125) == ["first_node", "second_node"]
    ids = np.arange(12).reshape(2, 6)
    rounded = tables_in_four_bits(graph, 0.125)
    assert np.array_equal(rows_of(rounded, ids)[2], tables["positions"][ids])
    sizes = {tensor.name: len(tensor.raw_data) for tensor in onnx.load_from_string(rounded).graph.initializer}
    assert sizes["words_packed"] == 5_000 * 32 and sizes["words_scales"] == 5_000 * 4
    assert "words" not in sizes and len(rounded) < len(graph) / 4


def test_graph_without_tables_is_unchanged(graph: bytes) -> None:
    once = tables_in_four_bits(graph)
    assert lookups(once) == []
    assert tables_in_four_bits(once) == once
