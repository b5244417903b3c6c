"""Class names that a data set declares for the integers of a column (the ClassLabel metadata of `datasets`)."""

from __future__ import annotations

from typing import Any


def class_names(feature: Any) -> list[str] | None:
    """Names of the classes behind a column's integers, as data sets describe them; None for other columns.

    feature: a column's description as plain data, `{"names": [...], "_type": "ClassLabel"}` or lists of that.
    """
    if isinstance(feature, list) and feature:
        return class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel" and feature.get("names"):
        return [str(name) for name in feature["names"]]
    return class_names(feature.get("feature"))


def name_classes(columns: dict[str, list[Any]], features: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns with class numbers turned into class names; -1, which marks a hidden label, into None."""

    def named(value: Any, names: list[str]) -> Any:
        if isinstance(value, list):
            return [named(item, names) for item in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    result = dict(columns)
    for column, values in columns.items():
        names = class_names(features.get(column))
        if names is not None:
            result[column] = [named(value, names) for value in values]
    return result
