"""TF-IDF with a linear model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.damage import listed_labels
from kit.models.kinds.base import CardExample, SavedKind
from kit.models.kinds.form import Form
from kit.runtime.json_files import read_object


class TfidfKind(SavedKind):
    """TF-IDF with a linear model, which only kit loads."""

    name = "kit"
    backend = Backend.TFIDF
    mark = "tfidf.json"
    forms = (Form.TFIDF,)

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.backends.tfidf import TfidfPredictor

        return TfidfPredictor

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels in `tfidf.json`."""
        return listed_labels(read_object(folder / self.mark, ModelError), folder / self.mark)

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return `tfidf`."""
        return "tfidf"

    def example(self, card: CardExample) -> str:
        """Return code for kit."""
        text = '[("a text", "another")]' if card.reads_pairs else '"a text"'
        return f'from kit import predict\nprint(list(predict("{card.place}", {text})))'
