"""Compute signatures: equal for models that do the same arithmetic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kit.models.signature import compute_signature


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "model", tmp_path / "model"))


def changed(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_names_and_dropout_do_not_change_the_signature(tiny_run: Path, copy: Path) -> None:
    changed(copy, id2label={"0": "bad", "1": "good"}, label2id={"bad": 0, "good": 1}, classifier_dropout=0.3)
    assert compute_signature(copy) == compute_signature(tiny_run / "model")


@pytest.mark.parametrize("values", [{"id2label": {"0": "a"}}, {"model_type": "other"}, {"pooling": "cls"}])
def test_another_architecture_has_another_signature(tiny_run: Path, copy: Path, values: dict[str, object]) -> None:
    changed(copy, **values)
    assert compute_signature(copy) != compute_signature(tiny_run / "model")


def test_the_maximum_length_changes_the_signature(tiny_run: Path, copy: Path) -> None:
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "model_max_length": 7}), "utf-8")
    assert compute_signature(copy) != compute_signature(tiny_run / "model")


def test_methods_on_one_checkpoint_share_a_signature(studied: Path) -> None:
    signatures = {}
    for path in studied.parent.glob("*/model"):
        signatures.setdefault(path.parent.name.split("-")[0], set()).add(compute_signature(path))
    assert signatures["probe"] == signatures["scratch"] and len(signatures["probe"]) == 1
    assert not signatures["tfidf"] & signatures["probe"]
    assert len(signatures["tfidf"]) == len(list(studied.parent.glob("tfidf*/model")))  # each has its own vocabulary


def test_translators_share_no_signature_in_any_precision(scratch_run: Path, tmp_path: Path) -> None:
    """Two translators of equal shapes in 16 bits still write translations of different lengths."""
    folders = [Path(shutil.copytree(scratch_run / "model", tmp_path / name)) for name in ("first", "second")]
    for folder in folders:
        weights = {name: weight.to(torch.float16) for name, weight in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        changed(folder, dtype="float16")
    assert len({compute_signature(folder) for folder in folders}) == 2
