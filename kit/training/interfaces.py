"""Inputs and results of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from kit.data.encode import Encoded
from kit.models.checkpoints.head import Scale
from kit.recipe.resolved import ResolvedTrain
from kit.training.diagnosis import Diagnosis, Evaluation
from kit.training.hardware import Hardware
from kit.training.objective import Objective
from kit.training.plan import Plan
from kit.training.progress import Progress


@dataclass(frozen=True)
class Split:
    """Encoded texts with their targets: class indices (n,), zeros and ones (n, labels), or numbers (n,)."""

    encoded: Encoded
    targets: np.ndarray

    def joined(self, other: Split) -> Split:
        """Return the examples of both splits, those of `self` first."""
        if not len(other.targets):
            return self
        return Split(self.encoded.joined(other.encoded), np.concatenate([self.targets, other.targets]))


class Lessons(Protocol):
    """The n training examples, as indices that `collate` turns into tensors."""

    @property
    def sizes(self) -> np.ndarray:
        """Sizes (n,) of the examples; a batch of similar sizes needs little padding."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> int: ...

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return a batch for the model, with `labels` for the objective."""


@dataclass(frozen=True)
class Look:
    """Result of one evaluation during training.

    Attributes:
        scores: `train_loss`, `train_METRIC`, `validation_loss` and `validation_METRIC`.
        validation_examples: Number of validation examples.
        validation_parts: Values whose mean is the validation loss, see `diagnosis.loss_parts`; empty if the loss is
            not a finite number.
    """

    scores: dict[str, float]
    validation_examples: int
    validation_parts: list[float]


class Watch(Protocol):
    """Evaluation of a model during training."""

    @property
    def metric(self) -> str:
        """Name of the metric that is computed in addition to the loss."""

    @property
    def validated(self) -> bool:
        """True if there are validation examples."""

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """Evaluate the model on a sample of training examples and on all validation examples.

        Args:
            model: The whole model.
            bf16: Compute with autocast to bfloat16, as training steps do.
        """


@dataclass(frozen=True)
class Training:
    """Description of a finished training run.

    Attributes:
        plan: The plan, with the batch sizes that fit into memory.
        precision: `bf16` or `fp32`.
        seconds: Training time, including that before interruptions.
        earlier_seconds: Part of `seconds` before the last interruption.
        samples_per_second: Training examples per second.
        history: Logged numbers by step.
        evaluations: Evaluations in the order of their steps.
        diagnosis: How training ended.
        notes: Lines for people on resumed checkpoints and smaller batches.
    """

    plan: Plan
    precision: str
    seconds: float
    earlier_seconds: float
    samples_per_second: float
    history: list[dict[str, float]]
    evaluations: list[Evaluation]
    diagnosis: Diagnosis
    notes: list[str] = field(default_factory=list)


SECOND_TRAINING = "second training (refit)"
REFIT_FOLDER = "refit"  # for checkpoints and logs of the second training


@dataclass(frozen=True)
class Fitting:
    """Everything that a training run needs.

    Attributes:
        model: Model to train in place.
        objective: Loss.
        lessons: Training examples.
        watch: Evaluation during training.
        section: The recipe's `train` section, resolved.
        plan: Plan of the run.
        hardware: Hardware to train on.
        workdir: Folder for checkpoints; a killed run is resumed from the newest whole checkpoint in it.
        logs: Folder for the trackers' files.
        progress: Output for people.
        rate_shares: Per prefix of parameter names, the share of the learning rate that these parameters get.
        stage: Name of this training for people, if the run has several trainings.
        scale: Scale of the numbers that the model predicts; None for other outputs.
    """

    model: PreTrainedModel
    objective: Objective
    lessons: Lessons
    watch: Watch
    section: ResolvedTrain
    plan: Plan
    hardware: Hardware
    workdir: Path
    logs: Path
    progress: Progress
    rate_shares: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    scale: Scale | None = None

    @property
    def start_file(self) -> Path:
        """File with the initial weights; it is on disk because it is read only if memory runs out."""
        return self.workdir.with_name(f"{self.workdir.name}-start.pt")
