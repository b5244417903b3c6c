"""Class names that a data set declares for the numbers of a column (the ClassLabel metadata of `datasets`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.data.table import is_missing

_HIDDEN = -1  # a label that the publisher of the data does not disclose


@dataclass(frozen=True)
class UnnamedClass:
    """A value that is neither the number nor the name of a declared class; reading it as a label raises DataError."""

    value: Any
    names: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.value)


def declared_features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return the descriptions of columns from the metadata of an Arrow schema.

    The result is empty if there are none.
    """
    try:
        content = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = content["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def class_names(feature: Any) -> list[str] | None:
    """Return the class names in the description of a column, None for columns without classes.

    Args:
        feature: Description as plain data: `{"names": [...], "_type": "ClassLabel"}`, or lists of such descriptions.
    """
    if isinstance(feature, list) and feature:
        return class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]] or None
    return class_names(feature.get("feature"))


def name_classes(columns: dict[str, list[Any]], features: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns with class names in place of class numbers.

    Names stay, -1 becomes None, and other values without a class become `UnnamedClass`. 0/1 vectors with one position
    per class become lists of the names at the positions of the ones; vectors of another length stay.
    """
    result = dict(columns)
    for column, values in columns.items():
        names = class_names(features.get(column))
        if names is not None:
            result[column] = _named_column(values, names)
    return result


def _named_column(values: list[Any], names: list[str]) -> list[Any]:
    vectors = [value for value in values if not is_missing(value)]
    if _are_vectors(vectors):
        if len(vectors[0]) != len(names):
            return values
        return [value if is_missing(value) else _names_of_ones(value, names) for value in values]
    known: dict[str | int, str | None] = {"": None, str(_HIDDEN): None, _HIDDEN: None}
    for number, name in enumerate(names):
        known |= {number: name, str(number): name}
    known |= {name: name for name in names}  # a text that is both a name and a number is the name
    return [_named(value, tuple(names), known) for value in values]


def _are_vectors(values: Sequence[Any]) -> bool:
    """Check for 0/1 vectors of one length, at least one of which repeats a value, which lists of labels do not."""
    if not values or not all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return False
    return all(item in (0, 1) for value in values for item in value) and any(
        len({float(item) for item in value}) < len(value) for value in values
    )


def _names_of_ones(vector: list[Any], names: list[str]) -> list[str]:
    return [name for name, holds in zip(names, vector, strict=True) if holds]


def _named(value: Any, names: tuple[str, ...], known: Mapping[str | int, str | None]) -> Any:
    """Return the name of one value, or the names of a list of values."""
    if isinstance(value, list):
        return [_named(item, names, known) for item in value]
    if is_missing(value):
        return None
    key = value.strip() if isinstance(value, str) else value
    if isinstance(value, float) and value.is_integer():
        key = int(value)
    return known[key] if isinstance(key, (str, int)) and key in known else UnnamedClass(value, names)
