"""Rows to predict: texts from arguments, from files of any format, or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from kit.data.decompress import GZIP_MAGIC, gunzip
from kit.data.file_kinds import STANDARD_INPUT
from kit.data.readers import DELIMITED, data_format, parse_table, read_table
from kit.data.reading import AS_TEXTS, Reading
from kit.data.table import Table, is_missing
from kit.data.text_files import decode_text, file_stream, read_bytes, split_lines, stream_lines
from kit.errors import DataError
from kit.runtime.characters import has_surrogates
from kit.workflows.prediction.columns import require_text_columns
from kit.workflows.prediction.input_format import PARQUET_MAGIC, detect_format, hints_for

_ARGUMENTS = "arguments"
FORMATS = {"text": None, "json": ".jsonl", "csv": ".csv", "tsv": ".tsv", "parquet": ".parquet"}
_TEXT_EXTENSIONS = (".txt", ".text", ".log", ".md", ".lst")
_UNREADABLE = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst"), "unpack it first (.gz is read as it is)"),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".odt", ".rtf"), "save its text as .txt, one text per line"),
    ".tmx": "a translation memory: extract its sentences, one per line",
}
_WHOLE_BYTES = 200_000_000  # larger plain text is predicted as a stream
_HEAD_BYTES = 1_000_000


@dataclass(frozen=True)
class Row:
    """One row to predict.

    Attributes:
        texts: The model's texts.
        place: Position of the row, for messages.
        kept: Values of the columns to keep.
    """

    texts: tuple[str, ...]
    place: str
    kept: Mapping[str, Any]


@dataclass(frozen=True)
class PredictionInput:
    """Rows from one or several sources, in order.

    Attributes:
        tables: Name and rows of every source; empty if the rows are a stream.
        text_columns: Names of the model's text columns.
        files: The files that were read.
        notes: Assumptions and repairs for the user to read.
        stream: Function that yields the texts of a source too large to read whole, with their line numbers.
    """

    tables: tuple[tuple[str, Table], ...]
    text_columns: tuple[str, ...]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    stream: Callable[[], Iterator[tuple[int, str]]] | None = None

    @property
    def count(self) -> int | None:
        """Number of rows; None for a stream."""
        return None if self.stream else sum(len(table) for _, table in self.tables)

    @property
    def columns(self) -> list[str]:
        """Columns that all sources have."""
        if self.stream:
            return list(self.text_columns)
        first, *others = [table.columns for _, table in self.tables]
        return [name for name in first if all(name in columns for columns in others)]

    @property
    def partial_columns(self) -> dict[str, str]:
        """Columns that only some sources have, each with the name of the first source that lacks it."""
        all_columns = dict.fromkeys(column for _, table in self.tables for column in table.columns)
        lacking = {
            column: [name for name, table in self.tables if column not in table.columns] for column in all_columns
        }
        return {column: names[0] for column, names in lacking.items() if names}

    def values(self, column: str) -> list[Any] | None:
        """Return all values of a column; None for a stream of texts."""
        return None if self.stream else [value for _, table in self.tables for value in table.columns[column]]

    def rows(self, keep: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the rows with the values of the columns to keep."""
        if self.stream:
            for line, text in self.stream():
                yield Row((text,), f"line {line}", dict.fromkeys(keep, text))
        for name, table in self.tables:
            source = f"{name}, " if len(self.tables) > 1 else ""
            texts = zip(*(map(as_text, table.columns[column]) for column in self.text_columns), strict=True)
            for index, row in enumerate(texts):
                kept = {column: table.columns[column][index] for column in keep}
                place = f"text {index + 1}" if name == _ARGUMENTS else f"{source}{table.place(index)}"
                yield Row(row, place, kept)


def as_text(value: Any) -> str:
    """Return a cell as training reads it: missing values as an empty text, numbers as they are written."""
    return "" if is_missing(value) else str(value)


