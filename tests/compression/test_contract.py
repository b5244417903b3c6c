"""What every technique promises: its model evaluates, is saved, loads in a fresh process and answers the same there."""

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
from kit.errors import ModelError
from kit.models.predictor import TransformerPredictor, load_predictor
from kit.models.saved_kind import kind_of
from kit.publishing.formats import plan_formats
from kit.recipe.sections.compression import TECHNIQUES as SECTIONS
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import Compression, _require_chain, compress

REPOSITORY = Path(__file__).parents[2]

# Each technique with the settings that are not its defaults, and the least that its file is smaller: nearly all of the
# tiny model is its table of embeddings, which only some techniques touch.
CASES: dict[str, tuple[object, float]] = {
    "vocabulary": ("vocabulary", 3),
    "prune": ({"prune": {"epochs": 0}}, 1),
    "early-exit": ("early-exit", 0.9),
    "onnx": ("onnx", 0.9),
    "int8-onnx": ("int8-onnx", 2.3),
    "int8-onnx, without the table": ({"int8-onnx": {"embeddings": "float32", "weights": "uint8"}}, 0.9),
    "int8-onnx, the table in 4 bits": ({"int8-onnx": {"embeddings": "int4"}}, 2.8),
    "int4-onnx": ("int4-onnx", 2.8),
    "int8-onnx, learnt": ({"int8-onnx": {"aware": 0.3}}, 2.3),
    "int8-torch": ("int8-torch", 1),
    "int8-torch, activations too, learnt": ({"int8-torch": {"activations": True, "aware": 0.3}}, 1),
    "int8-bnb": ("int8-bnb", 1),
    "nf4-bnb": ("nf4-bnb", 1),
    "float16": ("float16", 1.7),
    "bfloat16": ("bfloat16", 1.7),
}
TRANSLATORS_ALONE = {"ct2"}  # see test_ct2
# The least share of test examples that is answered as before: much is gone from a pruned model that has not recovered,
# and four bits are few for layers of 32 features.
ALIKE = {
    "prune": 0.3,
    "nf4-bnb": 0.7,
    "int4-onnx": 0.65,
    "int8-onnx, the table in 4 bits": 0.65,
    "vocabulary": 0.6,
}
WRITTEN = {"record.json", "predictions.parquet", "model", "logs", "chain.json"}  # and nothing that was in between
TEXTS = [["a gripping, funny film"], ["so dull that i left"], ["日本 😀"]]
LOADS_ALL = """
import json, logging, sys
logging.disable(logging.WARNING)
from pathlib import Path
from kit.models.predictor import load_predictor
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
def made(tiny_run: Path) -> dict[str, Compression]:
    return {case: compress(chain(tiny_run, [step]), quiet=True) for case, (step, _) in CASES.items()}


@pytest.fixture(scope="module")
def reloaded(made: dict[str, Compression]) -> dict[str, list[list[float]]]:
    """Logits by folder, of all models loaded in one fresh process."""
    folders = [str(done.record.model_folder) for done in made.values()]
    command = [sys.executable, "-c", LOADS_ALL, json.dumps([folders, TEXTS])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.strip().splitlines()[-1])


def test_every_technique_of_the_recipe_is_there_and_is_tested() -> None:
    assert set(TECHNIQUES) == set(SECTIONS) == {case.partition(",")[0] for case in CASES} | TRANSLATORS_ALONE


@pytest.mark.parametrize("case", CASES)
def test_a_compressed_model_is_what_its_record_says(case, made, reloaded, tiny_run) -> None:
    done, (_, smaller) = made[case], CASES[case]
    record, source = Record.load(done.record.folder), Record.read(tiny_run)
    technique = case.partition(",")[0]
    assert record.content["model_bytes"] * smaller < source.content["model_bytes"]
    assert done.links[0].verdict.agreement.value >= ALIKE.get(case, 0.9)
    assert evaluate(record.folder).largest_difference < 1e-3
    assert {path.name for path in record.folder.iterdir()} <= WRITTEN
    assert kind_of(record.model_folder) is TECHNIQUES[technique].gives
    predictor = load_predictor(record.model_folder)
    if isinstance(predictor, TransformerPredictor):
        assert predictor.model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    here = predictor.outputs([tuple(row) for row in TEXTS])
    assert np.abs(here - np.array(reloaded[str(record.model_folder)])).max() < 1e-4


def test_self_attention_is_one_node_a_layer_and_pads_like_the_model(made, tiny_run, tmp_path) -> None:
    import onnx
    import onnxruntime

    folder = made["onnx"].record.model_folder
    graph = onnx.load(folder / "model.onnx").graph
    weights = {each.name for each in graph.initializer}
    assert not weights & {each.name for each in graph.value_info}, "what ONNX Runtime 1.30 trips over when it rounds"
    kinds = [node.op_type for node in graph.node]
    layers = json.loads((tiny_run / "model" / "config.json").read_text("utf-8"))["encoder"]["num_hidden_layers"]
    assert kinds.count("MultiHeadAttention") == layers and "Softmax" not in kinds and "Transpose" not in kinds
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as-run.onnx")
    onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    run = {node.op_type for node in onnx.load(tmp_path / "as-run.onnx").graph.node}
    assert (
        "LayerNormalization" in run and "SkipLayerNormalization" not in run
    )  # the slow one, see kit.compression.onnx_graphs.tracing
    texts = [("a gripping, funny film and so on " * 4,), ("dull",), ("so dull that i left",)]  # padded together
    answers, model = load_predictor(folder), load_predictor(tiny_run / "model")
    assert np.abs(answers.outputs(texts) - model.outputs(texts)).max() < 1e-4
    assert np.abs(answers.outputs(texts)[1:2] - answers.outputs(texts[1:2])).max() < 1e-4


@pytest.mark.parametrize("case", ["vocabulary", "early-exit", "int8-onnx"])
@pytest.mark.parametrize("piece", ["a gripping, funny film and so on ", "ab", "电影", "!", "😀"])
def test_a_long_text_in_one_line_takes_no_longer_than_reading_it(case, piece, made) -> None:
    """100,000 characters take a few tenths of a second; what grows with their square would take minutes."""
    model = load_predictor(made[case].record.model_folder)
    text = (piece * 100_000)[:100_000]
    began = time.process_time()
    outputs = model.outputs([(text,)])
    assert time.process_time() - began < 5
    assert outputs.shape == (1, 2) and np.isfinite(outputs).all()


def test_each_cell_of_the_table_of_capabilities_is_so(made, tiny_run) -> None:
    """evaluate, save, reload and the CPU are tested above; GPUs are not at hand."""
    assert capability_table() in (REPOSITORY / "README.md").read_text("utf-8")
    rows = {row.technique.strip("`"): row for row in capabilities()}
    assert set(rows) == set(TECHNIQUES)
    for technique, row in rows.items():
        if technique in TRANSLATORS_ALONE:
            continue
        record = made[technique].record
        assert (row.evaluate, row.save, row.reload, row.cpu) == (WORKS,) * 4
        assert _refusal(lambda: plan_formats(record, [], with_code=True)) == (row.export != WORKS), row  # noqa: B023
        last = chain(tiny_run, [technique, {"prune": {"epochs": 0.1}}]).compress
        start = Record.read(tiny_run)
        refused = _refusal(lambda: _require_chain(last, start, start.recipe))  # noqa: B023
        assert refused == (row.train != WORKS), row


def _refusal(do: Callable[[], object]) -> bool:
    """Whether it is refused, with a way out."""
    try:
        do()
    except ModelError as error:
        assert error.hint
        return True
    return False


def test_threads_share_the_batches_of_a_graph(made, reviews, monkeypatch) -> None:
    monkeypatch.setattr("kit.models.backends.onnx.torch.get_num_threads", lambda: 3)
    seen = set()
    predictor = load_predictor(made["onnx"].record.model_folder)
    answer = predictor._answer

    def watched(session, dataset, indices):
        seen.add(threading.current_thread().name)
        time.sleep(0.01)  # or one could be done with all before the others begin
        return answer(session, dataset, indices)

    monkeypatch.setattr(predictor, "_answer", watched)
    texts = pd.read_csv(reviews / "test.csv")["text"].tolist()
    rows = [(text,) for text in texts]
    together = predictor.outputs(rows)
    assert len(seen) == 3
    alone = np.concatenate([predictor.outputs([row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-4
    assert predictor.outputs([]).shape == (0, together.shape[1])


@pytest.mark.parametrize(("seconds", "expected"), [([3, 2, 1], 4), ([3, 2, 2], 2), ([1, 2, 0], 1)])
def test_a_single_text_gets_as_many_threads_as_answer_it_soonest(seconds, expected, made, monkeypatch) -> None:
    predictor = load_predictor(made["onnx"].record.model_folder)
    monkeypatch.setattr("kit.models.backends.onnx.torch.get_num_threads", lambda: 4)
    taken = iter(seconds)
    monkeypatch.setattr("kit.models.backends.onnx._seconds", lambda session, inputs: next(taken))
    assert predictor._shared_session.get_session_options().intra_op_num_threads == expected


def test_a_quantized_model_is_not_quantized_again(tiny_run: Path) -> None:
    with pytest.raises(ModelError, match="int8-onnx: what int8-bnb leaves is a quantized model of torch") as error:
        compress(chain(tiny_run, ["int8-bnb", "int8-onnx"]), quiet=True)
    assert "quantization comes last" in error.value.hint
