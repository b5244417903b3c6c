"""Aligned files of parallel text."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from kit.data.parallel_files import aligned_files
from kit.data.sources import load_splits
from kit.errors import DataError
from tests.support.parallel_text import DE, EN, PAIRS, pairs_of, section, write_lines


@pytest.mark.parametrize("end", ["", ".gz"])
def test_folder_with_splits(end, tmp_path) -> None:
    for name, lines in (("train", slice(0, 3)), ("val", slice(2, 3)), ("test_2016_flickr", slice(3, 4))):
        write_lines(tmp_path / f"{name}.en{end}", EN[lines])
        write_lines(tmp_path / f"{name}.de{end}", DE[lines])
    (tmp_path / "README.md").write_text("not a language")
    splits = load_splits(section(tmp_path))
    assert [text for (text,) in splits.train.texts] == EN[:3]
    assert [label for (label,) in splits.train.labels] == DE[:3]
    assert splits.test.texts == [(EN[3],)] and splits.labels == ()
    assert "split 'test' of" in splits.description and "en-de, 3 training pairs" in splits.description
    reversed_splits = load_splits(section(tmp_path, languages=["de", "en"]))
    assert reversed_splits.train.texts[0] == (DE[0],) and reversed_splits.train.labels[0] == (EN[0],)


@pytest.mark.parametrize("form", ["stem", "one of them", "list", "swapped list", "gz and plain"])
def test_two_aligned_files(form, tmp_path) -> None:
    write_lines(tmp_path / ("news.en.gz" if form == "gz and plain" else "news.en"), EN)
    write_lines(tmp_path / "news.de", DE)
    first, second = tmp_path / "news.en", tmp_path / "news.de"
    source = {"stem": tmp_path / "news", "gz and plain": tmp_path / "news", "one of them": first,
              "list": [first, second], "swapped list": [second, first]}[form]  # fmt: skip
    assert pairs_of(section(source, test_size=1)) == PAIRS


@pytest.mark.parametrize("pattern", ["news.*", "n*s.??", "*.*"])
def test_glob_of_two_aligned_files(pattern, tmp_path) -> None:
    for name, lines in (("news.en", EN), ("news.de", DE), ("news.fr", EN[:2])):
        write_lines(tmp_path / name, lines)
    assert pairs_of(section(tmp_path / pattern, test_size=1)) == PAIRS
    write_lines(tmp_path / "old.en", EN)
    if pattern == "*.*":
        with pytest.raises(DataError, match=r"matches more than one pair of files: .*news, .*old"):
            load_splits(section(tmp_path / pattern))


def test_glob_of_tables(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["en", "de"]).to_csv(tmp_path / "a.csv", index=False)
    assert pairs_of(section(tmp_path / "*.csv", test_size=1)) == PAIRS


def test_file_names_in_another_language_are_an_error(tmp_path) -> None:
    names = write_lines(tmp_path / "a.en", EN), write_lines(tmp_path / "a.de", DE)
    with pytest.raises(DataError) as caught:
        load_splits(section(list(names), languages=["en", "fr"]))
    assert caught.value.message == (f"data.source: the name of {names[1]} indicates de, data.languages has fr")
    assert len(load_splits(section(list(names), languages=["en-GB", "de"])).train) > 0


def test_error_proposes_variants_of_the_languages(tmp_path) -> None:
    write_lines(tmp_path / "train.en-US", EN)
    write_lines(tmp_path / "train.de-DE", DE)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path))
    assert caught.value.hint == "data.languages: [en-US, de-DE]"
    assert pairs_of(section(tmp_path, languages=["en-US", "de-DE"], test_size=1)) == PAIRS


def test_only_a_line_feed_ends_a_line(tmp_path) -> None:
    (tmp_path / "a.en").write_bytes("\ufeffa man\u2028walks\r\ntwo dogs\x0brun".encode())
    (tmp_path / "a.de").write_bytes(b"ein Mann geht\r\nzwei Hunde rennen\r\n")
    assert pairs_of(section(tmp_path / "a", test_size=1)) == [
        ("a man\u2028walks", "ein Mann geht"),
        ("two dogs\x0brun", "zwei Hunde rennen"),
    ]


def test_files_of_different_lengths_are_an_error(tmp_path) -> None:
    first, second = write_lines(tmp_path / "a.en", EN), write_lines(tmp_path / "a.de", DE[:3])
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path / "a"))
    assert caught.value.message == f"{first} has 4 lines, {second} 3: they are not aligned"
    assert "line 5 of one must be the translation of line 5 of the other" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        (["train.en"], "", "data.source: {}/train.de has no translation: there is no {}/train.en"),
        (["train.de"], "train", "data.source: {}/train.de has no translation: there is no {}/train.en"),
        (["a.en"], ["a.en", "a.de"], "data.source: there is no file {}/a.de"),
        (["a.en"], ["a.en", "a.en", "a.en"], "data.source: parallel text needs two files, got 3"),
    ],
)
def test_missing_file_of_a_pair_is_an_error(files, source, message, tmp_path) -> None:
    for name in files:
        write_lines(tmp_path / name, EN)
    if files == ["train.en"]:
        message = "data.source: {}/train.en has no translation: there is no {}/train.de"
    paths = [tmp_path / name for name in source] if isinstance(source, list) else tmp_path / source
    with pytest.raises(DataError) as caught:
        load_splits(section(paths))
    assert caught.value.message == message.replace("{}", str(tmp_path))


def test_error_lists_the_languages_of_the_folder(tmp_path) -> None:
    for name, lines in (("train.en", EN), ("train.de", DE), ("train.nl.gz", EN)):
        write_lines(tmp_path / name, lines)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path, languages=["en", "fr"]))
    assert caught.value.message.endswith(f"there is no {tmp_path}/train.fr")
    assert f"the folder has {tmp_path}/train.de, {tmp_path}/train.nl" in caught.value.hint


def test_error_names_the_damaged_file(tmp_path) -> None:
    write_lines(tmp_path / "a.de", DE)
    (tmp_path / "a.en.gz").write_bytes(gzip.compress("\n".join(EN).encode())[:-9])
    with pytest.raises(DataError, match=r"a.en.gz is not a valid gzip file"):
        load_splits(section(tmp_path / "a"))
    (tmp_path / "a.en").write_bytes("Mädchen\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a.en is not UTF-8: byte 0xe4 in line 1 \(byte 1 of the file\)"):
        load_splits(section(tmp_path / "a"))
    (tmp_path / "a.en").write_bytes("girl\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"a.en is not UTF-8 but UTF-16"):
        load_splits(section(tmp_path / "a"))


def test_one_file_for_both_sides_is_an_error(tmp_path) -> None:
    write_lines(tmp_path / "a.en", EN)
    with pytest.raises(DataError, match=r"a\.en is named twice") as caught:
        load_splits(section([str(tmp_path / "a.en")] * 2))
    assert caught.value.hint == "name one of en and one of de"


def test_other_file_names_are_not_splits(tmp_path) -> None:
    for stem in ("travel", "testament", "test_2016", "value"):
        for code, lines in (("en", EN), ("de", DE)):
            write_lines(tmp_path / f"{stem}.{code}", lines)
    assert sorted(aligned_files(str(tmp_path), "data.source", ("en", "de"))) == ["test", "testament", "travel", "value"]
