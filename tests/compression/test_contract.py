"""Contract of all techniques: the model evaluates, is saved, and predicts the same in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kit import Recipe, Record, evaluate
from kit.compression import TECHNIQUES
from kit.compression.capabilities import WORKS, capabilities, capability_table
from kit.compression.chain import Compression, require_chain
from kit.errors import ModelError
from kit.models.classifier import TransformerPredictor
from kit.models.kinds import form_of
from kit.models.load import load_predictor
from kit.publishing.formats import plan_formats
from kit.recipe.sections.compression import TECHNIQUES as SECTIONS
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress

# Each technique with its settings, and the minimum factor by which the file shrinks. Nearly all of the tiny model is
# its embedding matrix, which only some techniques change.
CASES: dict[str, tuple[object, float]] = {
    "vocabulary": ("vocabulary", 2),
    "prune": ({"prune": {"epochs": 0}}, 1),
    "early-exit": ("early-exit", 0.9),
    "onnx": ("onnx", 0.9),
    "int8-onnx": ("int8-onnx", 2.3),
    "int8-onnx, without embeddings": ({"int8-onnx": {"embeddings": "float32", "weights": "uint8"}}, 0.9),
    "int8-onnx, 4-bit embeddings": ({"int8-onnx": {"embeddings": "int4"}}, 2.8),
    "int4-onnx": ("int4-onnx", 2.8),
    "int8-onnx, aware": ({"int8-onnx": {"aware": 0.3}}, 2.3),
    "int8-torch": ("int8-torch", 1),
    "int8-torch, activations, aware": ({"int8-torch": {"activations": True, "aware": 0.3}}, 1),
    "int8-bnb": ("int8-bnb", 1),
    "nf4-bnb": ("nf4-bnb", 1),
    "float16": ("float16", 1.7),
    "bfloat16": ("bfloat16", 1.7),
}
TRANSLATORS_ONLY = {"ct2", "greedy"}  # see test_ctranslate2 and test_greedy
# Minimum share of test examples with the same prediction: a pruned model without recovery loses much, and so do layers
# of 32 features in 4 bits.
MIN_AGREEMENT = {
    "prune": 0.3,
    "nf4-bnb": 0.7,
    "int4-onnx": 0.65,
    "int8-onnx, 4-bit embeddings": 0.65,
    "vocabulary": 0.6,
}
FILES = {"record.json", "predictions.parquet", "model", "logs", "chain.json"}  # no intermediate files
TEXTS = [["a gripping, funny film"], ["so dull that i left"], ["日本 😀"]]
LOAD_ALL_SCRIPT = """
import json, logging, sys
logging.disable(logging.WARNING)
from pathlib import Path
from kit.models.load import load_predictor
from kit.publishing.formats import plan_formats
folders, texts = json.loads(sys.argv[1])
rows = [tuple(text) for text in texts]
print(json.dumps({folder: load_predictor(Path(folder)).outputs(rows).tolist() for folder in folders}))
"""


def chain(folder: Path, steps: list[object]) -> Recipe:
    content = compression_recipe(folder).model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None}}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def compressed(tiny_run: Path) -> dict[str, Compression]:
    return {case: compress(chain(tiny_run, [step]), quiet=True) for case, (step, _) in CASES.items()}


@pytest.fixture(scope="module")
def reloaded(compressed: dict[str, Compression]) -> dict[str, list[list[float]]]:
    """Return the logits of all models by folder, computed in one fresh process."""
    folders = [str(done.record.model_folder) for done in compressed.values()]
    command = [sys.executable, "-c", LOAD_ALL_SCRIPT, json.dumps([folders, TEXTS])]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.strip().splitlines()[-1])


def test_every_technique_of_the_recipe_is_registered_and_tested() -> None:
    assert set(TECHNIQUES) == set(SECTIONS) == {case.partition(",")[0] for case in CASES} | TRANSLATORS_ONLY


@pytest.mark.parametrize("case", CASES)
def test_compressed_model_matches_its_record(case, compressed, reloaded, tiny_run) -> None:
    done, (_, smaller) = compressed[case], CASES[case]
    record, source = Record.load(done.record.folder), Record.read(tiny_run)
    technique = case.partition(",")[0]
    assert record.to_dict()["model_bytes"] * smaller < source.to_dict()["model_bytes"]
    assert done.links[0].verdict.agreement.value >= MIN_AGREEMENT.get(case, 0.9)
    assert evaluate(record.folder).largest_difference < 1e-3
    assert {path.name for path in record.folder.iterdir()} <= FILES
    assert form_of(record.model_folder) is TECHNIQUES[technique].gives
    predictor = load_predictor(record.model_folder)
    if isinstance(predictor, TransformerPredictor):
        assert predictor.model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    here = predictor.outputs([tuple(row) for row in TEXTS])
    assert np.abs(here - np.array(reloaded[str(record.model_folder)])).max() < 1e-4


def test_self_attention_is_one_node_per_layer_and_respects_padding(compressed, tiny_run, tmp_path) -> None:
    import onnx
    import onnxruntime

    folder = compressed["onnx"].record.model_folder
    graph = onnx.load(folder / "model.onnx").graph
    weights = {tensor.name for tensor in graph.initializer}
    infos = {info.name for info in graph.value_info}
    assert not weights & infos, "ONNX Runtime 1.30 cannot quantize weights with a stored shape"
    kinds = [node.op_type for node in graph.node]
    layers = json.loads((tiny_run / "model" / "config.json").read_text("utf-8"))["encoder"]["num_hidden_layers"]
    assert kinds.count("MultiHeadAttention") == layers and "Softmax" not in kinds and "Transpose" not in kinds
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as-run.onnx")
    onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    optimized = {node.op_type for node in onnx.load(tmp_path / "as-run.onnx").graph.node}
    # SkipLayerNormalization is slow, see kit.compression.onnx_graphs.tracing.
    assert "LayerNormalization" in optimized and "SkipLayerNormalization" not in optimized
    texts = [("a gripping, funny film and so on " * 4,), ("dull",), ("so dull that i left",)]  # padded together
    graph_model, model = load_predictor(folder), load_predictor(tiny_run / "model")
    assert np.abs(graph_model.outputs(texts) - model.outputs(texts)).max() < 1e-4
    assert np.abs(graph_model.outputs(texts)[1:2] - graph_model.outputs(texts[1:2])).max() < 1e-4


@pytest.mark.parametrize("case", ["vocabulary", "early-exit", "int8-onnx"])
@pytest.mark.parametrize("piece", ["a gripping, funny film and so on ", "ab", "电影", "!", "😀"])
def test_long_text_without_line_breaks_is_fast(case, piece, compressed) -> None:
    """100,000 characters take a few tenths of a second; with quadratic time they would take minutes."""
    model = load_predictor(compressed[case].record.model_folder)
    text = (piece * 100_000)[:100_000]
    began = time.process_time()
    outputs = model.outputs([(text,)])
    assert time.process_time() - began < 5
    assert outputs.shape == (1, 2) and np.isfinite(outputs).all()


def test_cells_of_the_capability_table_are_true(compressed, tiny_run) -> None:
    """The cells of evaluate, save, reload and CPU are tested above; those of GPUs are not tested."""
    assert len(capability_table().splitlines()) == 2 + len(TECHNIQUES)
    rows = {row.technique.strip("`"): row for row in capabilities()}
    assert set(rows) == set(TECHNIQUES)
    for technique, row in rows.items():
        if technique in TRANSLATORS_ONLY:
            continue
        record = compressed[technique].record
        assert (row.evaluate, row.save, row.reload, row.cpu) == (WORKS,) * 4
        assert _is_refused(lambda: plan_formats(record, [], with_code=True)) == (row.export != WORKS), row  # noqa: B023
        last = chain(tiny_run, [technique, {"prune": {"epochs": 0.1}}]).compress
        start = Record.read(tiny_run)
        refused = _is_refused(lambda: require_chain(last, start, start.recipe))  # noqa: B023
        assert refused == (row.train != WORKS), row


def _is_refused(call: Callable[[], object]) -> bool:
    """Return True if a call raises ModelError, which must have a hint."""
    try:
        call()
    except ModelError as error:
        assert error.hint
        return True
    return False


def test_threads_share_the_batches_of_a_graph(compressed, reviews, monkeypatch) -> None:
    monkeypatch.setattr("kit.models.backends.onnx.thread_count", lambda: 3)
    threads = set()
    predictor = load_predictor(compressed["onnx"].record.model_folder)
    original = predictor._logits

    def watched(session, dataset, indices):
        threads.add(threading.current_thread().name)
        time.sleep(0.01)  # otherwise one thread may finish all batches before the others begin
        return original(session, dataset, indices)

    monkeypatch.setattr(predictor, "_logits", watched)
    texts = pd.read_csv(reviews / "test.csv")["text"].tolist()
    rows = [(text,) for text in texts]
    together = predictor.outputs(rows)
    assert len(threads) == 3
    alone = np.concatenate([predictor.outputs([row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-4
    assert predictor.outputs([]).shape == (0, together.shape[1])


@pytest.mark.parametrize(("seconds", "expected"), [([3, 2, 1], 4), ([3, 2, 2], 2), ([1, 2, 0], 1)])
def test_single_text_gets_the_fastest_number_of_threads(seconds, expected, compressed, monkeypatch) -> None:
    predictor = load_predictor(compressed["onnx"].record.model_folder)
    monkeypatch.setattr("kit.models.backends.onnx.thread_count", lambda: 4)
    measured = iter(seconds)
    monkeypatch.setattr("kit.models.backends.onnx._seconds", lambda session, inputs: next(measured))
    assert predictor._shared_session.get_session_options().intra_op_num_threads == expected


def test_quantized_model_cannot_be_quantized_again(tiny_run: Path) -> None:
    with pytest.raises(ModelError, match="int8-onnx: what int8-bnb leaves is a quantized model of torch") as error:
        compress(chain(tiny_run, ["int8-bnb", "int8-onnx"]), quiet=True)
    assert "quantization comes last" in error.value.hint
