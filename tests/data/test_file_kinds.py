"""Content that is not the text file it should be."""

import io

import pandas as pd
import pytest

from kit.data.readers import parse_table
from kit.data.text_files import decode_text
from kit.errors import DataError

ROWS = pd.DataFrame({"text": [f"text {i}" for i in range(9)], "label": ["a", "b", "c"] * 3})


def parquet_bytes() -> bytes:
    stream = io.BytesIO()
    ROWS.to_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (parquet_bytes(), "x.csv is not text but a Parquet file"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0\xb1\x9f", "x.csv is not text but a ZIP archive or a spreadsheet"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff\x09\0",
            "document of Microsoft Office",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "x.csv is a binary file, not text"),
        (b"<!DOCTYPE html>\n<html>404</html>", "x.csv is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        ("text,label\nok,a\n".encode("utf-16-le"), "x.csv is not UTF-8 but UTF-16"),
        (b"text,label\n\xed\xa0\xbd\xed\xb8\x80,a\n", "uconv -f cesu-8 -t utf-8 x.csv > new.csv"),
        (b"text,label\na\xc0\x80,a\n", "modified UTF-8 of Java"),
        (b"text,label\ncaf\xe9,a\n", "iconv -f latin1 "),
        (b"text,label\ncaf\xe9 \x93x\x94,a\n", "iconv -f windows-1252 "),
    ],
)
def test_error_names_the_kind_of_non_utf8_content(content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_table(content, "x.csv", ".csv")
    assert message in f"{caught.value} {caught.value.hint}"


def test_text_with_null_characters_is_not_binary() -> None:
    text = "a text with \0 in it\n" * 20
    assert decode_text(text.encode(), "x.txt") == text


@pytest.mark.parametrize("end", ["\x1a", "\x1a\n", "\x1a\r\n"])
def test_dos_end_mark_is_left_out(end: str) -> None:
    assert decode_text(f"a\x1ab\n{end}".encode(), "x.txt") == "a\x1ab\n"
