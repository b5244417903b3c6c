"""Errors for saved graphs name the file that does not fit the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kit.errors import EXPORT_AGAIN, MAKE_AGAIN, ModelError
from kit.models.backends.backend import Backend
from kit.models.backends.onnx import Graph, OnnxPredictor
from kit.models.damage import remedy
from kit.models.load import load_predictor


def graph_of(inputs: list[str], output: str = "logits") -> bytes:
    """Return a graph whose logits for two labels are both the mean of its inputs."""
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", [name], [f"{name}_"], to=kinds.FLOAT) for name in inputs]
    nodes += [
        helper.make_node("Sum", [f"{name}_" for name in inputs], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["mean", "mean"], [output], axis=1),
    ]
    shapes = [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "length"]) for name in inputs]
    result = helper.make_tensor_value_info(output, kinds.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "mean", shapes, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def saved(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Return the folder of a saved graph with token types as an input."""
    from transformers import AutoTokenizer

    graph = Graph(
        graph_of(["input_ids", "attention_mask", "token_type_ids"]),
        parameters=0,
        weights="float32",
        activations="float32",
        config={"id2label": {"0": "a", "1": "b"}},
    )
    folder = tmp_path / "run" / "model"
    OnnxPredictor(graph, AutoTokenizer.from_pretrained(tiny_checkpoint), 16).save(folder)
    return folder


def test_a_complete_graph_predicts(saved: Path) -> None:
    outputs = load_predictor(saved, backend=Backend.ONNX).outputs([("a fine film",), ("bad",)])
    assert outputs.shape == (2, 2)


def test_a_tokenizer_without_an_input_of_the_graph_is_named(saved: Path) -> None:
    content = {"tokenizer_class": "../../x", "model_max_length": 16}
    (saved / "tokenizer_config.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json names a tokenizer without token_type_ids"):
        load_predictor(saved, backend=Backend.ONNX)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: b"not a graph", r"ONNX Runtime cannot load .*run/model/model\.onnx: "),
        (lambda: graph_of(["input_ids"], "scores"), r"run/model/model\.onnx cannot be run: "),
    ],
)
def test_a_graph_that_cannot_be_run_is_named(saved: Path, graph, message: str) -> None:
    (saved / "model.onnx").write_bytes(graph())
    with pytest.raises(ModelError, match=message):
        load_predictor(saved, backend=Backend.ONNX)


def test_a_graph_for_another_number_of_labels_is_named(saved: Path) -> None:
    (saved / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}), "utf-8")
    with pytest.raises(ModelError, match=r"model\.onnx has 2 labels, .*config\.json names 3"):
        load_predictor(saved, backend=Backend.ONNX)


def test_the_hint_depends_on_the_kind_of_folder(saved: Path) -> None:
    assert remedy(saved) == "download or copy it again"
    (saved.parent / "record.json").touch()
    assert remedy(saved) == MAKE_AGAIN and "`kit finetune RECIPE --force`" in MAKE_AGAIN
    exported = shutil.copytree(saved, saved.parent.with_name("exported") / "onnx")
    (exported.parent / "kit.json").touch()
    assert remedy(exported) == remedy(exported.parent) == EXPORT_AGAIN
