"""Numbers as labels: read a column of numbers, stratify by quantiles, and describe their distribution.

A label is kept as text like any other, in the shortest form that reads as the same number: `7.5`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

from kit.data.blank import is_blank
from kit.data.columns import ambiguous_columns, most_usual
from kit.data.label_column import LabelColumn, Labels, cell_words
from kit.data.label_words import quoted
from kit.data.labels import label_name
from kit.data.table import Table, is_missing
from kit.errors import DataError
from kit.recipe.sections.data import DataSection
from kit.recipe.setting import setting

_GROUPS = r"[1-9]\d{0,2}"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_LARGEST = 1e30  # squares of larger numbers do not fit into float32
_STRATA, _STRATUM_SIZE = 10, 10  # most strata, and their least size
_FAR = 10.0  # interquartile ranges from the median beyond which a label is an outlier
_UNKNOWN = ("nan", "na", "n/a", "null", "none", "-", "?")  # words for a missing number


class DecimalSign(Enum):
    """Sign between the whole part and the decimals of numbers written as text."""

    POINT = "."
    COMMA = ","

    @property
    def pattern(self) -> re.Pattern[str]:
        """Pattern of a number; the other sign may separate groups of three digits."""
        mark, group = re.escape(self.value), "," if self is DecimalSign.POINT else r"\."
        whole = rf"(?:\d+|{_GROUPS}(?:{group}\d{{3}})+)"
        return re.compile(rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+){_EXPONENT}")

    def value_of(self, text: str) -> float:
        """Return the number that a matching text stands for."""
        group = "," if self is DecimalSign.POINT else "."
        return float(text.replace(group, "").replace(self.value, "."))


@dataclass(frozen=True)
class Distribution:
    """Distribution of the labels of a split.

    Attributes:
        count: Number of labels.
        mean: Mean.
        sd: Standard deviation.
        quantiles: Minimum, quartiles and maximum.
        outliers: Number of labels far from the rest.
    """

    count: int
    mean: float
    sd: float
    quantiles: tuple[float, float, float, float, float]
    outliers: int

    @classmethod
    def of(cls, values: np.ndarray) -> Distribution:
        """Return the distribution of at least one number."""
        low, quarter, median, three_quarters, high = (float(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
        reach = _FAR * (three_quarters - quarter)
        far = np.abs(values - median) > reach if reach else np.zeros(len(values), bool)
        quantiles = (low, quarter, median, three_quarters, high)
        return cls(len(values), float(values.mean()), float(values.std()), quantiles, int(far.sum()))

    @property
    def median(self) -> float:
        """Median, which has the smallest mean absolute error of all constant predictions."""
        return self.quantiles[2]

    @property
    def words(self) -> str:
        """The distribution in a few words: `1 to 10, mean 6.71, standard deviation 2.9`."""
        low, high = self.quantiles[0], self.quantiles[-1]
        return f"{low:.5g} to {high:.5g}, mean {self.mean:.4g}, standard deviation {self.sd:.3g}"


def read_split_numbers(
    train: LabelColumn, test: LabelColumn | None, data: DataSection
) -> tuple[Labels, Labels | None, tuple[str, ...]]:
    """Return the numbers of both splits as labels, and notes on how they were read.

    The training rows decide about the decimal sign. `data.label_map` may replace words by numbers, or by null for no
    label.

    Raises:
        DataError: A cell is not a number, or all training examples have the same one.
    """
    sign = _decimal_of(train, data)
    labels = _numbers(train, sign, data)
    distinct = {row[0] for row in labels if row}
    if not distinct:
        raise DataError("no training example has a label", key="data.label")
    if len(distinct) == 1:
        raise DataError(
            f"every training example has the label {next(iter(distinct))}; there is nothing to learn",
            "name another column in data.label, or read rows with other labels",
            key="data.label",
        )
    note = f"column {quoted(train.name)}: numbers are read with a decimal comma" if sign is DecimalSign.COMMA else ""
    tested = None if test is None else _numbers(test, sign, data)
    return labels, tested, (note,) if note else ()


def values_of(labels: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Return (n,) numbers of labels; NaN for an example without a label."""
    return np.asarray([float(row[0]) if row else math.nan for row in labels], np.float64)


