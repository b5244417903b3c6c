"""Tables in four bits: what ONNX Runtime looks up in them, and how close it is."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'kit[onnx]'")

from kit.compression.onnx_graphs.four_bits import lookups, tables_in_four_bits  # noqa: E402

WORDS, POSITIONS, ODD = (5_000, 64), (128, 64), (700, 33)


@pytest.fixture(scope="module")
def tables() -> dict[str, np.ndarray]:
    """Rows of very different size, one of zeros, one with a single number that is far from the others."""
    random = np.random.default_rng(0)
    words = random.normal(size=WORDS) * random.lognormal(size=(WORDS[0], 1))
    words[7] = 0
    words[8] = [*[0.01] * 63, 1.0]
    made = {"words": words, "positions": random.normal(size=POSITIONS), "odd": random.normal(size=ODD)}
    return {name: table.astype(np.float32) for name, table in made.items()}


@pytest.fixture(scope="module")
def graph(tables: dict[str, np.ndarray]) -> bytes:
    """Looks rows of each table up; the words twice."""
    from onnx import TensorProto, helper, numpy_helper

    names = {"first": "words", "second": "words", "third": "positions", "fourth": "odd"}
    made = helper.make_graph(
        [helper.make_node("Gather", [table, "ids"], [name], f"{name}_node") for name, table in names.items()],
        "lookups",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def answers(model: bytes, ids: np.ndarray) -> list[np.ndarray]:
    from onnxruntime import InferenceSession

    return [np.asarray(each) for each in InferenceSession(model).run(None, {"ids": ids})]


def test_rows_are_as_close_as_sixteen_steps_can_be(graph: bytes, tables: dict[str, np.ndarray]) -> None:
    ids = np.arange(120).reshape(3, 40)
    first, second, positions, odd = answers(tables_in_four_bits(graph), ids)
    whole = tables["words"][ids]
    assert np.array_equal(first, second) and first.shape == whole.shape
    largest = np.abs(whole).max(-1, keepdims=True)
    plain = np.clip(np.rint(whole / np.maximum(largest, 1e-9) * 7), -8, 7) * largest / 7
    error, usual = (np.square(each - whole).sum(-1) for each in (first, plain))
    assert (error <= usual * 1.0001).all() and error.mean() < 0.9 * usual.mean()
    assert not first.reshape(-1, 64)[7].any() and first.reshape(-1, 64)[8, -1] == pytest.approx(1.0, rel=0.1)
    assert 0 < np.square(positions - tables["positions"][ids]).mean() < 0.03
    assert np.array_equal(odd, tables["odd"][ids]), "rows of an odd width stay as they are"


def test_small_tables_are_left_alone_if_asked(graph: bytes, tables: dict[str, np.ndarray]) -> None:
    assert lookups(graph) == ["first_node", "second_node", "third_node"]
    assert lookups(graph, 0.125) == ["first_node", "second_node"]
    ids = np.arange(12).reshape(2, 6)
    rounded = tables_in_four_bits(graph, 0.125)
    assert np.array_equal(answers(rounded, ids)[2], tables["positions"][ids])
    sizes = {each.name: len(each.raw_data) for each in onnx.load_from_string(rounded).graph.initializer}
    assert sizes["words_packed"] == 5_000 * 32 and sizes["words_scales"] == 5_000 * 4
    assert "words" not in sizes and len(rounded) < len(graph) / 4


def test_a_graph_without_tables_is_the_same(graph: bytes) -> None:
    once = tables_in_four_bits(graph)
    assert lookups(once) == []
    assert tables_in_four_bits(once) == once
