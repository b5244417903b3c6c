"""Graphs that are filled with weights instead of traced: equal to the last bit to traced ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kit.compression.onnx_graphs import templates
from kit.compression.onnx_graphs.templates import traced_once
from kit.compression.steps import onnx
from kit.compression.steps.onnx import graph_of
from kit.models.checkpoints.loading import load_classifier

TEXTS = [("a gripping, funny film",), ("so dull that i left",)]
JOB = SimpleNamespace(
    data=SimpleNamespace(train=SimpleNamespace(texts=TEXTS)),
    recipe=SimpleNamespace(data=SimpleNamespace(max_length=32)),
)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each traced model, without templates of earlier tests."""
    folders: list[str] = []
    trace = onnx.traced
    monkeypatch.setattr(templates, "_templates", {})
    monkeypatch.setattr(
        onnx, "traced", lambda *args, what, **more: folders.append(what) or trace(*args, what=what, **more)
    )
    return folders


def changed(model: Path, folder: Path, tokens: int = 0) -> Path:
    """Return a copy of a model with other weights and this number of further tokens."""
    shutil.copytree(model, folder)
    classifier = load_classifier(folder)
    if tokens:
        encoder = classifier.base_model
        encoder.resize_token_embeddings(encoder.config.vocab_size + tokens, mean_resizing=False)
        classifier.config.encoder = encoder.config.to_dict()
    with torch.no_grad():
        for weight in classifier.parameters():
            weight.mul_(1.1)
    classifier.save_pretrained(folder)
    (folder / "notes.txt").write_text(str(folder))  # tests keep graphs by the content of their folder
    return folder


def test_filled_graphs_equal_traced_ones_to_the_bit(tiny_run: Path, tmp_path: Path, traces, monkeypatch) -> None:
    first, other = changed(tiny_run / "model", tmp_path / "first"), changed(tmp_path / "first", tmp_path / "other")
    filled = [graph_of(first, JOB), graph_of(other, JOB)]
    assert traces == [str(first)]
    assert filled[0].model != filled[1].model
    monkeypatch.setattr(onnx, "traced_once", lambda module, key, trace: trace())
    (other / "notes.txt").write_text("another content")
    assert graph_of(other, JOB).model == filled[1].model
    assert traces == [str(first), str(other)]


def test_another_vocabulary_is_traced_anew(tiny_run: Path, tmp_path: Path, traces) -> None:
    first = changed(tiny_run / "model", tmp_path / "first")
    larger = changed(tiny_run / "model", tmp_path / "larger", tokens=8)
    graphs = [graph_of(first, JOB), graph_of(larger, JOB)]
    assert traces == [str(first), str(larger)]
    assert len(graphs[1].model) - len(graphs[0].model) == pytest.approx(8 * 32 * 4, abs=100)


def test_a_module_with_a_weight_of_one_number_is_always_traced(traces) -> None:
    module, calls = torch.nn.Linear(1, 1), []
    graphs = [traced_once(module, "key", lambda: calls.append(1) or b"graph") for _ in range(2)]
    assert (graphs, len(calls)) == ([b"graph", b"graph"], 2)
