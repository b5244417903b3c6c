"""Detection of labels that are numbers rather than names of classes."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.label_column import LabelColumn
from kit.data.label_words import in_line
from kit.data.numbers import DecimalSign, could_be_numbers
from kit.data.table import Table
from kit.errors import DataError

_MANY = 20  # different whole numbers, above which they are hardly names of classes
_MANY_DECIMALS = 10  # the same for numbers with decimals
_FEW = 2  # different numbers, up to which they are names of classes


def are_measurements(labels: Sequence[str]) -> bool:
    """Return whether different labels are numbers on a scale; False for names and for a few whole numbers.

    Raises:
        DataError: They may be either: many class codes in a row, or a few numbers with decimals.
    """
    if len(labels) <= _FEW or not could_be_numbers(LabelColumn("label", Table.of({"label": list(labels)}))):
        return False
    sign = DecimalSign.COMMA if any("," in label for label in labels) else DecimalSign.POINT
    values = sorted(sign.value_of(label) for label in labels)
    are_whole = all(value.is_integer() for value in values)
    if are_whole and len(values) <= _MANY:
        return False
    are_codes = are_whole and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    if are_codes or (not are_whole and len(values) <= _MANY_DECIMALS):
        raise DataError(
            f"the {len(values)} labels ({in_line(labels, most=5)}) may be numbers on a scale or codes of classes",
            "task: regression or task: classification",
            key="task",
        )
    return True