def strata(values: np.ndarray) -> np.ndarray:
    """Return the quantile (n,) that each number is in, for stratified samples; -1 for NaN.

    There are ten strata of equal size, fewer for less than 100 numbers. Equal numbers share a stratum.
    """
    labelled = ~np.isnan(values)
    known = values[labelled]
    classes = np.full(len(values), -1, np.int64)
    count = max(1, min(_STRATA, len(known) // _STRATUM_SIZE))
    edges = np.unique(np.quantile(known, np.arange(1, count) / count)) if len(known) else np.empty(0)
    places = np.searchsorted(edges, known, side="right")
    classes[labelled] = np.unique(places, return_inverse=True)[1]
    return classes


def could_be_numbers(column: LabelColumn) -> bool:
    """Return whether every cell of a column that is not blank is a number, in one way of writing."""
    cells = [value for value in column.values if not _is_empty(value)]
    return bool(cells) and any(all(_read(value, sign) is not None for value in cells) for sign in DecimalSign)


def guess_number_column(table: Table, exclude: Collection[str] = ()) -> str:
    """Return the only column of numbers, or of several the only one with a usual name such as `rating`.

    Args:
        table: Table of training examples.
        exclude: Columns that hold something else, such as the text.

    Raises:
        DataError: No column, or several, could hold the label.
    """
    columns = [LabelColumn(name, table) for name in table.columns if name not in exclude]
    candidates = most_usual([column.name for column in columns if could_be_numbers(column)])
    if len(candidates) != 1:
        raise ambiguous_columns("label", candidates, table)
    return candidates[0]


def _decimal_of(column: LabelColumn, data: DataSection) -> DecimalSign:
    """Return the decimal sign of a column.

    Raise DataError if a comma may be decimal or separate thousands.
    """
    cells = [(place, _mapped(value, data)) for place, value in column.cells()]
    texts = [(place, _plain(value)) for place, value in cells if isinstance(value, str) and not is_blank(value)]
    with_comma = [(place, text) for place, text in texts if "," in text]
    if not with_comma:
        return DecimalSign.POINT
    points, commas = (sum(bool(sign.pattern.fullmatch(text)) for _, text in texts) for sign in DecimalSign)
    if points == commas == len(texts):
        place, text = with_comma[0]
        raise column.error(
            place,
            f"{cell_words(text)!r} has a decimal comma, or a comma that separates thousands",
            "write numbers with a decimal point, and without separators of thousands",
        )
    return DecimalSign.COMMA if commas > points else DecimalSign.POINT


def _numbers(column: LabelColumn, sign: DecimalSign, data: DataSection) -> Labels:
    labels: Labels = []
    for place, cell in column.cells():
        value = _mapped(cell, data)
        if _is_empty(value):
            labels.append(())
            continue
        number = _read(value, sign)
        if number is None:
            raise _not_a_number(column, place, value)
        if not abs(number) <= _LARGEST:
            raise column.error(place, f"{cell_words(value)} is not a finite number below {_LARGEST:.0e}")
        labels.append((label_name(number + 0.0),))  # 0.0 for -0.0
    return labels


def _mapped(value: Any, data: DataSection) -> Any:
    name = label_name(value) if data.label_map and not _is_empty(value) else None
    return value if name is None else data.label_map.get(name, value)


def _not_a_number(column: LabelColumn, place: int, value: Any) -> DataError:
    words = cell_words(value)
    hint = "label a row with a number, or leave its cell empty if it has none"
    if str(value).strip().lower() in _UNKNOWN:
        hint = f"leave the cell empty, or {setting('data.label_map', {str(value).strip(): None})}"
    return column.error(place, f"{words!r} is not a number", hint)


def _read(value: Any, sign: DecimalSign) -> float | None:
    """Return the number in a cell; None for text that is not one.

    Infinite numbers are returned as they are.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if not isinstance(value, str):
        return float(value)
    text = _plain(value)
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return math.inf
    return sign.value_of(text) if sign.pattern.fullmatch(text) else None


def _plain(text: str) -> str:
    """Return a number's text without outer space, and with an ASCII minus sign."""
    return text.strip().replace("\u2212", "-")


def _is_empty(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and is_blank(value))
