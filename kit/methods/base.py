"""The Method interface: fit a model on a labelled budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kit.data import Prepared
from kit.data.distillation_texts import TransferSet
from kit.distillation.teacher import Teacher
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.predictor import Predictor
from kit.recipe import Recipe
from kit.tasks import Task
from kit.training.hardware import Hardware
from kit.training.interfaces import Training
from kit.training.progress import Progress


@dataclass(frozen=True)
class Job:
    """Inputs of a method.

    Args:
        recipe: Resolved recipe.
        task: Task of the recipe.
        data: Labelled budget, pool and test split.
        hardware: Device and precision.
        checkpoint: Checkpoint that the weights start from; None for methods without one.
        progress: Receiver of progress messages.
        teachers: Teachers of a distillation.
        transfer: Texts of a distillation; None for other methods.
        workdir: Folder for training checkpoints, which is kept if the run is killed.
        logs: Folder for files of experiment trackers, which becomes part of the Record.
    """

    recipe: Recipe
    task: Task
    data: Prepared
    hardware: Hardware
    checkpoint: Checkpoint | None
    progress: Progress
    teachers: tuple[Teacher, ...] = ()
    transfer: TransferSet | None = None
    workdir: Path = Path()
    logs: Path = Path()

    @property
    def weights_key(self) -> str:
        """Identifier of the weights that training starts from, for cache keys."""
        assert self.checkpoint is not None
        if self.recipe.method == "lora" and self.recipe.lora.load != "float32":
            return f"{self.checkpoint.sha256} {self.recipe.lora.load}"
        if self.recipe.method not in ("distill", "student"):
            return self.checkpoint.sha256
        return f"{self.checkpoint.sha256} {self.recipe.distill.student.model_dump_json()}"


@dataclass(frozen=True)
class Fitted:
    """Result of a method.

    Args:
        predictor: The fitted model.
        training: Result of gradient training; None for methods without it.
        settings: Values that the method chose on the budget.
        truncation: Share of texts truncated to the maximum length, by split; empty for methods that do not truncate.
    """

    predictor: Predictor
    training: Training | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    truncation: dict[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A way to fit a model."""

    @property
    def name(self) -> str:
        """Name of the method in recipes."""

    @property
    def needs_checkpoint(self) -> bool:
        """True if the method uses `model.checkpoint`."""

    def fit(self, job: Job) -> Fitted:
        """Fit a model on the training examples, with choices on the validation examples; test labels are not used."""


class Classifying(Method, Protocol):
    """A way to fit a classifier."""

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling of token vectors to text vectors; None for a native head or a model without token vectors.

        Args:
            folder: Folder of the checkpoint.
            wanted: The recipe's `model.pooling`.
        """
