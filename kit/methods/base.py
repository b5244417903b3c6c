"""The Method interface: fit a model on a labelled budget.

Knows what a method is given and what it gives back. Knows nothing of any one method.
"""

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
    """Everything a method needs.

    recipe: resolved.
    checkpoint: what weights start from; None for methods that start from none. workdir: for checkpoints, kept if the
    run is killed. logs: for trackers' files; they become part of the Record. teachers, transfer: for distillation.
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
        """Identifies the weights that training starts from."""
        assert self.checkpoint is not None
        if self.recipe.method == "lora" and self.recipe.lora.load != "float32":
            return f"{self.checkpoint.sha256} {self.recipe.lora.load}"
        if self.recipe.method not in ("distill", "student"):
            return self.checkpoint.sha256
        return f"{self.checkpoint.sha256} {self.recipe.distill.student.model_dump_json()}"


@dataclass(frozen=True)
class Fitted:
    """What a method gives back.

    training: None for methods without gradient steps. settings: values the method chose inside the budget.
    truncation: share of texts cut at the longest length, by split, for methods that cut.
    """

    predictor: Predictor
    training: Training | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    truncation: dict[str, float] = field(default_factory=dict)


class Method(Protocol):
    """One way to fit a model."""

    @property
    def name(self) -> str:
        """As recipes write it."""

    @property
    def needs_checkpoint(self) -> bool:
        """Whether `model.checkpoint` is used."""

    def fit(self, job: Job) -> Fitted:
        """Fit on the job's training examples; select on its validation examples; never touch its test labels."""


class Classifying(Method, Protocol):
    """One way to fit a classifier."""

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """How text vectors are pooled from a checkpoint's token vectors; None for a native head, or without vectors.

        wanted: the recipe's `model.pooling`.
        """
