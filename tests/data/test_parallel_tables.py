"""Tables of parallel text."""

from __future__ import annotations

import json

import datasets
import pandas as pd
import pytest

from kit.data.hub import to_table
from kit.data.parallel_files import by_language
from kit.data.sources import load_splits
from kit.errors import DataError
from tests.support.parallel_text import DE, EN, PAIRS, pairs_of, section


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv", "csv of sides"])
def test_tables_of_pairs(form, tmp_path) -> None:
    rows = [{"translation": {"en": en, "de": de}, "id": str(i)} for i, (en, de) in enumerate(PAIRS)]
    path = tmp_path / f"table.{form.split(' ')[0]}"
    if form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    elif form == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        names = ["en", "de"] if form == "csv" else ["source", "target"]
        pd.DataFrame(PAIRS, columns=names).to_csv(path, index=False)
    assert pairs_of(section(path, test_size=1)) == PAIRS


def test_translation_feature_of_the_hub(tmp_path) -> None:
    """A column of type `datasets.Translation`, in a data set and in a Parquet file of the Hub."""
    features = datasets.Features({"translation": datasets.Translation(languages=["en", "de"])})
    rows = {"translation": [{"en": en, "de": de} for en, de in PAIRS]}
    data = datasets.Dataset.from_dict(rows, features=features)
    for rows_of_type in (data, datasets.Dataset.from_dict(rows)):  # Translation, and a struct without this type
        table = by_language(to_table(rows_of_type), ("de", "en"), "x")
        assert table.columns == {"de": DE, "en": EN}
    data.to_parquet(tmp_path / "train.parquet")
    assert pairs_of(section(tmp_path / "train.parquet", test_size=1)) == PAIRS


def test_columns_named_after_languages(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["English", "german"]).to_csv(tmp_path / "a.csv", index=False)
    assert pairs_of(section(tmp_path / "a.csv", test_size=1)) == PAIRS


def test_unknown_columns_are_an_error(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["left", "right"]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path / "a.csv"))
    assert caught.value.message == ("data.text: no column looks like the source language en (columns: left, right)")
    assert pairs_of(section(tmp_path / "a.csv", text="left", label="right", test_size=1)) == PAIRS
    with pytest.raises(DataError, match=r"data.label: column 'left' is also data.text"):
        load_splits(section(tmp_path / "a.csv", text="left", label="left"))
    with pytest.raises(DataError, match=r"data.text: a translation has one source"):
        load_splits(section(tmp_path / "a.csv", text=["left", "right"], label="right"))


def test_error_for_missing_language_proposes_the_nearest(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"translation": {"eng": EN[0], "deu": DE[0]}}), "utf-8")
    with pytest.raises(DataError) as caught:
        load_splits(section(path))
    assert caught.value.message == (
        f"data.languages: 'en' is in no row of column 'translation' of {path} (languages: deu, eng)"
    )
    assert caught.value.hint == "did you mean 'eng'?"