def from_texts(texts: Sequence[str], columns: Sequence[str]) -> PredictionInput:
    """Return texts from arguments: one per row, or exactly two for a model of text pairs.

    Raises:
        DataError: If a model of text pairs gets another number of texts.
    """
    if len(columns) > 1 and len(texts) != len(columns):
        raise DataError(
            f"the model reads {' and '.join(columns)} together, got {len(texts)} text{'s' if len(texts) > 1 else ''}",
            f"pass one of each; for several pairs, use a file with the columns {', '.join(columns)}",
        )
    rows = [texts] if len(columns) > 1 else [[text] for text in texts]
    content = {column: [row[place] for row in rows] for place, column in enumerate(columns)}
    table = Table.of(content)
    broken = [number for number, text in enumerate(texts, start=1) if has_surrogates(text)]
    notes = [f"text {number} has bytes that are not UTF-8, read as U+FFFD" for number in broken]
    return PredictionInput(((_ARGUMENTS, table),), tuple(columns), notes=tuple(notes))


def from_files(
    paths: Sequence[Path], columns: Sequence[str], reading: Reading, format: str | None = None
) -> PredictionInput:
    """Return the rows of files, one file after another.

    Args:
        paths: Files of any format that training reads, or with one text per line.
        columns: Names of the model's text columns.
        reading: Settings with which the training files were read.
        format: A key of `FORMATS`; None detects it from the extension and the content.

    Raises:
        DataError: If a file is missing, damaged, or lacks these columns; with the file, and the line if there is one.
    """
    if len(paths) == 1 and _is_large_text(paths[0], columns, format):
        stream = file_stream(paths[0])
        return PredictionInput((), tuple(columns), tuple(paths), stream=stream)
    with hints_for(columns):
        read = [_read_file(path, columns, reading, format=format) for path in paths]
    tables = tuple((str(path), table) for path, (table, _) in zip(paths, read, strict=True))
    return PredictionInput(
        tables, tuple(columns), tuple(paths), notes=tuple(note for _, notes in read for note in notes)
    )


def from_standard_input(
    columns: Sequence[str], reading: Reading, format: str | None = None, source: BinaryIO | None = None
) -> PredictionInput:
    """Return the rows of standard input in any format of files, or gzip.

    Raises DataError like `from_files`.
    """
    stream = source or sys.stdin.buffer
    data = stream.read(_WHOLE_BYTES)
    if len(data) == _WHOLE_BYTES:
        if len(columns) == 1 and format in (None, "text") and _is_plain_text(data[:_HEAD_BYTES], columns, format):
            return PredictionInput((), tuple(columns), stream=lambda: stream_lines(data, stream, STANDARD_INPUT))
        data += stream.read()
    with hints_for(columns):
        table, notes = _parse(data, STANDARD_INPUT, columns, reading=reading, format=format)
    return PredictionInput(((STANDARD_INPUT, table),), tuple(columns), notes=notes)


def _read_file(
    path: Path, columns: Sequence[str], reading: Reading, format: str | None
) -> tuple[Table, tuple[str, ...]]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    hint = _UNREADABLE.get(suffixes[-1]) if suffixes else None
    if hint:
        raise DataError(f"{path}: kit does not read {suffixes[-1]} files", hint)
    kind = data_format(path)
    if format is None and kind is not None:
        return _fitting(lambda candidate: read_table(path, candidate), kind, columns, reading=reading, name=str(path))
    is_stream = str(path).startswith("/dev/")  # process substitution, /dev/stdin
    data = path.read_bytes() if is_stream else read_bytes(path, reading)
    is_text = any(suffix in _TEXT_EXTENSIONS for suffix in suffixes[-2:])
    return _parse(data, str(path), columns, reading=reading, format=format, is_text_file=is_text)


def _parse(
    data: bytes, name: str, columns: Sequence[str], reading: Reading, format: str | None, is_text_file: bool = False
) -> tuple[Table, tuple[str, ...]]:
    """Return the rows of content in the requested or detected format, with notes on assumptions."""
    if data.startswith(GZIP_MAGIC):
        data = gunzip(data, name, reading)
    kind, note = FORMATS[format or "text"], ""
    if format is None and data.startswith(PARQUET_MAGIC):
        kind = ".parquet"
    elif format is None:
        detected = detect_format(decode_text(data, name, Path(name).suffix), columns, name, is_text_file=is_text_file)
        kind, note = detected.kind, detected.note
    notes = (note,) if note else ()
    if kind is None:
        table = _text_table(decode_text(data, name, Path(name).suffix), columns, name)
        return table, (*notes, *table.notes)
    try:
        table, more = _fitting(
            lambda candidate: parse_table(data, name, kind, reading=candidate),
            kind,
            columns,
            reading=reading,
            name=name,
        )
    except DataError as error:
        if format is None and kind != ".parquet" and AS_TEXTS not in error.hint:
            error.hint = "; ".join(filter(None, (error.hint, AS_TEXTS)))
        raise
    return table, (*notes, *more)


