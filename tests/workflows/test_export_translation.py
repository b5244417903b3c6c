"""Export of translation models: predictions without kit, cards and the examples on them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from kit import Record, predict
from kit.errors import ExportError, ModelError
from kit.models.load import load_predictor
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.bench import bench
from kit.workflows.compress import compress
from kit.workflows.export import Exported, export
from tests.support.plain_processes import PlainProcesses

TEXT = "A man in a red shirt."
LONG = "man " * 4_999 + "man"


@pytest.fixture(scope="module")
def both(scratch_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """A model in PyTorch, and in 8 bits for CTranslate2."""
    to = tmp_path_factory.mktemp("exported") / "both"
    return export(scratch_run, formats=["safetensors", "ct2"], to=to, speed=False)


@pytest.fixture(scope="module")
def warm(warm_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """An encoder with a new decoder and two tokenizers, in PyTorch and as ONNX graphs in 8 bits."""
    to = tmp_path_factory.mktemp("exported") / "warm"
    return export(warm_run, formats=["safetensors", "int8-onnx"], to=to, speed=False)


def translations_of_examples(plain: PlainProcesses, *folders: Path) -> list[str]:
    """Return what the examples on cards print for the texts of this module, in one process without kit."""
    lines = ["import os, sys; sys.modules['kit'] = None"]
    for folder in folders:
        examples = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
        lines += [f"os.chdir({str(folder.parent)!r})"]
        lines += [example.replace("A text.", text) for text in (TEXT, LONG) for example in examples]
    command = [sys.executable, "-c", "\n".join(lines)]
    process = plain.run(command, cwd=folders[0])
    assert process.returncode == 0, process.stderr[-1500:]
    return process.stdout.splitlines()


def test_each_format_translates_the_same_in_a_new_process(both: Exported, scratch_run: Path) -> None:
    torch_line, ct2_line = both.lines[:2]
    assert torch_line.startswith("safetensors: predicts the same translations as kit on all 20 test examples; ")
    assert "agrees with the run's predictions on 100.0 %" in torch_line
    assert (
        ct2_line.startswith("ct2: predicts the same translations as kit on all 20 test examples; ")
        and "agrees with the run's predictions" in ct2_line
    )
    names = {path.name for path in (both.folder / "ct2").iterdir()}
    assert {"model.bin", "generation_config.json", "tokenizer.json", "ct2.json"} <= names
    for model in (both.folder, both.folder / "ct2"):
        prediction = next(predict(model, TEXT))
        assert prediction["translation"] == load_predictor(model).outputs([(TEXT,)])[0]


def test_examples_on_the_cards_translate(both: Exported, warm: Exported, plain: PlainProcesses) -> None:
    assert (warm.folder / "target" / "tokenizer.json").is_file()
    assert warm.lines[1].startswith(
        "int8-onnx: predicts the same translations as kit on all 20 test examples, with greedy decoding; "
    )
    assert "agrees with the run's predictions with its own search settings on " in warm.lines[1]
    graphs = load_predictor(warm.folder / "int8-onnx")
    graphs.search_greedily()
    expected = []
    for folders, greedy in (((both.folder, both.folder / "ct2"), None), ((warm.folder,), graphs)):
        for text in (TEXT, LONG):
            predictions = [next(predict(folder, text)) for folder in folders]
            assert all(prediction.get("cut", False) is (text is LONG) for prediction in predictions)
            expected += [prediction["translation"] for prediction in predictions]
            expected += [] if greedy is None else [greedy.outputs([(text,)])[0]]
    assert translations_of_examples(plain, both.folder, warm.folder) == expected and all(expected)


def test_card_contains_languages_and_results(both: Exported, scratch_run: Path) -> None:
    card = (both.folder / "README.md").read_text("utf-8")
    _, front, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["pipeline_tag"] == "translation" and metadata["language"] == ["en", "de"]
    results = metadata["model-index"][0]["results"][0]
    assert results["task"]["type"] == "translation"
    values = {metric["type"]: metric["value"] for metric in results["metrics"]}
    metrics = Record.read(scratch_run).metrics
    assert set(values) == {"sacrebleu", "chrf", "ter"}
    assert values["ter"] == pytest.approx(100 * metrics["ter"].value, abs=0.01)
    assert "Translates a text from `en` to `de`." in text and "50 pairs of texts" in text
    assert "- bleu: `nrefs:1|case:mixed" in text and "assigns one of its labels" not in text
    assert "pip install ctranslate2 transformers" in text


def test_different_translations_stop_the_export(scratch_run: Path, tmp_path, monkeypatch) -> None:
    from kit.publishing import verify

    monkeypatch.setattr(
        verify, "_predict_in_new_process", lambda *arguments: {"labels": [], "translations": ["Ein Hund."] * 20}
    )
    with pytest.raises(ExportError, match="20 of 20 test examples differ from those of") as error:
        export(scratch_run, to=tmp_path / "exported", speed=False)
    assert "'Ein Hund.' now" in error.value.message and not (tmp_path / "exported").exists()


def test_impossible_formats_of_translation_models_are_refused(scratch_run: Path, warm_run: Path, tmp_path) -> None:
    with pytest.raises(ModelError, match=r"--format adapter: .* is a translation model, whose adapter is not kept"):
        export(scratch_run, formats=["adapter"], to=tmp_path / "exported")
    with pytest.raises(ModelError, match=r"ct2: .* made of an encoder and a fresh decoder"):
        export(warm_run, formats=["ct2"], to=tmp_path / "exported")


def test_bench_prints_sentences_and_tokens_per_second(both: Exported, scratch_run: Path, kit, monkeypatch) -> None:
    from kit.cli import bench_output

    content = compression_recipe(scratch_run).model_dump()
    content["compress"] |= {"steps": ["ct2"], "gate": {"retained": None}}
    # The export has computed this Record already.
    record = compress(compression_recipe(scratch_run).model_validate(content), quiet=True).record
    [first] = bench([record.folder], rounds=3, energy=False)
    assert first.backend == "ctranslate2"
    model = load_predictor(record.model_folder)
    tokens_per_text = first.tokens_per_second / first.texts_per_second
    assert 1 <= tokens_per_text < 20.5
    assert model.tokens(["A man."]) == load_predictor(scratch_run / "model").tokens(["A man."]) > 1
    printed: list[tuple] = []
    monkeypatch.setattr(bench_output, "print_table", lambda columns, rows: printed.append((columns, rows)))
    bench_output.print_bench([first])
    columns, rows = printed[0]
    assert columns[6:8] == ["sentences/s (at once)", "tokens/s"] and len(rows[0]) == len(columns)
    assert rows[0][7] == f"{first.tokens_per_second:,.0f}"
