"""What a training run is made from, and what it gives back.

Knows the shapes of both. Knows nothing of how training is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from kit.data.encode import Encoded
from kit.recipe import TrainSection
from kit.training.diagnosis import Diagnosis, Evaluation
from kit.training.hardware import Hardware
from kit.training.objective import Objective
from kit.training.plan import Plan
from kit.training.progress import Progress


@dataclass(frozen=True)
class Split:
    """Encoded texts with their targets: (n,) class indices or (n, labels) zeros and ones."""

    encoded: Encoded
    targets: np.ndarray

    def joined(self, other: Split) -> Split:
        """The examples of both, these first."""
        if not len(other.targets):
            return self
        return Split(self.encoded.joined(other.encoded), np.concatenate([self.targets, other.targets]))


class Lessons(Protocol):
    """What training goes through: n examples, of which `collate` makes tensors for the model."""

    @property
    def sizes(self) -> np.ndarray:
        """(n,) such that examples of near-equal size make a batch with little padding."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> int: ...

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch with `labels`, which the objective gets."""


@dataclass(frozen=True)
class Look:
    """What a model was measured to be at one pause of training.

    scores: `train_loss`, `train_METRIC`, `validation_loss` and `validation_METRIC`. validation_parts: values whose mean
    is the validation loss, see `diagnosis.loss_parts`; empty if the loss is not a number.
    """

    scores: dict[str, float]
    validation_examples: int
    validation_parts: list[float]


class Watch(Protocol):
    """What a model is measured on while it learns."""

    @property
    def metric(self) -> str:
        """Name of the metric beside the loss."""

    @property
    def validated(self) -> bool:
        """Whether there are validation examples."""

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """Measure the model on a sample of training examples and on all validation examples.

        bf16: whether to compute as steps in bfloat16 do.
        """


@dataclass(frozen=True)
class Training:
    """What a training run did: its plan, losses by step, speed, and how it ended.

    earlier_seconds: the part of `seconds` before the run was interrupted.
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
REFIT_FOLDER = "refit"  # of its checkpoints and logs


@dataclass(frozen=True)
class Fitting:
    """Everything a training run is made from.

    watch: what the model is measured on meanwhile.
    workdir: holds checkpoints; a run that was killed is continued from the last whole one found there.
    logs: for the trackers' files. rate_shares: of the learning rate, for parameters whose names begin like this.
    stage: name of this training for the user, where a run has several.
    """

    model: PreTrainedModel
    objective: Objective
    lessons: Lessons
    watch: Watch
    section: TrainSection
    plan: Plan
    hardware: Hardware
    workdir: Path
    logs: Path
    progress: Progress
    rate_shares: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""

    @property
    def start_file(self) -> Path:
        """File with the weights that training starts from: on disk, for it is read only if memory runs out."""
        return self.workdir.with_name(f"{self.workdir.name}-start.pt")
