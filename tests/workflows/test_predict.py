"""Predictions from Python and the command: order, number, and warnings about texts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from kit import predict
from kit.errors import DataError
from tests.conftest import Kit


def test_a_cut_text_is_marked(tiny_run: Path) -> None:
    whole, cut = predict(tiny_run, ["a fine film", "a fine film " * 50])
    assert "cut" not in whole and cut["cut"] is True
    again = next(predict(tiny_run, "a fine film " * 60))
    assert again["scores"] == cut["scores"], "the rest was not read"


def test_sources_in_the_target_language_are_reported_once(kit: Kit, scratch_run: Path, captions: Path) -> None:
    german = (captions / "test.de").read_text("utf-8").splitlines()
    done = kit("predict", str(scratch_run), *german)
    assert done.code == 0 and len(done.out.splitlines()) == len(german)
    (line,) = [line for line in done.err.splitlines() if "appear to be" in line]
    assert "appear to be in de" in line and "from en to de" in line
    assert "appear to be" not in kit("predict", str(scratch_run), "--file", str(captions / "test.en")).err


def texts_of(out: str) -> list[str]:
    return [json.loads(line)["text"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fine", None], r"text 2 is None, not a string"),
        (["fine", math.nan], r"text 2 is nan \(float\), not a string"),
        (["fine", 3], r"text 2 is 3 \(int\), not a string"),
        (["fine", b"dull"], r"text 2 is b'dull' \(bytes\), not a string"),
        ([{"text": "fine"}], r"text 1 is \{'text': 'fine'\} \(dict\), not a string"),
        (["fine", ("one", "two")], r"text 2: .* takes 1 per row \(text\), got 2"),
        ([("fine",), (None,)], r"text 2 holds None, not a string"),
        ({"text": ["fine"]}, r"texts: expected strings, got .*dict"),
        (None, r"texts: expected strings, got None"),
        (b"fine", r"texts: expected strings, got .*bytes"),
    ],
)
def test_values_that_are_not_texts_are_refused(tiny_run: Path, texts: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        next(predict(tiny_run, texts))  # type: ignore[arg-type]


def test_a_table_of_pandas_is_refused_and_its_column_read(tiny_run: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["fine", "dull"]})
    with pytest.raises(DataError, match="expected strings, got"):
        next(predict(tiny_run, frame))
    assert [prediction["text"] for prediction in predict(tiny_run, frame["text"])] == ["fine", "dull"]


def test_half_characters_are_predicted_as_u_fffd(tiny_run: Path, kit: Kit, tmp_path: Path) -> None:
    broken, whole = predict(tiny_run, ["fine \ud83d", "fine \ufffd"])
    assert broken == whole
    done = kit("predict", tiny_run, "dull", "caf\udce9 fine")
    assert done.code == 0 and texts_of(done.out) == ["dull", "caf\ufffd fine"]
    assert "warning: text 2 has bytes that are not UTF-8, read as U+FFFD" in done.err
    path = tmp_path / "half.jsonl"
    path.write_text('{"text": "fine \\ud83d"}\n{"text": "dull"}\n', "utf-8")
    done = kit("predict", tiny_run, path)
    assert done.code == 0 and texts_of(done.out) == ["fine \ufffd", "dull"] and "in line 1" in done.err


def test_empty_and_cut_texts_are_counted(tiny_run: Path, kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("fine\n\n" + "dull " * 60 + "\n \u200b\n", "utf-8")
    done = kit("predict", tiny_run, path)
    assert done.code == 0 and len(done.out.splitlines()) == 4
    assert done.err.splitlines() == [
        "warning: 2 of 4 texts are empty: line 2, line 4",
        "warning: 1 of 4 texts is longer than the model reads and was cut: line 3",
    ]


def test_line_separators_stay_inside_a_prediction(tiny_run: Path, kit: Kit, tmp_path: Path) -> None:
    text = "a\u2028b\x85c\rd\x0be\x0cf"
    path = tmp_path / "texts.txt"
    path.write_bytes(f"{text}\nfine\r\n".encode())
    done = kit("predict", tiny_run, path)
    assert done.code == 0 and texts_of(done.out) == [text, "fine"]


def test_several_files_are_predicted_in_order(tiny_run: Path, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\none\n", "utf-8")
    (tmp_path / "b.json").write_text('[{"text": "two"}]', "utf-8")
    both = [tmp_path / "b.json", tmp_path / "a.csv"]
    assert texts_of(kit("predict", tiny_run, *both).out) == ["two", "one"]
    assert texts_of(kit("predict", tiny_run, "--file", both[0], "--file", both[1]).out) == ["two", "one"]


def test_a_broken_line_is_refused_before_anything_is_printed(tiny_run: Path, kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"text": "one"}\n' * 3 + '{"text": "two",}\n', "utf-8")
    done = kit("predict", tiny_run, path)
    assert (done.code, done.out) == (2, "") and "broken.jsonl, line 4: not valid JSON" in done.err
