"""Adapters without their base model."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.kinds.base import CardExample, SavedKind, refuse
from kit.models.kinds.form import Form
from kit.models.kinds.torch_classifier import pipeline_input
from kit.models.predictor import Predictor


class Adapter(SavedKind):
    """Weights for peft, without the base model. kit exports them, but does not predict with them."""

    name = "peft"
    backend = Backend.ADAPTER
    mark = "adapter_config.json"
    runs_on = ""
    packages = "peft transformers torch"
    hub_library = "peft"

    def form(self, folder: Path) -> Form:
        """Raise ModelError."""
        raise refuse(folder)

    def load(self, folder: Path, trusted: bool) -> Predictor:
        """Raise ModelError."""
        raise refuse(folder)

    def predictor(self) -> NoReturn:
        """Raise ModelError: kit loads an adapter only together with its base model."""
        raise ModelError("an adapter without its base model cannot predict")

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Raise ModelError: a run never consists of an adapter alone."""
        raise refuse(folder)

    def example(self, card: CardExample) -> str:
        """Return code for peft."""
        problem = 'problem_type="regression", ' if card.predicts_number else ""
        return (
            "from peft import AutoPeftModelForSequenceClassification\n"
            "from transformers import AutoTokenizer, pipeline\n"
            "model = AutoPeftModelForSequenceClassification.from_pretrained(\n"
            f'    "{card.place}", num_labels={len(card.labels)}, {problem}ignore_mismatched_sizes=True,\n'
            f"    id2label={dict(enumerate(card.labels))!r})\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{card.place}")\n'
            'classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)\n'
            f"print(classify({pipeline_input(card)}))"
        )
