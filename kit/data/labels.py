"""Names, order and class indices of labels, and checks of the set of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kit.data.blank import is_blank
from kit.data.label_column import Labels
from kit.data.label_words import did_you_mean, listed
from kit.data.label_writing import DIGIT_OF_WORD, MERGE_HINT, distinct_words, fold
from kit.errors import DataError
from kit.recipe.setting import setting

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_SHOWN = 8


def label_name(value: Any) -> str:
    """Return the label name of a value: text without outer space, `3` for 3 and 3.0, `true` for True.

    The name of a text of invisible characters only is empty, as for an empty cell.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    name = str(value).strip()
    return "" if not name.isascii() and is_blank(name) else name


def label_order(train: Labels, declared: Sequence[str] | None) -> tuple[str, ...]:
    """Return all labels: in declared order, otherwise sorted by number if all are numbers, otherwise by name.

    Args:
        train: Label names of each training row.
        declared: Labels of the recipe. None: undeclared.

    Raises:
        DataError: Train has an undeclared label, lacks a declared label, has fewer than two labels, or has all labels
            in every row.
    """
    counts = Counter(name for row in train for name in row)
    if declared is not None:
        unknown = sorted(set(counts) - set(declared))
        if unknown:
            raise DataError(
                f"the data have {listed(unknown, counts)} as well", did_you_mean(unknown, declared), key="data.labels"
            )
        absent = [name for name in declared if name not in counts]
        if absent:
            raise DataError(
                f"no training example has {listed(absent)}",
                did_you_mean(absent, sorted(set(counts) - set(declared)))
                or f"labels in train: {listed(sorted(counts))}",
                key="data.labels",
            )
    if not counts:
        raise DataError("no training example has a label", key="data.label")
    if len(counts) == 1 and not all(train):
        raise DataError(
            f"{listed(list(counts))} is the only label; kit needs two or more",
            "give the rows without it a second label: one column with two labels, without data.multi_label",
            key="data.label",
        )
    if len(counts) == 1:
        raise DataError(
            f"every training example has the label {listed(list(counts))}; there is nothing to learn",
            "name another column in data.label, or read rows with other labels",
            key="data.label",
        )
    if min(map(len, train)) == len(counts):
        raise DataError(
            f"every training example has all {len(counts)} labels; there is nothing to learn",
            "name the labels that hold, not all labels; check data.label",
            key="data.label",
        )
    if declared is not None:
        return tuple(declared)
    return tuple(sorted(counts, key=float if are_numbers(counts) else None))


def are_numbers(names: Iterable[str]) -> bool:
    """Return whether all label names are numbers, which have a natural order."""
    return all(_NUMBER.fullmatch(name) for name in names)


def check_test_labels(test: Labels, labels: Sequence[str], split: str) -> None:
    """Raise DataError if test has a label that is not in train, or no label. split: name of test for the message."""
    counts = Counter(name for row in test for name in row)
    unknown = sorted(set(counts) - set(labels))
    if unknown:
        raise _unknown_in_test(unknown, counts, labels)
    if not counts:
        raise DataError(
            f"no example of {split} has a label",
            "set data.test_split to a split that has labels (often `validation`), or give files as data.test",
            key="data.test_split",
        )


def _unknown_in_test(unknown: Sequence[str], counts: Counter[str], labels: Sequence[str]) -> DataError:
    """Return an error about labels of test that are not in train, or differ in spelling from labels of train."""
    folded = {fold(name): name for name in labels}
    respelled = [(name, folded[fold(name)]) for name in unknown if fold(name) in folded]
    if len(respelled) == len(unknown):
        pairs = ", ".join(
            f"{distinct_words(name)} ({counts[name]:,}) for {distinct_words(known)}"
            for name, known in respelled[:_SHOWN]
        )
        return DataError(f"test has other spellings of labels in train: {pairs}", MERGE_HINT, key="data.label")
    hint = did_you_mean(unknown, labels) or "add training examples for it, or leave those test rows out"
    if are_numbers([*unknown, *labels]):
        hint += f"; if it is another name of a label, {setting('data.label_map', {unknown[0]: '...'})}"
    truths = {DIGIT_OF_WORD.get(fold(name), fold(name)): name for name in labels}
    renames = {name: truths.get(DIGIT_OF_WORD.get(fold(name), fold(name))) for name in unknown}
    if truths.keys() == {"0", "1"} and all(renames.values()):
        hint = f"write truth values in one way: {setting('data.label_map', renames)}"
    return DataError(f"test has {listed(unknown, counts)}, train does not", hint, key="data.label")


def encode_labels(rows: Sequence[tuple[str, ...]], labels: Sequence[str], multi_label: bool) -> np.ndarray:
    """Return class indices (n,) int64, -1 for a row without a label; if `multi_label`, (n, labels) float32 0/1."""
    index = {name: place for place, name in enumerate(labels)}
    if not multi_label:
        return np.asarray([index[row[0]] if row else -1 for row in rows], np.int64)
    targets = np.zeros((len(rows), len(labels)), np.float32)
    for place, row in enumerate(rows):
        targets[place, [index[name] for name in row]] = 1
    return targets
