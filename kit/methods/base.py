"""Interfaces of methods, which fit models, and of families of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from transformers import PreTrainedModel

from kit.data import Prepared
from kit.data.distillation_texts import TransferSet
from kit.data.encode import Encoded
from kit.distillation.teacher import Teacher
from kit.measurement.durations import Span
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.kinds.form import Form
from kit.models.predictor import Predictor, Texts
from kit.recipe import ModelSection, Recipe
from kit.recipe.defaults import Facts
from kit.recipe.resolved import DistillationRecipe, ResolvedRecipe, TrainingRecipe
from kit.tasks.base import EncoderTask, Task
from kit.training.hardware import Hardware
from kit.training.interfaces import Training
from kit.training.plan import Plan
from kit.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Job:
    """Inputs of a method, or of a compression.

    Args:
        recipe: Recipe of the run.
        task: Task of the recipe.
        data: Labelled budget, pool and test split.
        hardware: Device and precision.
        progress: Output for people.
        checkpoint: Checkpoint that the weights start from; None for methods without one.
        transfer: Texts of a distillation; None for other runs.
        workdir: Folder for training checkpoints, which is kept if the run is killed.
        logs: Folder for files of experiment trackers, which becomes part of the Record.
    """

    recipe: ResolvedRecipe
    task: Task
    data: Prepared
    hardware: Hardware
    progress: Progress
    checkpoint: Checkpoint | None = None
    transfer: TransferSet | None = None
    workdir: Path = Path()
    logs: Path = Path()

    @property
    def encoder_task(self) -> EncoderTask:
        """The task, for the methods for encoders."""
        return cast(EncoderTask, self.task)


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Job):
    """Inputs of a method that trains by gradient steps."""

    recipe: TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class CheckpointJob(Job):
    """Inputs of a method that starts from a checkpoint."""

    checkpoint: Checkpoint

    @classmethod
    def starting_from(cls, checkpoint: Checkpoint, job: Job) -> CheckpointJob:
        """Return a job with another checkpoint."""
        return CheckpointJob(**vars(job) | {"checkpoint": checkpoint})

    @property
    def weights_key(self) -> str:
        """Identifier of the weights that training starts from, for cache keys."""
        if self.recipe.method == "lora" and self.recipe.lora.load != "float32":
            return f"{self.checkpoint.sha256} {self.recipe.lora.load}"
        if self.recipe.method not in ("distill", "student"):
            return self.checkpoint.sha256
        return f"{self.checkpoint.sha256} {self.recipe.distill.student.model_dump_json()}"


@dataclass(frozen=True, kw_only=True)
class FinetuneJob(TrainingJob, CheckpointJob):
    """Inputs of a method that trains from a checkpoint."""

    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True)
class DistillationJob(FinetuneJob):
    """Inputs of a student or of its control, which has no teachers.

    Args:
        teachers: Teachers of the student.
    """

    recipe: DistillationRecipe
    transfer: TransferSet
    teachers: tuple[Teacher, ...]


@dataclass(frozen=True)
class Fitted:
    """Result of a method.

    Args:
        predictor: The fitted model.
        training: Result of gradient training; None for methods without it.
        settings: Values that the method chose on the budget.
        truncation: Share of texts truncated to the maximum length, by split; empty for methods that do not truncate.
        held_out: Outputs (n, ...) for the validation examples of a model that was not trained on them: the predictor
            itself, or the model of the first training if the predictor was trained on the whole budget; None without
            such outputs.
    """

    predictor: Predictor
    training: Training | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    truncation: dict[str, float] = field(default_factory=dict)
    held_out: np.ndarray | None = None


JobT_contra = TypeVar("JobT_contra", bound=Job, contravariant=True)
RecipeT_contra = TypeVar("RecipeT_contra", bound=ResolvedRecipe, contravariant=True)


class Method(Protocol[JobT_contra]):
    """A way to fit a model from the inputs in a job."""

    @property
    def name(self) -> str:
        """Name of the method in recipes."""

    @property
    def needs_checkpoint(self) -> bool:
        """True if the method uses `model.checkpoint`."""

    def fit(self, job: JobT_contra) -> Fitted:
        """Fit a model on the training examples, with choices on the validation examples; test labels are not used."""


class EncoderMethod(Method[JobT_contra], Protocol):
    """A way to fit an encoder."""

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling of token vectors to text vectors; None for a native head or a model without token vectors.

        Args:
            folder: Folder of the checkpoint.
            wanted: The recipe's `model.pooling`.
        """


