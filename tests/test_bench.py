"""Bench: real models in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit import Recipe, finetune
from kit.bench import bench
from kit.errors import DataError, ModelError


@pytest.fixture(scope="module")
def pair(tmp_path_factory, reviews: Path, tiny_checkpoint: Path) -> list[Path]:
    """A tiny network and a TF-IDF model of the same task."""
    runs = str(tmp_path_factory.mktemp("bench") / "runs")
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32}
    shared = {"task": "classification", "runs": runs, "data": data, "model": {"checkpoint": str(tiny_checkpoint)}}
    return [
        finetune(Recipe(method=method, train={"epochs": 1}, **shared), quiet=True).folder
        for method in ("finetune", "tfidf")
    ]


def test_models_are_measured_against_the_first(pair: list[Path], kit) -> None:
    result = kit("bench", *pair, "--rounds", 3, "--json")
    assert result.code == 0, result.err
    first, other = json.loads(result.out)
    assert first["speedups"] is None and first["backend"] == "eager"
    assert other["speedups"][0]["low"] <= other["speedups"][0]["value"] <= other["speedups"][0]["high"]
    assert other["p50_ms"] <= other["p95_ms"] <= other["p99_ms"]
    assert first["size_bytes"] > 1e6 and first["memory_bytes"] > 1e8 and first["texts_per_second"] > 100
    assert 0 < other["joules"] < first["joules"]
    assert other["speedups"][0]["value"] == pytest.approx(first["p50_ms"] / other["p50_ms"])


def test_a_folder_that_is_no_run_needs_texts(pair: list[Path], tmp_path: Path, kit) -> None:
    import shutil

    plain = tmp_path / "exported"
    shutil.copytree(pair[0] / "model", plain)
    with pytest.raises(DataError, match="none of the folders is a run"):
        bench([plain])
    texts = tmp_path / "texts.txt"
    texts.write_text("a fine film\nnot so fine\n", "utf-8")
    result = kit("bench", plain, "--texts", texts, "--rounds", 3)
    assert result.code == 0 and "exported" in result.out and "texts/s" in result.out


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a run nor a folder with a saved model"):
        bench([tmp_path])
