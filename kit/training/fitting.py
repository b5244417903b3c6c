"""What a training run is made from, and what it gives back.

Knows the shapes of both. Knows nothing of how training is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import Encoded
from kit.recipe import TrainSection
from kit.tasks.base import Task
from kit.training.diagnosis import Diagnosis, Evaluation
from kit.training.hardware import Hardware
from kit.training.objective import Objective
from kit.training.plan import Plan
from kit.training.progress import Progress


@dataclass(frozen=True)
class Split:
    """Encoded texts with their targets: (n,) class indices or (n, labels) zeros and ones; see `Fitting.lessons`."""

    encoded: Encoded
    targets: np.ndarray

    def joined(self, other: Split) -> Split:
        """The examples of both, these first."""
        if not len(other.targets):
            return self
        return Split(self.encoded.joined(other.encoded), np.concatenate([self.targets, other.targets]))


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


@dataclass(frozen=True)
class Fitting:
    """Everything a training run is made from.

    lessons: the texts that training goes through, with what the objective gets of each. train: labelled training
    examples that it is measured on meanwhile, beside validation; the same for methods that learn from labels.
    workdir: holds checkpoints; a run that was killed is continued from the last whole one found there.
    logs: for the trackers' files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    objective: Objective
    lessons: Split
    train: Split
    validation: Split
    section: TrainSection
    plan: Plan
    hardware: Hardware
    workdir: Path
    logs: Path
    progress: Progress