def _text_table(text: str, columns: Sequence[str], name: str) -> Table:
    """Return one text per line; lines end with a line feed, with or without a carriage return before it."""
    if len(columns) > 1:
        example = ", ".join(f'"{column}": "..."' for column in columns)
        raise DataError(
            f"{name}: the model reads {' and '.join(columns)} together, but a line of text is only one text",
            f"use a CSV file with these columns, or JSON lines: {{{example}}}",
        )
    lines = split_lines(text)
    table = Table.of({columns[0]: lines}, "line", range(1, len(lines) + 1))
    if not lines:
        raise DataError(f"{name} is empty: there is nothing to predict")
    if len(lines) == 1 and "\r" in lines[0]:
        return replace(table, notes=(f"{name} has carriage returns and no line feed: it was read as one text",))
    return table


def _fitting(
    read: Callable[[Reading], Table], kind: str, columns: Sequence[str], reading: Reading, name: str
) -> tuple[Table, tuple[str, ...]]:
    """Return a table with the model's columns, and with a row for every blank line of a delimited file."""
    reading = replace(reading, required=tuple(columns), for_prediction=True)
    table = _read_delimited(read, columns, reading) if kind in DELIMITED else read(reading)
    if kind in DELIMITED:
        table = table.with_blank_rows()
    table = _unnested(table, columns)
    require_text_columns(columns, table, kind, name=name)
    for column in columns:
        for index, value in enumerate(table.columns[column]):
            if isinstance(value, (list, dict, tuple, bytes)):
                kind = {dict: "an object", bytes: "bytes"}.get(type(value), "a list")
                raise DataError(f"{name}, {table.place(index)}: the value of {column!r} is {kind}", "write a string")
    return table, table.notes


def _read_delimited(read: Callable[[Reading], Table], columns: Sequence[str], reading: Reading) -> Table:
    """Return a table whose first line is the header if it has the model's columns, otherwise as training reads it."""
    tables: list[Table] = []
    errors: list[DataError] = []
    candidates = (replace(reading, header="first"), reading, replace(reading, header="first", separator=None))
    for candidate in candidates if reading.separator else candidates[:2]:
        try:
            table = read(candidate)
        except DataError as error:
            errors.append(error)
            continue
        if set(columns) <= set(table.columns):
            return table
        tables.append(table)
    if not tables:
        raise errors[0]
    return tables[0]


def _unnested(table: Table, columns: Sequence[str]) -> Table:
    """Return the table with the texts in a nested column `translation`, as in data sets of parallel text."""
    values = table.columns.get("translation")
    if set(columns) <= set(table.columns) or values is None or not all(isinstance(value, dict) for value in values):
        return table
    nested = {column: [value.get(column) for value in values] for column in columns}
    return replace(table, columns={**nested, **table.columns}) if any(any(v) for v in nested.values()) else table


def _is_large_text(path: Path, columns: Sequence[str], format: str | None) -> bool:
    """Return whether a file is plain text that is too large to read whole, and is predicted line by line."""
    if format not in (None, "text") or len(columns) > 1 or data_format(path) is not None:
        return False
    try:
        if not path.is_file() or path.stat().st_size <= _WHOLE_BYTES:
            return False
        with path.open("rb") as stream:
            return _is_plain_text(stream.read(_HEAD_BYTES), columns, format)
    except OSError:
        return False


def _is_plain_text(head: bytes, columns: Sequence[str], format: str | None) -> bool:
    if head.startswith((GZIP_MAGIC, PARQUET_MAGIC)):
        return False
    whole_lines = head[: head.rfind(b"\n") + 1] or head
    text = whole_lines.decode("utf-8", "replace")
    return format == "text" or detect_format(text, columns, STANDARD_INPUT, is_text_file=True).kind is None
