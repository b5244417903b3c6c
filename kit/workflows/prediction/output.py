"""Tables of predictions beside kept input columns, as CSV, JSON lines or Parquet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from kit.data.label_words import did_you_mean
from kit.data.table import is_missing
from kit.errors import DataError, OutputError
from kit.runtime.characters import without_surrogates, without_surrogates_inside
from kit.runtime.files import make_folder, move_into_place, require_writable, writing_to
from kit.runtime.json_lines import json_line
from kit.runtime.temporary import temporary_folder

if TYPE_CHECKING:
    import pyarrow

FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")
# csv.writer is not used because it leaves a lone carriage return unquoted, which readers take for the end of a row.
_TO_QUOTE = re.compile(r'[",\r\n]|^\s|\s$')


class TableWriter(Protocol):
    """Writer of table rows to a file."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows, each with a value for every column."""

    def close(self) -> None:
        """Finish the file."""


def check_output(path: Path, inputs: Sequence[Path], run: Path) -> None:
    """Raise OutputError if predictions cannot, or must not, be written to a path.

    Args:
        path: The file to write.
        inputs: The files to read.
        run: Folder of the model, whose files must not change.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(
            f"--out {path}: the format follows from the extension, and kit writes {', '.join(FORMATS)}",
            f"for example --out {path.parent / (path.name.split('.')[0] + '.csv') if path.name else 'predictions.csv'}",
        )
    target = path.resolve()
    if target.is_dir():
        raise OutputError(f"--out {path} is a folder", f"name a file in it: {path / 'predictions.csv'}")
    if target.exists() and not target.is_file():
        raise OutputError(f"--out {path} is not a regular file", "name a file")
    if any(_is_same(target, source) for source in inputs):
        raise OutputError(f"--out {path} is the input file", "name another file")
    if target.is_relative_to(run.resolve()):
        raise OutputError(f"--out {path} is inside the folder of the model", "write the predictions somewhere else")
    require_writable(target.parent)


def kept_columns(
    keep: Sequence[str], available: Sequence[str], predicted: Sequence[str], partial: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the input columns to keep with their names in the output, in the order of the output.

    Args:
        keep: Names of input columns, `column=new name`, or `all`.
        available: Columns of the input.
        predicted: Columns of the predictions.
        partial: Other columns of the input, each with the name of a file that lacks it.

    Raises:
        DataError: If a column is not in the input, or two columns of the output would have the same name.
    """
    kept: dict[str, str] = {}
    for name in keep:
        if name in available or name == "all":
            continue
        column, equals, new = name.rpartition("=")
        _refuse_partial(name, partial or {}, available)
        if not (equals and column in available):
            raise DataError(
                f"--keep {name}: the input has no column {column or name!r} (columns: {', '.join(available)})",
                did_you_mean([column or name], available),
            )
        if not new.strip():
            raise DataError(f"--keep {name}: the new name is empty", f"--keep {column}=name")
        kept[column] = new
    wanted = list(available) if "all" in keep else [_source(name, available) for name in keep]
    result = {column: kept.get(column, column) for column in wanted}
    _refuse_collisions(result, predicted)
    return result


def _refuse_partial(name: str, partial: Mapping[str, str], available: Sequence[str]) -> None:
    column = name if name in partial else name.rpartition("=")[0]
    if column in partial:
        raise DataError(
            f"--keep {name}: {partial[column]} has no column {column!r}, which other files have",
            f"add the column to that file, or predict the file alone; columns of all files: {', '.join(available)}",
        )


def _source(name: str, available: Sequence[str]) -> str:
    return name if name in available else name.rpartition("=")[0]


def _refuse_collisions(kept: Mapping[str, str], predicted: Sequence[str]) -> None:
    used = set(predicted)
    for column, name in kept.items():
        if name in used:
            use = "a prediction" if name in predicted else "another kept column"
            raise DataError(
                f"--keep {column}: the output already has a column {name!r}, for {use}",
                f"give the kept column another name: --keep '{column}=input_{name}'",
            )
        used.add(name)


