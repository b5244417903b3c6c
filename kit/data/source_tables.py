"""Tables of the files, folders, packages and data sets that a recipe names, by split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kit.data.demo import DemoSet
from kit.data.hub import load_hub
from kit.data.label_words import in_line, quoted
from kit.data.locate import Files, HubData, locate, split_name
from kit.data.parallel_files import Pair, aligned_files, read_aligned, read_tmx
from kit.data.readers import DELIMITED, data_format, read_table
from kit.data.reading import Reading, reading_of
from kit.data.table import Table, concatenate
from kit.errors import DataError
from kit.recipe.sections.data import DataSection

_SHOWN = 4


@dataclass(frozen=True)
class Source:
    """Splits of a source, as functions that read the table of a split.

    Attributes:
        name: Name of the source for messages.
        splits: Functions by split; the only split is "" if the source has no named splits. The argument is the names of
            the columns of the training data, so that a file without a header is recognized; () if there are none.
        revision: Commit of a data set on the Hub. None: other sources, or unknown.
    """

    name: str
    splits: dict[str, Callable[[tuple[str, ...]], Table]]
    revision: str | None = None


def open_source(source: str | Sequence[str], key: str, data: DataSection) -> Source:
    """Return the source that a recipe names; its tables are not read yet.

    Args:
        source: Path, glob, demo set, id of a data set, or a list of files.
        key: `data.source` or `data.test`, for messages.
        data: Data section of the recipe.

    Raises:
        DataError: There are no such data, or a recipe key does not apply to the source.
    """
    languages = None if data.languages is None else data.language_pair
    pairs = None if languages is None else aligned_files(source, key, languages)
    location = locate(source, key, languages, taken=_names(data.source) + _names(data.test)) if pairs is None else None
    name = (
        source
        if isinstance(source, str)
        else source[0]
        if len(source) == 1
        else f"{source[0]} and {len(source) - 1} more"
    )
    if isinstance(location, HubData):
        splits, revision = load_hub(location.name, data.config, data.revision)
        return Source(name, {split: partial(_read_hub, read) for split, read in splits.items()}, revision)
    for hub_key in ("revision", "config"):
        if key == "data.source" and data.test is None and getattr(data, hub_key) is not None:
            raise DataError(
                f"only data sets on the Hub have one, and {name} is not on the Hub",
                f"drop data.{hub_key}",
                key=f"data.{hub_key}",
            )
    if languages is not None and pairs is not None:
        return Source(name, {split: partial(_read_pair, pair, languages, data) for split, pair in pairs.items()})
    if isinstance(location, DemoSet):
        _refuse_unused_keys(data, name, [])
        tables = location.make(data)
        return Source(name, {split: partial(_in_memory, table) for split, table in tables.items()})
    assert isinstance(location, Files)
    if key == "data.source":
        _refuse_unused_keys(data, name, [path for paths in location.splits.values() for path in paths])
    return Source(name, {split: partial(_read_files, paths, key, data) for split, paths in location.splits.items()})


def _names(source: str | Sequence[str] | None) -> list[str]:
    return [source] if isinstance(source, str) else list(source or ())


def _refuse_unused_keys(data: DataSection, name: str, paths: Sequence[Path]) -> None:
    """Raise DataError if a key for delimited files is set and no file is delimited, unless there are test files."""
    key = "header" if data.header != "auto" else "separator" if data.separator is not None else None
    if key and data.test is None and not any(data_format(path) in DELIMITED for path in paths):
        raise DataError(
            f"only CSV and TSV files have one, and {name} is neither", f"drop data.{key}", key=f"data.{key}"
        )


def _read_hub(read: Callable[[], Table], _names: tuple[str, ...]) -> Table:
    return read()


def _in_memory(table: Table, _names: tuple[str, ...]) -> Table:
    return table


def _read_pair(pair: Pair, languages: tuple[str, str], data: DataSection, _names: tuple[str, ...]) -> Table:
    return read_aligned(pair, languages, reading_of(data))


def _read_files(paths: Sequence[Path], key: str, data: DataSection, names: tuple[str, ...]) -> Table:
    tested = [path.name for path in paths if split_name(path) == "test"]
    if key == "data.source" and len(paths) > len(tested) > 0:
        raise DataError(
            f"{tested[0]} is among the files to train on",
            "name it as data.test instead, or name the folder that holds the splits",
            key=key,
        )
    try:
        tables = _read_in_turn(paths, data, names)
        whole = concatenate(tables)
        return replace(whole, notes=(*whole.notes, *_partial_columns(paths, tables, data, whole=whole)))
    except DataError as error:
        error.key = error.key or key
        raise


def _partial_columns(paths: Sequence[Path], tables: Sequence[Table], data: DataSection, whole: Table) -> list[str]:
    """Return a note on columns that only some files have.

    Raises:
        DataError: The recipe names such a column, or the other columns are too few for text and label.
    """
    lacking: dict[str, Path] = {}
    for name in dict.fromkeys(column for table in tables for column in table.columns):
        absent = [path for path, table in zip(paths, tables, strict=True) if name not in table.columns]
        if absent:
            lacking[name] = absent[0]
    if not lacking:
        return []
    wanted = [name for name in reading_of(data).columns if name in lacking]
    column = next(iter(wanted or lacking))
    path = lacking[column]
    if wanted or len(whole.columns) < min(2, *(len(table.columns) for table in tables)):
        columns = in_line(list(tables[paths.index(path)].columns))
        raise DataError(
            f"{path} has no column {quoted(column)}, which other files have (its columns: {columns})",
            "give the columns the same names in all files",
        )
    shown = ", ".join(f"{quoted(name)} (not in {path})" for name, path in [*lacking.items()][:_SHOWN])
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return [f"columns that only some files have are not read: {shown}{more}"]


def _read_in_turn(paths: Sequence[Path], data: DataSection, names: tuple[str, ...]) -> list[Table]:
    """Read files of one split.

    Files without a header get the column names of the first file with a header.
    """
    reading, tables = reading_of(data), []
    for path in paths:
        table = _read_file(path, data, replace(reading, known_names=names))
        if names and table.headless and len(table.columns) == len(names):
            columns = dict(zip(names, table.columns.values(), strict=True))
            note = (
                f"{path} seems to have no header: line 1 is read as an example, and the columns are {', '.join(names)}"
            )
            table = replace(table, columns=columns, headless=False, notes=(note, *table.notes[1:]))
        elif not names and not table.headless:
            names = tuple(table.columns)
        tables.append(table)
    return tables


def _read_file(path: Path, data: DataSection, reading: Reading) -> Table:
    if data.languages is not None and path.suffix.lower() == ".tmx":
        return read_tmx(path, data.language_pair)
    return read_table(path, reading)
