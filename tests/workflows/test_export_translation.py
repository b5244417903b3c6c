"""Exported translators: what a process without kit writes with them, what the card says, and that its lines work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from kit import Record, predict
from kit.errors import ExportError, ModelError
from kit.models.predictor import load_predictor
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.bench import bench
from kit.workflows.compress import compress
from kit.workflows.export import Exported, export
from tests.support.plain_processes import PlainProcesses

TEXT = "A man in a red shirt."
LONG = "man " * 4_999 + "man"


@pytest.fixture(scope="module")
def both(scratch_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """A model in torch, and for CTranslate2 in 8 bits."""
    to = tmp_path_factory.mktemp("exported") / "both"
    return export(scratch_run, formats=["safetensors", "ct2"], to=to, speed=False)


@pytest.fixture(scope="module")
def warm(warm_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """An encoder with a fresh decoder: a tokenizer for each side; and its graphs, in 8 bits."""
    to = tmp_path_factory.mktemp("exported") / "warm"
    return export(warm_run, formats=["safetensors", "int8-onnx"], to=to, speed=False)


def translated_by_the_cards(plain: PlainProcesses, *folders: Path) -> list[str]:
    """What the lines of cards print, each with a text of the tests, in one process that has no kit."""
    lines = ["import os, sys; sys.modules['kit'] = None"]
    for folder in folders:
        found = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
        lines += [f"os.chdir({str(folder.parent)!r})"]
        lines += [each.replace("A text.", text) for text in (TEXT, LONG) for each in found]
    command = [sys.executable, "-c", "\n".join(lines)]
    ran = plain.run(command, cwd=folders[0])
    assert ran.returncode == 0, ran.stderr[-1500:]
    return ran.stdout.splitlines()


def test_each_format_writes_the_same_in_a_fresh_process(both: Exported, scratch_run: Path) -> None:
    torch_line, ct2_line = both.lines[:2]
    assert torch_line.startswith("safetensors: without kit the same translations as with it on all 20 test examples; ")
    assert "agrees with the run on 100.0 %" in torch_line
    assert (
        ct2_line.startswith("ct2: without kit the same translations as with it on all 20 test examples; ")
        and "agrees with the run" in ct2_line
    )
    names = {path.name for path in (both.folder / "ct2").iterdir()}
    assert {"model.bin", "generation_config.json", "tokenizer.json", "ct2.json"} <= names
    for model in (both.folder, both.folder / "ct2"):
        answer = next(predict(model, TEXT))
        assert answer["translation"] == load_predictor(model).outputs([(TEXT,)])[0]


def test_the_lines_of_the_cards_translate(both: Exported, warm: Exported, plain: PlainProcesses) -> None:
    assert (warm.folder / "target" / "tokenizer.json").is_file()
    assert warm.lines[1].startswith(
        "int8-onnx: without kit the same translations as with it on all 20 test examples, without a search; "
    )
    assert "agrees with the run, which searches, on " in warm.lines[1]
    graphs = load_predictor(warm.folder / "int8-onnx")
    graphs.search_greedily()
    expected = []
    for folders, more in (((both.folder, both.folder / "ct2"), None), ((warm.folder,), graphs)):
        for text in (TEXT, LONG):
            answers = [next(predict(folder, text)) for folder in folders]
            assert all(answer.get("cut", False) is (text is LONG) for answer in answers)
            expected += [answer["translation"] for answer in answers]
            expected += [] if more is None else [more.outputs([(text,)])[0]]
    assert translated_by_the_cards(plain, both.folder, warm.folder) == expected and all(expected)


def test_the_card_says_what_it_translates_and_how_well(both: Exported, scratch_run: Path) -> None:
    card = (both.folder / "README.md").read_text("utf-8")
    _, front, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["pipeline_tag"] == "translation" and metadata["language"] == ["en", "de"]
    results = metadata["model-index"][0]["results"][0]
    assert results["task"]["type"] == "translation"
    found = {each["type"]: each["value"] for each in results["metrics"]}
    metrics = Record.read(scratch_run).metrics
    assert set(found) == {"sacrebleu", "chrf", "ter"}
    assert found["ter"] == pytest.approx(100 * metrics["ter"].value, abs=0.01)
    assert "Translates a text from `en` to `de`." in text and "50 pairs of texts" in text
    assert "- bleu: `nrefs:1|case:mixed" in text and "It gives one of its labels" not in text
    assert "pip install ctranslate2 transformers" in text


def test_a_translation_that_is_another_one_keeps_everything_back(scratch_run: Path, tmp_path, monkeypatch) -> None:
    from kit.publishing import verify

    monkeypatch.setattr(verify, "_ask", lambda *job: {"labels": [], "translations": ["Ein Hund."] * 20})
    with pytest.raises(ExportError, match="20 of 20 test examples are not answered as") as error:
        export(scratch_run, to=tmp_path / "exported", speed=False)
    assert "'Ein Hund.' now" in error.value.message and not (tmp_path / "exported").exists()


def test_formats_that_a_translator_has_not_are_refused(scratch_run: Path, warm_run: Path, tmp_path) -> None:
    with pytest.raises(ModelError, match=r"--format adapter: .* of a translator no adapter is kept"):
        export(scratch_run, formats=["adapter"], to=tmp_path / "exported")
    with pytest.raises(ModelError, match=r"ct2: .* made of an encoder and a fresh decoder"):
        export(warm_run, formats=["ct2"], to=tmp_path / "exported")


def test_bench_tells_sentences_and_tokens_a_second(both: Exported, scratch_run: Path, kit, monkeypatch) -> None:
    from kit.cli.app import tables as terminal

    content = compression_recipe(scratch_run).model_dump()
    content["compress"] |= {"steps": ["ct2"], "gate": {"retained": None}}
    record = compress(compression_recipe(scratch_run).model_validate(content), quiet=True).record  # made by the export
    [first] = bench([record.folder], rounds=3, energy=False)
    assert first.backend == "ctranslate2"
    model = load_predictor(record.model_folder)
    each = first.tokens_per_second / first.texts_per_second
    assert 1 <= each < 20.5 and model.tokens(["A man."]) == load_predictor(scratch_run / "model").tokens(["A man."]) > 1
    printed: list[tuple] = []
    monkeypatch.setattr(terminal, "print_table", lambda columns, rows: printed.append((columns, rows)))
    terminal.print_bench([first])
    columns, rows = printed[0]
    assert columns[6:8] == ["sentences/s (at once)", "tokens/s"] and len(rows[0]) == len(columns)
    assert rows[0][7] == f"{first.tokens_per_second:,.0f}"
