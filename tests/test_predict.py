"""What `kit predict` reads, and what it says of texts that it cannot read whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from kit import predict
from kit.errors import DataError
from kit.predict import _not_translated, is_table, named_file, read_texts, table_texts
from kit.served import find_served
from kit.terminal import input_lines
from tests.conftest import Kit


def test_a_text_that_is_cut_says_so(tiny_run: Path) -> None:
    whole, cut = predict(tiny_run, ["a fine film", "a fine film " * 50])
    assert "cut" not in whole and cut["cut"] is True
    again = next(predict(tiny_run, "a fine film " * 60))
    assert again["scores"] == cut["scores"], "the rest was not read"


def test_sources_in_the_target_language_are_told_of_once(kit: Kit, scratch_run: Path, captions: Path) -> None:
    german = (captions / "test.de").read_text("utf-8").splitlines()
    done = kit("predict", str(scratch_run), *german)
    assert done.code == 0 and len(done.out.splitlines()) == len(german)
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning:")]
    assert "look to be in de" in line and "from en to de" in line
    assert "warning" not in kit("predict", str(scratch_run), "--file", str(captions / "test.en")).err


def test_texts_that_come_back_as_they_were_are_told_of(scratch_run: Path) -> None:
    served = find_served(scratch_run)
    names = [f"Anna Berg {number} Oslo Bergen" for number in range(6)]
    told = _not_translated(names, [{"translation": name} for name in names], served)
    assert told is not None and "100% of the words come back" in told
    assert _not_translated(names[:2], [{"translation": name} for name in names[:2]], served) is None, "too few words"
    assert _not_translated(names, [{"translation": "ein Hund"} for _ in names], served) is None


def test_text_in_gzip_is_text(tmp_path: Path) -> None:
    path = tmp_path / "texts.en.gz"
    path.write_bytes(gzip.compress(b"one\n\ntwo\n"))
    assert named_file(str(path)) == path and not is_table(path)
    with input_lines(path) as lines:
        assert list(read_texts(lines, ["text"], "here")) == ["one", "", "two"]
    path.write_bytes(gzip.compress(b"one\n" * 1000)[:-12])
    with pytest.raises(DataError, match="not a whole gzip file"), input_lines(path) as lines:
        list(lines)
    assert is_table(tmp_path / "x.csv.gz") and is_table(tmp_path / "x.jsonl.gz") and not is_table(tmp_path / "x.jsonl")


def test_pairs_as_they_train_are_read_by_their_source() -> None:
    line = json.dumps({"translation": {"en": "Two dogs.", "de": "Zwei Hunde."}})
    assert list(read_texts([line], ["en"], "here")) == ["Two dogs."]
    with pytest.raises(DataError, match=r"here:1: no key 'fr' \(keys: en, de\)"):
        list(read_texts([line], ["fr"], "here"))


def test_a_translation_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text("<tmx/>", "utf-8")
    with pytest.raises(DataError, match="is a translation memory"):
        next(table_texts(tmp_path / "a.tmx", ["en"]))
    assert is_table(tmp_path / "a.tmx")


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder"):
        named_file(str(tmp_path))
