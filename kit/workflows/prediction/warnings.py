"""Warnings about predicted texts that are empty or were cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kit.data.blank import is_blank
from kit.workflows.prediction.rows import Row

_SHOWN = 5


class TextWarnings:
    """Counts of empty and cut texts in a stream of predictions."""

    def __init__(self) -> None:
        self._total = 0
        self._places: dict[str, list[str]] = {"empty": [], "cut": []}
        self._counts = {"empty": 0, "cut": 0}

    def watch(self, rows: Iterable[Row], predictions: Iterable[dict[str, Any]]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield every row with its prediction, counting empty and cut texts."""
        for row, prediction in zip(rows, predictions, strict=True):
            self._total += 1
            if any(map(is_blank, row.texts)):
                self._count("empty", row.place)
            if prediction.get("cut"):
                self._count("cut", row.place)
            yield row, prediction

    def lines(self) -> list[str]:
        """Return one line per kind of text, if there were any."""
        words = {
            "empty": ("is empty", "are empty"),
            "cut": ("is longer than the model reads and was cut", "are longer than the model reads and were cut"),
        }
        return [self._line(kind, one, several) for kind, (one, several) in words.items() if self._counts[kind]]

    def _count(self, kind: str, place: str) -> None:
        self._counts[kind] += 1
        if len(self._places[kind]) < _SHOWN:
            self._places[kind].append(place)

    def _line(self, kind: str, one: str, several: str) -> str:
        count = self._counts[kind]
        more = ", ..." if count > _SHOWN else ""
        texts = "text" if self._total == 1 else "texts"
        places = ", ".join(self._places[kind])
        return f"{count:,} of {self._total:,} {texts} {one if count == 1 else several}: {places}{more}"


def as_columns(prediction: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a prediction with a value for every column; missing flags are false."""
    return {name: prediction.get(name, False) for name in columns}
