"""Files that are not the text file they should be: binary formats, web pages, pointers of Git LFS."""

from __future__ import annotations

import shlex

from kit.data.decompress import GZIP_MAGIC
from kit.errors import DataError

STANDARD_INPUT = "standard input"
_BINARY = (
    (b"PAR1", "a Parquet file", "rename it: .parquet"),
    (b"ARROW1", "an Arrow file", "save it as Parquet or CSV"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet (.xlsx, .ods)", "unpack the archive, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet or document of Microsoft Office", "save the sheet as CSV"),
    (GZIP_MAGIC, "a gzip file", "add .gz to its name"),
    (b"BZh", "a bzip2 file", "unpack it"),
    (b"\xfd7zXZ", "an xz file", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"(\xb5/\xfd", "a zstd file", "unpack it"),
    (b"%PDF", "a PDF file", "save its text"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x93NUMPY", "a NumPy file", "save texts and labels as CSV"),
)
_PROBE_BYTES = 10_000
_CONTROL = bytes({*range(32)} - {*b"\t\n\r\x0b\x0c\x1a\x1c\x1d\x1e\x1f\x01"})
_MAX_CONTROL_SHARE = 0.02  # of control characters, above which content is not text in any encoding
_WINDOWS_1252 = bytes(range(0x80, 0xA0))  # characters in Windows-1252, control codes in Latin-1
_PAGE = (b"<!doctype html", b"<html")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_binary(data: bytes, name: str) -> None:
    """Raise DataError for the content of a binary file. data: content that cannot be decoded as text."""
    for start, kind, hint in _BINARY:
        if data.startswith(start):
            raise DataError(f"{name} is not text but {kind}", hint)
    probe = data[:_PROBE_BYTES]
    if len(probe) - len(probe.translate(None, _CONTROL)) > _MAX_CONTROL_SHARE * len(probe):
        raise DataError(f"{name} is a binary file, not text", "export the data as CSV, JSON lines or Parquet")


def refuse_stand_ins(data: bytes, name: str) -> None:
    """Raise DataError for a web page or a pointer of Git LFS that was downloaded instead of the data."""
    start = data[:_PROBE_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGE):
        raise DataError(f"{name} is a web page (HTML), not the data", "download the file itself")
    if start.startswith(_LFS_POINTER):
        raise DataError(f"{name} is a pointer of Git LFS, not the data", "fetch the data: git lfs pull")


def encoding_hint(data: bytes, place: int, name: str, suffix: str) -> str:
    """Return a hint on converting text to UTF-8. place: position of the first byte that is not UTF-8."""
    pair = data[place : place + 2]
    if len(pair) == 2 and pair[0] == 0xED and 0xA0 <= pair[1] <= 0xBF:
        return (
            "it has halves of characters as in CESU-8, which old exports of MySQL, Oracle and Java write: export it as "
            f"UTF-8 (utf8mb4), or {conversion_hint('cesu-8', name, suffix, command='uconv')}"
        )
    if pair == b"\xc0\x80":
        return "it has null characters in the modified UTF-8 of Java: export it as UTF-8 without them"
    usual = "windows-1252" if any(byte in data for byte in _WINDOWS_1252) else "latin1"
    return f"{conversion_hint(usual, name, suffix)} ({usual} is the usual other encoding)"


def conversion_hint(encoding: str, name: str, suffix: str, command: str = "iconv") -> str:
    """Return the command that converts a file, or standard input, to UTF-8."""
    words = f"{command} -f {encoding} -t utf-8"
    if name == STANDARD_INPUT:
        return f"convert it: ... | {words} | kit predict RUN"
    return f"convert it: {words} {shlex.quote(name)} > new{suffix}"
