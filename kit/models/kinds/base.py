"""Interface of kinds of saved models: everything that depends on how a model is stored, in one place per kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.kinds.form import Form
from kit.models.kinds.own_code import OwnCode
from kit.models.predictor import Predictor


@dataclass(frozen=True)
class CardExample:
    """Facts for the code example in a model card.

    Attributes:
        place: Name of the model, or folder of the format inside it.
        download: Code that sets `folder`, after a download if the model is on the Hub.
        arguments: Arguments of the loader, see `SavedKind.arguments`.
        labels: Labels in the order of the logits.
        max_length: Maximum number of tokens of a text.
        reads_pairs: True if an example is a pair of texts.
        multi_label: True if a text can have several labels.
    """

    place: str
    download: str
    arguments: dict[str, Any]
    labels: tuple[str, ...]
    max_length: int
    reads_pairs: bool
    multi_label: bool

    @property
    def predicts_number(self) -> bool:
        """True if the only output is a number."""
        return len(self.labels) == 1


class SavedKind(ABC):
    """Kind of saved model. Methods import the libraries that they need, and no others.

    Attributes:
        name: Name of the kind, and of its loader in `kit.publishing.standalone_check`.
        backend: Library that runs the model, as `record.json` names it.
        mark: File that only models of this backend have; empty if they are recognized by their weights.
        forms: Forms that models of this kind can have.
        translates: True for translators, False for classifiers.
        greedy: True if the loader without kit decodes greedily.
        runs_on: Library that runs the model, as `kit bench` names it; empty if kit does not run it.
        packages: Packages that load it without kit; empty if only kit loads it.
        hub_library: Name of the library on the Hub; None if the Hub does not know it.
        hub_tags: Tags on the Hub.
    """

    name: str
    backend: Backend
    mark = ""
    forms: tuple[Form, ...] = ()
    translates = False
    greedy = False
    runs_on = "eager"
    packages = ""
    hub_library: str | None = None
    hub_tags: tuple[str, ...] = ()

    def form(self, folder: Path) -> Form:
        """Return the form of the model in a folder."""
        return self.forms[0]

    @abstractmethod
    def predictor(self) -> type[Any]:
        """Import the predictor's class with the libraries that it needs, and return it."""

    def load(self, folder: Path, trusted: bool) -> Predictor:
        """Load the model, on the best available device. Raises ModelError if it is damaged or needs untrusted code."""
        predictor: Predictor = self.predictor().load(folder)
        return predictor

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the label names saved with a model, in logit order; empty for a translator."""
        return ()

    @abstractmethod
    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return the name of the format in which the model's own files are exported.

        Args:
            folder: The model's folder.
            run: Id of the run, for messages.
            source: Run that it was compressed from, for messages.

        Raises:
            ModelError: If the model cannot be exported.
        """

    def arguments(self, folder: Path, form: Form) -> dict[str, Any]:
        """Return the arguments of the loader without kit.

        Args:
            folder: Folder of the model, or of the model that an export will convert to this kind.
            form: Form of the exported model.

        Raises:
            ModelError: If the model cannot be loaded without kit.
        """
        return {}

    def code(self, folder: Path) -> OwnCode | None:
        """Return the module that transformers needs to load the model; None if it needs none."""
        return None

    def requirements(self, folder: Path) -> str:
        """Return the packages that load an exported model, for `pip install`."""
        return self.packages

    @abstractmethod
    def example(self, card: CardExample) -> str:
        """Return Python code that loads an exported model and predicts a text."""


def refuse(folder: Path) -> ModelError:
    """Return the error for a folder without a model that kit can load."""
    return ModelError(f"{folder} does not contain a model that kit can load")