@contextmanager
def table_writer(
    path: Path, kept: Mapping[str, Sequence[Any] | None], example: Mapping[str, Any]
) -> Iterator[TableWriter]:
    """Open a table for writing; the file appears, or is replaced, only when all rows are written.

    Args:
        path: The file; its extension is the format.
        kept: Values of every kept column by its name in the output; None for a stream of texts.
        example: A prediction with every column that is written, for their names and types.

    Raises:
        DataError: If Parquet cannot store the values of a kept column.
        OutputError: If the file cannot be written.
    """
    path = path.resolve()
    kind = path.suffix.lower()
    schema = _arrow_schema(kept, example) if kind == ".parquet" else None
    with _replacing(path) as draft:
        writer = _open_writer(draft, kind, [*kept, *example], schema=schema)
        try:
            yield writer
        finally:
            writer.close()


def _open_writer(draft: Path, kind: str, columns: Sequence[str], schema: pyarrow.Schema | None) -> TableWriter:
    if schema is not None:
        return _ParquetWriter(draft, schema)
    stream = draft.open("w", encoding="utf-8", newline="")
    return _CsvWriter(stream, columns) if kind == ".csv" else _JsonWriter(stream)


class _CsvWriter:
    """CSV with a header, comma, double quotes and line feeds."""

    def __init__(self, stream: IO[str], columns: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns
        self._line(columns)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._line([_cell(row[name]) for name in self._columns])

    def close(self) -> None:
        self._stream.close()

    def _line(self, cells: Sequence[str]) -> None:
        self._stream.write(without_surrogates(",".join(map(_quoted, cells))) + "\n")


class _JsonWriter:
    """One JSON object per line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._stream.write(json_line(row) + "\n")

    def close(self) -> None:
        self._stream.close()


class _ParquetWriter:
    """Parquet, one row group per call of `write`."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        from pyarrow.parquet import ParquetWriter

        self._schema = schema
        self._writer = ParquetWriter(path, schema)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow

        columns = {name: [without_surrogates_inside(row[name]) for row in rows] for name in self._schema.names}
        self._writer.write_table(pyarrow.table(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _arrow_schema(kept: Mapping[str, Sequence[Any] | None], example: Mapping[str, Any]) -> pyarrow.Schema:
    import pyarrow

    fields = [(name, _arrow_type(name, [""] if values is None else values)) for name, values in kept.items()]
    return pyarrow.schema(fields + [(name, _arrow_type(name, [value])) for name, value in example.items()])


def _mixture(values: Sequence[Any]) -> str:
    kinds = {str: "texts", bool: "truth values", int: "numbers", float: "numbers", list: "lists", dict: "objects"}
    types = dict.fromkeys(type(value) for value in values if not is_missing(value))
    present = list(dict.fromkeys(kinds[kind] for kind in types if kind in kinds))
    if len(present) < 2:
        return f"the {' and '.join(present) or 'values'} of this column do not fit together"
    return f"the column has {', '.join(present[:-1])} and {present[-1]}"


def _arrow_type(name: str, values: Sequence[Any]) -> pyarrow.DataType:
    import pyarrow

    try:
        arrow_type = pyarrow.array([without_surrogates_inside(value) for value in values]).type
    except (pyarrow.ArrowException, OverflowError) as error:
        raise DataError(
            f"--keep {name}: {_mixture(values)}; Parquet needs one type",
            "write .csv or .jsonl, or leave the column out",
        ) from error
    return pyarrow.string() if pyarrow.types.is_null(arrow_type) else arrow_type


def _cell(value: Any) -> str:
    """Return a value as the text of a CSV cell: lists and objects as JSON, missing values as an empty text."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return json.loads(text) if (text := json_line(value)).startswith('"') else text


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a draft, and move it to its final path if the block ends without an error.

    The draft is in a temporary folder beside the file, which the next start of kit removes if this process is killed.
    """
    with writing_to(path):
        make_folder(path.parent)
        with temporary_folder("predictions", path.parent) as folder:
            draft = folder / path.name
            yield draft
            move_into_place(draft, path)


def _is_same(target: Path, other: Path) -> bool:
    try:
        return target.samefile(other)
    except OSError:
        return False
