"""Loading of train and test examples from any source: files, a folder, an installed package, or the Hub."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kit.data.blank import is_blank
from kit.data.budget import keep_covered, primary_class, split_off
from kit.data.columns import guess_label_column, guess_text_columns, require_columns
from kit.data.examples import Examples
from kit.data.label_column import Labels
from kit.data.label_reading import SplitLabels, read_split_labels
from kit.data.label_separators import USUAL
from kit.data.labels import check_test_labels, encode_labels, label_name
from kit.data.numbers import guess_number_column, strata, values_of
from kit.data.parallel_files import by_language, guess_language_column
from kit.data.reading import DEFAULT_READING, Reading, reading_of
from kit.data.source_tables import Source, open_source
from kit.data.table import Table, is_missing
from kit.errors import DataError
from kit.recipe.sections.data import DataSection, Scalar, TargetKind
from kit.recipe.setting import setting

_SHOWN = 6


@dataclass(frozen=True)
class Splits:
    """Train and test examples as read.

    Attributes:
        train: Training examples.
        test: Test examples.
        labels: All label names, in the order of class indices; empty for numbers and parallel text.
        text_columns: Names of the column with the text, or of the two columns of a text pair.
        label_columns: Name of the column with the labels, or of one 0/1 column per label.
        description: One line about the source and size of the data.
        revision: Commit of a data set on the Hub. None: other sources, or unknown.
        headless: Whether the columns have made-up names, because no file has a header.
        reading: Options that the recipe sets for reading files.
        notes: Sentences about assumptions, repairs and doubts.
        label_separator: Character between the labels of a cell.
        train_source: Name of the file, folder or split with the training examples.
        test_source: The same for the test examples; empty if test is split off train.
    """

    train: Examples
    test: Examples
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    label_columns: tuple[str, ...]
    description: str
    revision: str | None = None
    headless: bool = False
    reading: Reading = DEFAULT_READING
    notes: tuple[str, ...] = ()
    label_separator: str = USUAL
    train_source: str = ""
    test_source: str = ""


def load_splits(data: DataSection) -> Splits:
    """Load train and test examples from named splits, or split off test by a seeded stratified split.

    Raises:
        DataError: Data are missing, cannot be read or do not fit the recipe.
    """
    is_parallel = data.targets is TargetKind.REFERENCES
    loaded = _load_pairs(data, data.language_pair) if is_parallel else _load_labelled(data)
    return replace(loaded, reading=reading_of(data))


def _load_labelled(data: DataSection) -> Splits:
    """Load texts with labels."""
    source = open_source(data.source, "data.source", data)
    train = _keep_where(_train_table(source, data), data, source.name)
    tested = _test_table(source, data, () if train.headless else tuple(train.columns))
    text, label = _columns(train, data, source.name)
    where, table = tested or ("", None)
    if table is not None:
        table = _keep_where(table, data, where)
        require_columns(text, table, "data.text", where=where, as_in_training=True)
        require_columns(label, table, "data.label", where=where, as_in_training=True)
    labels = read_split_labels(train, table, label, data=data)
    whole = _examples(train, text, labels.train)
    if table is None:
        kept, held = _split(labels, data)
        share = f"{data.test_size:.0f}" if data.test_size >= 1 else f"{100 * data.test_size:.4g} %"
        description = f"{_described(source.name, data)}, {len(train)} rows, test split off: {share}"
        parts = (whole.take(kept), whole.take(held))
    else:
        assert labels.test is not None
        if labels.order:
            check_test_labels(labels.test, labels.order, where)
        description = f"{_described(source.name, data)}, {len(train)} training rows, test: {where}, {len(table)} rows"
        description += _unused(data)
        parts = (whole, _examples(table, text, labels.test))
    splits = Splits(*parts, labels.order, text, label, description, source.revision, notes=labels.notes)
    splits = _with_sources(replace(splits, label_separator=labels.separator), source, data, where=where)
    return _with_notes(splits, train, *([] if table is None else [table]))


def _with_sources(splits: Splits, source: Source, data: DataSection, where: str) -> Splits:
    """Return the splits with the names of their sources. where: source of the test examples, empty if split off."""
    train = source.name if "" in source.splits else f"split '{data.train_split}' of {source.name}"
    return replace(splits, train_source=train, test_source=where)


def _with_notes(splits: Splits, train: Table, *tested: Table) -> Splits:
    """Return the splits with the notes of their tables."""
    notes = dict.fromkeys(note for table in (train, *tested) for note in table.notes)
    return replace(splits, headless=train.headless, notes=(*notes, *splits.notes))


def _load_pairs(data: DataSection, languages: tuple[str, str]) -> Splits:
    """Load parallel text: each text is in the source language, and its only label is the translation."""
    source = open_source(data.source, "data.source", data)
    train = by_language(_keep_where(_train_table(source, data), data, source.name), languages, source.name)
    tested = _test_table(source, data, () if train.headless else tuple(train.columns))
    text = data.text or guess_language_column(train, languages, 0)
    label = next(iter(data.label_columns), None) or guess_language_column(train, languages, 1)
    columns = [text] if isinstance(text, str) else list(text)
    if len(columns) != 1:
        raise DataError("a translation has one source", "name a single column", key="data.text")
    if columns[0] == label:
        raise DataError(
            f"column '{label}' is also data.text", "name the column with the translations", key="data.label"
        )
    whole = _pairs(train, columns[0], label, where=source.name)
    tables = [train]
    described = f"{_described(source.name, data)}, {languages[0]}-{languages[1]}, {len(train):,}"
    if tested is None:
        kept, held = split_off(np.zeros(len(whole), np.int64), data.test_size, data.split_seed)
        share = f"{data.test_size:.0f}" if data.test_size >= 1 else f"{100 * data.test_size:.4g} %"
        parts = (whole.take(kept), whole.take(held))
        description = f"{described} pairs, test split off: {share}"
    else:
        where, table = tested
        table = by_language(_keep_where(table, data, where), languages, where)
        tables.append(table)
        parts = (whole, _pairs(table, columns[0], label, where=where))
        description = f"{described} training pairs, test: {where}, {len(table):,} pairs{_unused(data)}"
    splits = Splits(*parts, (), (columns[0],), (label,), description, source.revision)
    where = "" if tested is None else tested[0]
    return _with_notes(_with_sources(splits, source, data, where=where), *tables)


def _unused(data: DataSection) -> str:
    """Return a remark if the recipe sets data.test_size although the data have a test split."""
    default = type(data).model_fields["test_size"].default
    return "" if data.test_size == default else f" (data.test_size: {data.test_size:.4g} is not used)"


def _pairs(table: Table, text: str, label: str, where: str) -> Examples:
    require_columns([text], table, "data.text", where=where)
    require_columns([label], table, "data.label", where=where)
    for key, name in (("text", text), ("label", label)):
        if any(isinstance(value, (list, dict, bytes)) for value in table.columns[name]):
            raise DataError(f"column '{name}' does not hold text", "name a column of plain text", key=f"data.{key}")
    sides = [["" if is_missing(value) else str(value) for value in table.columns[name]] for name in (text, label)]
    references: list[tuple[str, ...]] = [() if is_blank(line) else (line,) for line in sides[1]]
    return Examples(table.rows, [(line,) for line in sides[0]], references)


def _train_table(source: Source, data: DataSection) -> Table:
    splits = source.splits
    if "" in splits:
        return splits[""](())
    if data.train_split not in splits:
        raise DataError(
            f"{source.name} has no split '{data.train_split}' (splits: {', '.join(splits)})",
            "set data.train_split to the split to train on",
            key="data.train_split",
        )
    return splits[data.train_split](())


def _test_table(source: Source, data: DataSection, names: tuple[str, ...]) -> tuple[str, Table] | None:
    """Return the name and the table of the test examples.

    The result is None if they must be split off train.

    names: columns of the training examples.
    """
    if data.test is not None:
        tested = open_source(data.test, "data.test", data)
        choice = data.test_split if data.test_split in tested.splits else next(iter(tested.splits))
        if choice != data.test_split and len(tested.splits) > 1:
            raise DataError(
                f"{tested.name} has no split '{data.test_split}' (splits: {', '.join(tested.splits)})",
                "set data.test_split to the split to test on",
                key="data.test",
            )
        return tested.name, tested.splits[choice](names)
    splits = source.splits
    if "" in splits or set(splits) == {data.train_split}:
        return None
    if data.test_split not in splits or data.test_split == data.train_split:
        others = [split for split in splits if split != data.train_split]
        raise DataError(
            f"{source.name} has no split '{data.test_split}' to test on (splits: {', '.join(splits)})",
            f"set {setting('data.test_split', others[0])}",
            key="data.test_split",
        )
    return f"split '{data.test_split}' of {source.name}", splits[data.test_split](names)


def _keep_where(table: Table, data: DataSection, where: str) -> Table:
    """Return the rows that satisfy `data.where`."""
    for column, wanted in data.where.items():
        require_columns([column], table, "data.where", where=where)
        values = ["" if is_missing(value) else label_name(value) for value in table.columns[column]]
        accepted = {value for value in set(values) if _equals(value, wanted)}
        kept = [place for place, value in enumerate(values) if value in accepted]
        if not kept:
            most = ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common(_SHOWN))
            raise DataError(
                f"no row of {where} has {column}={wanted}", f"values of '{column}': {most}", key="data.where"
            )
        table = table.take(kept)
    return table


def _equals(name: str, wanted: Scalar) -> bool:
    """Return whether the name of a cell equals a value: 1 equals "1" and "1.0", true equals "True"."""
    if name == label_name(wanted):
        return True
    if isinstance(wanted, bool):
        return name.lower() == label_name(wanted)
    if isinstance(wanted, str):
        return False
    try:
        return float(name) == float(wanted)
    except ValueError:
        return False


def _columns(table: Table, data: DataSection, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the text and label columns that the recipe names, otherwise guessed ones."""
    text = (data.text,) if isinstance(data.text, str) else tuple(data.text or ())
    require_columns(text, table, "data.text", where=where)
    require_columns(data.label_columns, table, "data.label", where=where)
    guess = guess_number_column if data.targets is TargetKind.NUMBERS else guess_label_column
    label = data.label_columns or (guess(table, exclude=text),)
    shared = [column for column in label if column in text]
    if shared:
        raise DataError(
            f"column '{shared[0]}' is also data.text", "the model would only have to copy its input", key="data.label"
        )
    text = text or guess_text_columns(table, exclude=label)
    for column in text:
        if any(isinstance(value, (list, dict, bytes)) for value in table.columns[column]):
            raise DataError(f"column '{column}' does not hold text", "name a column of plain text", key="data.text")
    return text, label


def _examples(table: Table, text: tuple[str, ...], labels: Labels) -> Examples:
    columns = [["" if is_missing(value) else str(value) for value in table.columns[name]] for name in text]
    return Examples(table.rows, list(zip(*columns, strict=True)), labels)


def _split(labels: SplitLabels, data: DataSection) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of training and test examples, which depend on `data.split_seed`, not on the training seed."""
    if data.targets is TargetKind.NUMBERS:
        return split_off(strata(values_of(labels.train)), data.test_size, data.split_seed)
    targets = encode_labels(labels.train, labels.order, data.multi_label)
    if not data.multi_label:
        return split_off(targets, data.test_size, data.split_seed)
    kept, held = split_off(primary_class(targets), data.test_size, data.split_seed)
    return keep_covered(targets, kept, held)


def _described(name: str, data: DataSection) -> str:
    conditions: dict[str, Any] = data.where
    return name + (f" ({', '.join(f'{key}={value}' for key, value in conditions.items())})" if conditions else "")
