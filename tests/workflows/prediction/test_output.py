"""Tables of predictions: columns, formats, unchanged values, and protected files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.data.label_reading import read_split_labels
from kit.data.readers import read_table
from kit.errors import DataError, OutputError
from kit.recipe.sections.data import DataSection
from kit.workflows.prediction.output import check_output, kept_columns, table_writer
from tests.conftest import Kit

TICKETS = 'ticket_id,text,label\n007,"a fine, ""big"" film",positive\n008,"=dull\rand\nlong",\n009, dull ,positive\n'
EXAMPLE = {"labels": ["a"], "scores": {"a": 0.5, "b, c": 0.25}, "cut": False}
ODD = [
    'a "b", c',
    "line\nfeed",
    "carriage\rreturn",
    "both\r\n",
    " spaces ",
    "=1+1",
    "",
    "a;b\tc|d",
    "\u2028\x85\ufeff",
    "007",
]


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text(TICKETS, "utf-8", newline="")
    return path


def write(path: Path, kept: dict[str, list[Any]], predictions: list[dict[str, Any]]) -> None:
    rows = [dict(zip(kept, values, strict=True)) for values in zip(*kept.values(), strict=True)]
    with table_writer(path, kept, EXAMPLE) as writer:
        writer.write([{**row, **prediction} for row, prediction in zip(rows, predictions, strict=True)])


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".ndjson", ".parquet", ".CSV"])
def test_a_table_has_kept_columns_and_predictions(tiny_run: Path, kit: Kit, tickets: Path, extension: str) -> None:
    out = tickets.with_name(f"out{extension}")
    done = kit("predict", tiny_run, tickets, "--out", out, "--keep", "ticket_id", "--keep", "text")
    assert (done.code, done.out) == (0, "")
    table = read_table(out).columns
    assert list(table) == ["ticket_id", "text", "label", "score", "scores", "cut"]
    assert table["ticket_id"] == ["007", "008", "009"]
    assert table["text"] == ['a fine, "big" film', "=dull\rand\nlong", " dull "]
    printed = [json.loads(line) for line in kit("predict", tiny_run, tickets).out.splitlines()]
    assert table["label"] == [item["label"] for item in printed]
    assert list(map(float, table["score"])) == [item["score"] for item in printed]
    scores = [json.loads(item) if isinstance(item, str) else item for item in table["scores"]]
    assert scores == [item["scores"] for item in printed]
    assert [path.name for path in tickets.parent.iterdir() if path.name.startswith(".")] == []


def test_texts_are_kept_by_default(tiny_run: Path, kit: Kit, tickets: Path) -> None:
    out = tickets.with_name("out.csv")
    assert kit("predict", tiny_run, "fine", "dull", "--out", out).code == 0
    assert read_table(out).columns["text"] == ["fine", "dull"]


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
def test_odd_values_are_read_back_unchanged(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    held = [["a"], ["a", "b, c"], [], ['"quoted"'], ["it's"], *([["a"]] * (len(ODD) - 5))]
    write(path, {"id": list(range(len(ODD))), "text": ODD}, [{**EXAMPLE, "labels": labels} for labels in held])
    table = read_table(path)
    assert table.columns["text"] == ODD
    data = DataSection(source=str(path), text="text", label="labels", multi_label=True)
    assert read_split_labels(table, None, ["labels"], data).train == [tuple(labels) for labels in held]


def test_pandas_reads_the_same_values(tmp_path: Path) -> None:
    import pandas as pd

    write(tmp_path / "out.csv", {"id": list(range(len(ODD))), "text": ODD}, [EXAMPLE] * len(ODD))
    frame = pd.read_csv(tmp_path / "out.csv", dtype={"text": str}, keep_default_na=False)
    assert frame["text"].tolist() == ODD
    assert frame["cut"].dtype == bool and json.loads(frame["labels"][0]) == ["a"]


def test_values_of_any_type_are_kept(tmp_path: Path) -> None:
    from datetime import date

    values = [None, float("nan"), True, 1.5, {"a": [1]}, date(2026, 11, 30), "half \ud83d"]
    for extension in (".csv", ".jsonl"):
        write(tmp_path / f"out{extension}", {"id": list(range(7)), "x": values}, [EXAMPLE] * 7)
    assert read_table(tmp_path / "out.csv").columns["x"] == [
        "",
        "",
        "true",
        "1.5",
        '{"a": [1]}',
        "2026-11-30",
        "half \ufffd",
    ]
    objects = read_table(tmp_path / "out.jsonl").columns["x"]
    assert objects == [None, None, True, 1.5, {"a": [1]}, "2026-11-30", "half \ufffd"]
    with pytest.raises(DataError, match=r"--keep x: the column has truth values, numbers, .*; Parquet needs"):
        write(tmp_path / "out.parquet", {"x": values}, [EXAMPLE] * 7)
    assert not (tmp_path / "out.parquet").exists()


def test_columns_are_renamed_or_refused() -> None:
    available, predicted = ["id", "text", "label", "a=b"], ["label", "score"]
    assert kept_columns(["id", "text", "id"], available, predicted) == {"id": "id", "text": "text"}
    assert kept_columns(["a=b"], available, predicted) == {"a=b": "a=b"}
    renamed = {"id": "id", "text": "text", "label": "truth", "a=b": "a=b"}
    assert kept_columns(["all", "label=truth"], available, predicted) == renamed
    for keep, message in (
        (["label"], "already has a column 'label', for a prediction"),
        (["all"], "--keep label: the output already has a column"),
        (["id=x", "text=x"], "already has a column 'x', for another kept column"),
        (["idx"], r"has no column 'idx' \(columns: id, text, label, a=b\)"),
        (["id="], "the new name is empty"),
    ):
        with pytest.raises(DataError, match=message):
            kept_columns(keep, available, predicted)


def test_harmful_output_paths_are_refused(tmp_path: Path, tickets: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link.csv").symlink_to(tickets)
    for name, message in (
        ("out.xlsx", r"kit writes \.csv, \.jsonl, \.ndjson, \.parquet"),
        ("out", "the format follows from the extension"),
        ("tickets.csv", "is the input file"),
        ("link.csv", "is the input file"),
        ("run/predictions.parquet", "inside the folder of the model"),
    ):
        with pytest.raises(OutputError, match=message):
            check_output(tmp_path / name, [tickets], tmp_path / "run")


def test_a_failed_prediction_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old\n", "utf-8")
    with pytest.raises(DataError), table_writer(path, {"x": ["a"]}, EXAMPLE) as writer:
        writer.write([{"x": "a", **EXAMPLE}])
        raise DataError("line 2")
    assert path.read_text("utf-8") == "old\n" and [item.name for item in tmp_path.iterdir()] == ["out.csv"]


def test_a_column_missing_in_a_file_is_refused() -> None:
    with pytest.raises(DataError, match=r"b\.csv has no column 'ticket_id', which other files have"):
        kept_columns(["ticket_id"], ["text"], ["label"], {"ticket_id": "b.csv"})
    with pytest.raises(DataError, match=r"b\.csv has no column"):
        kept_columns(["ticket_id=id"], ["text"], ["label"], {"ticket_id": "b.csv"})
