"""Bench of real models, each in its own process."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from kit import Recipe, Record, bench, finetune
from kit.errors import DataError, ModelError, TrainingError
from kit.models.model_process import ModelProcess, peak_memory
from kit.runs.request import LoadedInputs
from kit.workflows.bench import Subject, _texts


@pytest.fixture(scope="module")
def pair(tmp_path_factory, reviews: Path, tiny_checkpoint: Path) -> list[Path]:
    """Return runs of a tiny network and a TF-IDF model of the same task."""
    runs = str(tmp_path_factory.mktemp("bench") / "runs")
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32}
    shared = {"task": "classification", "runs": runs, "data": data, "model": {"checkpoint": str(tiny_checkpoint)}}
    return [
        finetune(Recipe(method=method, train={"epochs": 1}, **shared), quiet=True).folder
        for method in ("finetune", "tfidf")
    ]


@pytest.fixture(scope="module")
def plain(pair: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the network's model without its run, as exported."""
    folder = Path(shutil.copytree(pair[0] / "model", tmp_path_factory.mktemp("bench") / "exported"))
    shutil.copytree(pair[0] / "model", folder / "onnx")  # another format, which does not count as its size
    return folder


@pytest.fixture(scope="module")
def measured(pair: list[Path], plain: Path) -> list[Subject]:
    """Measure an exported folder and a run, with the test texts of the run."""
    return bench([plain, pair[1]], rounds=3)


def test_models_are_measured_against_the_first(pair: list[Path], measured: list[Subject]) -> None:
    first, other = measured
    assert (first.name, other.name) == ("exported", pair[1].name)
    assert first.speedups is None and first.backend == "eager"
    assert other.speedups is not None
    assert other.speedups[0].low <= other.speedups[0].value <= other.speedups[0].high
    assert other.p50_ms <= other.p95_ms <= other.p99_ms
    assert first.size_bytes == Record.load(pair[0]).to_dict()["model_bytes"] > 1e6
    assert first.memory_bytes > 1e8 and first.texts_per_second > 100
    assert first.joules is not None and other.joules is not None and 0 < other.joules < first.joules
    assert other.speedups[0].value == pytest.approx(first.p50_ms / other.p50_ms)
    assert first.interval_ms[0] <= first.p50_ms <= first.interval_ms[1] and len(first.by_length) == 3


def test_models_with_the_same_signature_are_timed_once(pair: list[Path], plain: Path, monkeypatch) -> None:
    requests: list[str] = []
    ask = ModelProcess.ask

    def counted(process: ModelProcess, do: str, **job: object) -> dict[str, object]:
        requests.append(f"{process.name} {do}")
        return ask(process, do, **job)

    monkeypatch.setattr(ModelProcess, "ask", counted)
    first, other = bench([plain, pair[0]], texts=[("some",), ("other texts",)], rounds=1, energy=False)
    assert (other.p50_ms, other.measured_on) == (first.p50_ms, "exported")
    assert f"{other.name} latency" not in requests


def test_peak_memory_is_that_of_a_new_process(pair: list[Path], tmp_path: Path) -> None:
    texts = [("a fine film",), ("not so fine",)]
    assert 2e7 < peak_memory(pair[1] / "model", texts, 2) < 3e8  # TF-IDF, without the libraries of this process
    with pytest.raises(TrainingError, match="cannot be measured: ModelError: "):
        peak_memory(tmp_path, texts, 2)


def test_the_command_prints_the_measurements(pair: list[Path], measured: list[Subject], kit, monkeypatch) -> None:
    requests = []
    monkeypatch.setattr(
        import_module("kit.workflows.bench"),
        "bench",
        lambda folders, **options: requests.append((folders, options)) or measured,
    )
    shown = kit("bench", *pair, "--rounds", 3, "--compile")
    assert shown.code == 0 and "exported" in shown.out and "texts/s" in shown.out
    assert requests == [(pair, {"texts": None, "rounds": 3, "compiled": True})]
    first, other = json.loads(kit("bench", *pair, "--texts", "some.txt", "--json").out)
    assert first["speedups"] is None and other["speedups"][0]["value"] == measured[1].speedups[0].value
    assert first["p50_ms"] == measured[0].p50_ms and requests[1][1]["texts"] == Path("some.txt")


def test_texts_come_from_a_file_or_the_first_run(pair: list[Path], plain: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the folders is a run"):
        bench([plain])
    texts = tmp_path / "texts.txt"
    texts.write_text("a fine film\n\nnot so fine\n", "utf-8")
    assert _texts(texts, []) == [("a fine film",), ("not so fine",)]
    record = Record.read(pair[0])
    rows = LoadedInputs().cleaned(record.recipe.data).splits.test.texts
    assert _texts(None, [record]) == list(rows)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a run nor a folder with a saved model"):
        bench([tmp_path])
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter without its model") as caught:
        bench([tmp_path])
    assert caught.value.hint == "name the run: its model has the adapter merged"