@dataclass(frozen=True)
class Inputs:
    """Inputs of a run before its defaults are filled in.

    Attributes:
        recipe: Recipe with open defaults.
        data: Labelled budget, pool and test split.
        checkpoint: Checkpoint that the weights start from; None for methods without one.
        teachers: Teachers for method distill; empty if the teacher has to be trained first.
        find_checkpoint: Returns the checkpoint that a model section names.
    """

    recipe: Recipe
    data: Prepared
    checkpoint: Checkpoint | None
    teachers: tuple[Teacher, ...]
    find_checkpoint: Callable[[ModelSection], Checkpoint]


@dataclass(frozen=True)
class Sizes:
    """Numbers of examples of a run.

    Attributes:
        train: Training examples.
        validation: Validation examples.
        test: Test examples.
        transfer: Texts to distil on; 0 for methods without a student.
    """

    train: int
    validation: int
    test: int
    transfer: int = 0


@dataclass(frozen=True)
class Trial:
    """Model that a run would train, with its encoded texts, plan and measured time.

    Attributes:
        model: Model as it would be trained.
        encoded: Training texts as tokens.
        plan: Plan of the training; None for a probe.
        seconds_a_pass: Time of one example's forward pass, a third of its share of a training step.
        references: Reference translations as tokens; None for models that do not write texts.
    """

    model: PreTrainedModel
    encoded: Encoded
    plan: Plan | None
    seconds_a_pass: Span
    references: Encoded | None = None


class Family(Protocol[JobT_contra, RecipeT_contra]):
    """Family of models that tasks are solved with."""

    @property
    def methods(self) -> Mapping[str, Method[Any]]:
        """Methods by name."""

    def facts(self, inputs: Inputs) -> tuple[Facts, TransferSet | None]:
        """Return the facts for the defaults of a run, and its texts to distil on.

        Raises:
            RecipeError: The student is not possible, or a key does not fit the checkpoint.
            ModelError: The checkpoint does not fit the recipe.
        """

    def foreseen_facts(self, recipe: Recipe, labels: tuple[str, ...], sizes: Sizes) -> Facts:
        """Return these facts before the checkpoint is read, assuming the slowest kind."""

    def require_teacher(self, teacher: Teacher, inputs: Inputs) -> None:
        """Raise ModelError unless a teacher fits the task."""

    def teacher_outputs(self, teacher: Teacher, texts: Texts, max_length: int, progress: Progress) -> np.ndarray:
        """Return the outputs of a teacher for n texts, from the cache or computed, in the order of its own labels.

        Args:
            teacher: The teacher.
            texts: The texts.
            max_length: Longest text in tokens, for a teacher without a limit of its own.
            progress: Output for people.
        """

    def trial(self, job: JobT_contra) -> Trial:
        """Build the model of a job, and time it on the job's training texts."""

    def passes(self, recipe: RecipeT_contra, sizes: Sizes) -> float:
        """Return the cost of a run in forward passes of one example; a training step counts three.

        Args:
            recipe: Resolved recipe of a method other than tfidf.
            sizes: Numbers of examples.
        """

    def foreseen_form(self, recipe: Recipe) -> Form:
        """Return the form of the model that a run will save. Raises ModelError for a missing checkpoint."""

    def model_rows(self, recipe: RecipeT_contra) -> list[tuple[str, str]]:
        """Return properties of a resolved recipe's model, as (name, value) for people."""
