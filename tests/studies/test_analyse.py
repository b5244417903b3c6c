"""Findings, report and advice from the Records of a real study."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from statistics import mean

import pytest

from kit.errors import RecordError
from kit.records.record import Record
from kit.runs.execute import finetune
from kit.studies.analyse import analyse
from kit.studies.grid import Cell, series_names
from kit.studies.ledger import Ledger
from tests.conftest import Kit


@pytest.fixture
def copied(studied: Path, tmp_path: Path) -> Path:
    """Return a copy of the study with its Records, to be changed."""
    shutil.copytree(studied.parent, tmp_path / "runs", ignore=shutil.ignore_patterns("model", "logs"))
    return tmp_path / "runs" / studied.name


def test_means_equal_the_records(studied: Path) -> None:
    findings = analyse(studied)
    assert [item.name for item in findings.series] == ["tfidf", "probe", "scratch"]
    for series in findings.series:
        assert [point.budget for point in series.points] == [20, 40, 80, 160]
        for point in series.points:
            values = [Record.load(studied.parent / run.record).metrics["accuracy"].value for run in point.runs]
            assert len(values) == 2
            assert point.estimate.value == pytest.approx(mean(values))
            assert point.estimate.low < point.estimate.value < point.estimate.high
        assert series.speed is not None
        assert 0 < series.speed.p50_ms <= series.speed.p95_ms
        assert series.model_bytes
        assert series.fit is not None or series.refusal
    assert findings.test_examples == len(Record.load(studied.parent / findings.cells[0].record).predictions().ids)


def test_every_cell_is_listed_with_its_state(studied: Path) -> None:
    findings = analyse(studied)
    states = [row.state for row in findings.cells]
    assert len(states) == 32
    assert states.count("finished") == 24
    failed = [row for row in findings.cells if row.state == "failed"]
    assert {row.series for row in failed} == {"lora"}
    assert all("lora.targets: ['nowhere'] are not modules" in row.error for row in failed)
    assert "8 of 32 cells failed, and are missing from the means." in findings.notes
    assert any("2 seeds" in note for note in findings.notes)


def test_findings_cover_the_finished_series(studied: Path) -> None:
    findings = analyse(studied)
    assert {(c.a, c.b, c.budget) for c in findings.comparisons} == {
        ("tfidf", "probe", 160), ("tfidf", "scratch", 160), ("probe", "scratch", 160),
    }  # fmt: skip
    assert all(c.judgement.words == "not tested: 2 seeds" for c in findings.comparisons)
    assert [(item.series, item.budget) for item in findings.worth] == [("probe", b) for b in (20, 40, 80, 160)]
    assert len(findings.frontier) == 12
    assert not all(choice.dominated for choice in findings.frontier)
    assert findings.answer[0].startswith("Highest mean at 160 labels: ")


def test_records_of_other_test_examples_do_not_mix(copied: Path) -> None:
    ledger = Ledger.load(copied)
    recipe = ledger.recipe
    other = recipe.model_copy(
        update={
            "method": "tfidf",
            "runs": str(copied.parent),
            "data": recipe.data.model_copy(update={"source": f"{recipe.data.source}/train.csv", "budget": 20}),
        }
    )
    record = finetune(other, quiet=True)
    path = copied / "cells" / "tfidf-20-s0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "record": record.id}))
    with pytest.raises(RecordError, match="tested on other examples"):
        analyse(copied)


def test_a_cell_without_its_record_is_open_again(copied: Path) -> None:
    gone = next(copied.parent.glob("tfidf-20-*"))
    shutil.rmtree(gone)
    findings = analyse(copied)
    assert sum(row.state == "open" for row in findings.cells) == 1
    assert any(note.startswith("1 of 32 cells have not been run") or "1 of 32" in note for note in findings.notes)


@pytest.mark.parametrize("content", ["[]", "{", '{"format": 1, "speeds": {}}'])
def test_a_damaged_file_of_latencies_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "speed.json").write_text(content)
    assert Ledger(tmp_path, {}).speed_damage == "is damaged or of an earlier version of kit"
    (tmp_path / "speed.json").unlink()
    assert Ledger(tmp_path, {}).speed_damage == ""


def test_edited_predictions_are_left_out(copied: Path) -> None:
    one, other = (sorted(copied.parent.glob(f"tfidf-{budget}-s0-*"))[0] for budget in (20, 40))
    shutil.copy(one / "predictions.parquet", other / "predictions.parquet")
    (sorted(copied.parent.glob("tfidf-80-s0-*"))[0] / "predictions.parquet").write_bytes(b"PAR1")
    (sorted(copied.parent.glob("tfidf-160-s0-*"))[0] / "predictions.parquet").unlink()
    states = {(row.budget, row.seed): row.state for row in analyse(copied).cells if row.series == "tfidf"}
    assert {where for where, state in states.items() if state == "open"} == {(40, 0), (80, 0), (160, 0)}


def test_a_study_without_a_finished_cell_is_an_error(copied: Path) -> None:
    for path in (copied / "cells").glob("*.json"):
        path.unlink()
    with pytest.raises(RecordError, match=r"is unfinished: 0 of \d+ cells"):
        analyse(copied)


def test_series_have_checkpoint_names_only_if_there_are_several() -> None:
    one = [Cell("finetune", "org/small", 10, 0), Cell("tfidf", None, 10, 0)]
    assert list(series_names(one).values()) == ["finetune", "tfidf"]
    two = [*one, Cell("finetune", "org/large", 10, 0)]
    assert list(series_names(two).values()) == ["finetune small", "tfidf", "finetune large"]
    ambiguous = [*one, Cell("finetune", "other/small", 10, 0)]
    assert list(series_names(ambiguous).values()) == ["finetune org/small", "tfidf", "finetune other/small"]


def test_the_report_command_writes_page_text_tables_and_pictures(copied: Path, kit: Kit) -> None:
    done = kit("report", copied)
    assert done.code == 0, done.err
    answer = analyse(copied).answer
    assert answer[0] in done.out
    page = (copied / "report.html").read_text("utf-8").replace("\u00a0", " ")
    assert answer[0] in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert answer[0].split(":")[0] in (copied / "report.md").read_text("utf-8")
    with (copied / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 32
    assert (copied / "charts" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_the_advise_command_prints_lines_and_json(studied: Path, kit: Kit) -> None:
    best = max(point.estimate.value for item in analyse(studied).series for point in item.points)
    advice = kit("advise", studied, "--target", "0.4", "--label-cost", "0.1", "--max-size-mb", "50")
    assert advice.code == 0, advice.err
    assert advice.out.startswith("the target of 40.0 % needs no model: always predicting ")
    assert "\nundecided: " in advice.out
    assert "for labels" in advice.out
    content = json.loads(kit("advise", studied, "--json").out)
    assert content["choice"]["metric"]["value"] == pytest.approx(best)
    lines = kit("advise", studied).out.splitlines()
    assert content["lines"] == lines[: len(content["lines"])]
    table = [line.split() for line in lines[len(content["lines"]) :] if " labels" in line]
    assert [int(row[0]) for row in table] == [labels for labels, _ in content["by_labels"]]
    assert len(table) == len({point.budget for item in analyse(studied).series for point in item.points})
    assert content["sure"] == any(line.startswith("sure: ") for line in lines)
    assert kit("advise", studied, "--target", "85").code == 2
    nothing = kit("advise", studied, "--target", "0.999", "--max-size-mb", "0.001")
    assert nothing.code == kit("advise", studied, "--target", "0.999", "--max-size-mb", "0.001", "--json").code == 1
    assert nothing.out.startswith("nothing qualifies: ")


@pytest.mark.parametrize("command", ["report", "advise"])
def test_a_folder_without_a_study_is_bad_input(command: str, tmp_path: Path, kit: Kit) -> None:
    done = kit(command, tmp_path)
    assert done.code == 2
    assert "is not a study: it has no study.json" in done.err
    (tmp_path / "study.json").write_text('{"format": 1}')
    done = kit(command, tmp_path)
    assert done.code == 2
    assert "is damaged" in done.err
