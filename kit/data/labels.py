"""From the values of a label column to label names, and the checks that make the set of labels sound.

Knows label values and names. Knows nothing of files, columns' names or class indices.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kit.data.class_labels import UnnamedClass
from kit.data.label_words import listed
from kit.data.table import is_missing
from kit.errors import DataError

Labels = list[tuple[str, ...]]
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_SHOWN = 8


def label_name(value: Any) -> str:
    """The name of one label value: text as it is without outer space, 3 and 3.0 as `3`, True as `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value).strip()


def read_labels(values: Sequence[Any], column: str, separator: str | None) -> Labels:
    """The label names of each row; () for a row without one.

    separator: what separates several labels in a text value; None if an example has exactly one label.
    Raises DataError for lists where one label is expected, for values that are no labels, and for null among lists of
    labels.
    """
    seen: dict[Any, tuple[str, ...]] = {}  # labels repeat: a million rows are a few conversions
    rows: Labels = []
    for place, value in enumerate(values):
        _require_class(value, column, place)
        if isinstance(value, (list, tuple)):
            rows.append(_names_in_list(value, column, place, separator))
        elif isinstance(value, (dict, bytes)):
            raise DataError(f"data.label: column '{column}' holds {type(value).__name__} values, not labels")
        elif is_missing(value):
            if separator is not None:
                raise DataError(
                    f"data.label: column '{column}', row {place} is null, which may mean no label or not labelled",
                    "write [] where no label holds, and leave out rows that nobody labelled",
                )
            rows.append(())
        else:
            key = (type(value), value)
            if key not in seen:
                seen[key] = _names_in_value(value, separator)
            rows.append(seen[key])
    return rows


def label_order(train: Labels, declared: Sequence[str] | None) -> tuple[str, ...]:
    """All labels in order: as declared, else those in train, by number if all are numbers, else by name.

    Raises DataError if train has a label that is not declared, lacks one that is, or has fewer than two.
    """
    counts = Counter(name for row in train for name in row)
    if declared is not None:
        unknown = sorted(set(counts) - set(declared))
        if unknown:
            raise DataError(
                f"data.labels: the data have {listed(unknown, counts)} as well", _did_you_mean(unknown, declared)
            )
        absent = [name for name in declared if name not in counts]
        if absent:
            raise DataError(
                f"data.labels: no training example has {listed(absent)}",
                _did_you_mean(absent, sorted(set(counts) - set(declared)))
                or f"labels there are: {listed(sorted(counts))}",
            )
    if not counts:
        raise DataError("data.label: no training example has a label")
    if len(counts) == 1:
        raise DataError(
            f"data.label: every training example has the label '{next(iter(counts))}'; there is nothing to learn",
            "check data.where and data.label",
        )
    if declared is not None:
        return tuple(declared)
    return tuple(sorted(counts, key=float if are_numbers(counts) else None))


def are_numbers(names: Iterable[str]) -> bool:
    """Whether all label names are numbers, which have an order of their own."""
    return all(_NUMBER.fullmatch(name) for name in names)


def check_test_labels(test: Labels, labels: Sequence[str], split: str) -> None:
    """Check that test can be scored.

    split: its name, for the message. Raises DataError if test has a label that train lacks, or no label at all.
    """
    counts = Counter(name for row in test for name in row)
    unknown = sorted(set(counts) - set(labels))
    if unknown:
        raise DataError(
            f"data.label: test has {listed(unknown, counts)}, which train has not",
            _did_you_mean(unknown, labels) or "add training examples for it, or leave those test rows out",
        )
    if not counts:
        raise DataError(
            f"data.test_split: no example of {split} has a label",
            "set data.test_split to a split that has labels (often `validation`), or give files as data.test",
        )


def encode_labels(rows: Sequence[tuple[str, ...]], labels: Sequence[str], multi_label: bool) -> np.ndarray:
    """Class indices of label names.

    Returns (n,) int64, -1 for a row without a label; with `multi_label`, (n, labels) float32 of 0 and 1.
    """
    index = {name: place for place, name in enumerate(labels)}
    if not multi_label:
        return np.asarray([index[row[0]] if row else -1 for row in rows], np.int64)
    targets = np.zeros((len(rows), len(labels)), np.float32)
    for place, row in enumerate(rows):
        targets[place, [index[name] for name in row]] = 1
    return targets


def _require_class(value: Any, column: str, place: int) -> None:
    """Raise DataError for a value that is outside the column's declared classes."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, UnnamedClass):
            raise DataError(
                f"data.label: column '{column}', row {place + 1}: {item.value!r} is not a class of this column, "
                f"which declares {len(item.names)}: {listed(item.names)}",
                "correct the value, or write the file again without its class names (the ClassLabel metadata)",
            )


def _names_in_list(value: Sequence[Any], column: str, place: int, separator: str | None) -> tuple[str, ...]:
    if separator is None:
        raise DataError(
            f"data.label: column '{column}' holds lists of labels", "set data.multi_label: true, or name another column"
        )
    names = tuple(label_name(item) for item in value if not is_missing(item))
    if len(set(names)) != len(names):
        raise DataError(
            f"data.label: column '{column}', row {place} repeats a label: {list(value)[:_SHOWN]}",
            "each row must list the labels that hold (names or numbers), not a 0 or 1 for every label",
        )
    return names


def _names_in_value(value: Any, separator: str | None) -> tuple[str, ...]:
    if separator is None or not isinstance(value, str):
        name = label_name(value)
        return (name,) if name else ()
    if value.strip().startswith("[") and value.strip().endswith("]"):  # how pandas writes lists to CSV
        try:
            items = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            items = None
        if isinstance(items, list):
            return tuple(dict.fromkeys(label_name(item) for item in items))
    names = (part.strip() for part in value.split(separator))
    return tuple(dict.fromkeys(name for name in names if name))


def _did_you_mean(names: Sequence[str], known: Sequence[str]) -> str:
    for name in names:
        near = difflib.get_close_matches(name, list(known), 1)
        if near:
            return f"did you mean '{near[0]}' for '{name}'?"
    return ""
