"""Parallel text from CLDR and num2words."""

from __future__ import annotations

import re

import pytest

from kit.data.sources import Splits
from tests.support.data_sections import load, refused

SOURCE = "demo:translation"


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load(source=SOURCE, languages=["en", "de"])


def pairs(part) -> dict[str, str]:
    return {texts[0]: labels[0] for texts, labels in zip(part.texts, part.labels, strict=True)}


def test_pairs_are_what_software_shows_in_both_languages(splits) -> None:
    train = pairs(splits.train)
    assert train["Spain and Belgium"] == "Spanien und Belgien"
    assert train["47.22 miles per hour"] == "47,22 Meilen pro Stunde"
    assert train["Wednesday, August 19, 1998"] == "Mittwoch, 19. August 1998"
    assert train["three thousand, five hundred and seventy-nine"] == "dreitausendfünfhundertneunundsiebzig"


def test_every_source_has_one_translation(splits) -> None:
    for part in (splits.train, splits.test):
        assert len(pairs(part)) == len(part)


def test_no_test_source_is_in_train(splits) -> None:
    assert not set(pairs(splits.train)) & set(pairs(splits.test))


def test_no_number_of_test_amounts_is_in_train(splits) -> None:
    """A number in another currency or unit would be a near copy."""
    amounts = [
        {number for text in pairs(part) for number in re.findall(r"\d{2,}\.\d\d\b", text.replace(",", ""))}
        for part in (splits.train, splits.test)
    ]
    assert len(amounts[1]) > 30
    assert not amounts[0] & amounts[1]


def test_no_date_of_test_is_in_train_in_any_format(splits) -> None:
    dates = [
        {(month[:3], day, year[-2:]) for text in pairs(part) for month, day, year in
         re.findall(r"([A-Z][a-z]+) (\d+), (\d{4})", text)}
        for part in (splits.train, splits.test)
    ]  # fmt: skip
    assert len(dates[1]) > 30
    assert not dates[0] & dates[1]


def test_rows_are_always_the_same(splits) -> None:
    again = load(source=SOURCE, languages=["en", "de"])
    assert again.test.fingerprint() == splits.test.fingerprint()
    assert list(pairs(splits.train))[:2] == ["Nigeria, Australia, or United Kingdom", "in 46 hours"]


def test_languages_may_be_any_two_of_cldr() -> None:
    train = pairs(load(source=SOURCE, languages=["pt-BR", "ja"]).train)
    assert train["em 46 horas"] == "46 時間後"


def test_words_of_numbers_are_left_out_of_languages_without_them() -> None:
    texts = pairs(load(source=SOURCE, languages=["en", "el"]).train)
    assert "three thousand, five hundred and seventy-nine" not in texts


def test_rows_of_a_kind_can_be_kept() -> None:
    part = load(source=SOURCE, languages=["en", "de"], where={"kind": "quarter"}).test
    assert all("quarter" in text for text in pairs(part))


def test_errors_name_key_and_remedy(monkeypatch) -> None:
    assert refused(source="demo:translaton", languages=["en", "de"]) == (
        "data.source: there is no demo data set demo:translaton",
        "did you mean demo:translation?",
    )
    assert refused(source=SOURCE)[0] == "data.languages: demo:translation is parallel text"
    assert refused(source=SOURCE, languages=["en", "xx"])[0] == "data.languages: CLDR has no language 'xx'"
    assert refused(source=SOURCE, languages=["en", "de"], revision="main")[0].startswith("data.revision: only data")
    assert refused(source=[SOURCE, "x.csv"], languages=["en", "de"])[1] == "name it alone"
    monkeypatch.setattr("kit.data.demo.find_spec", lambda name: None)
    assert refused(source=SOURCE, languages=["en", "de"]) == (
        "data.source: demo:translation needs the Python package babel, which is not installed",
        "pip install 'kit[demo]'",
    )
