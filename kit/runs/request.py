"""Request: a recipe with its data loaded, its checkpoint found and its defaults filled in.

All commands that need this use it, and it writes only caches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from kit.errors import ModelError, errors_about
from kit.recipe import DataSection, ModelSection, Recipe
from kit.recipe.identity import identity_hash, keys_in_id, readable_id
from kit.recipe.resolved import DistillationRecipe, ResolvedRecipe, TrainingRecipe

if TYPE_CHECKING:
    from kit.data import Cleaned, Prepared
    from kit.data.distillation_texts import TransferSet
    from kit.distillation.teacher import Teacher
    from kit.methods.base import Inputs, Job
    from kit.models.checkpoints.checkpoint import Checkpoint
    from kit.tasks import Task
    from kit.training.hardware import Hardware
    from kit.training.progress import Progress


class _JobInputs(TypedDict):
    """Inputs that all jobs have."""

    task: Task
    data: Prepared
    hardware: Hardware
    progress: Progress


@dataclass(frozen=True)
class Request:
    """Everything that determines a run.

    Attributes:
        recipe: Resolved recipe, see `kit.recipe.resolve`.
        task: The task.
        data: Training, validation, test and pool examples.
        checkpoint: Checkpoint that training starts from; None for methods without one.
        teachers: Teachers for method distill; empty if the teacher has to be trained first.
        transfer: Texts to distil on; None for methods without a student.
    """

    recipe: ResolvedRecipe
    task: Task
    data: Prepared
    checkpoint: Checkpoint | None
    teachers: tuple[Teacher, ...] = ()
    transfer: TransferSet | None = None

    @property
    def id(self) -> str:
        """Readable id of the run that ends in a hash of the resolved recipe, the data and the checkpoint's files."""
        recipe, data, start = self.recipe, self.data, self.checkpoint
        contents: dict[str, Any] = {
            "examples": data.fingerprints,
            "start": start and [start.sha256, start.tokenizer_sha256],
        }
        if recipe.method == "distill":
            contents["teachers"] = [teacher.sha256 for teacher in self.teachers]
            contents["texts"] = self.transfer and self.transfer.fingerprint()
        sha256 = identity_hash(keys_in_id(recipe, contents), contents)
        budget = len(data.train) + len(data.validation)
        name = start.short_name if start else None
        return readable_id(recipe.method, name, budget, recipe.train.seed, sha256)

    def job(self, hardware: Hardware, progress: Progress) -> Job:
        """Return the job of this run, of the kind that its method takes."""
        from kit.data.distillation_texts import TransferSet
        from kit.methods.base import CheckpointJob, DistillationJob, FinetuneJob, Job, TrainingJob
        from kit.models.checkpoints.checkpoint import Checkpoint

        inputs: _JobInputs = {"task": self.task, "data": self.data, "hardware": hardware, "progress": progress}
        match self.recipe, self.checkpoint, self.transfer:
            case DistillationRecipe() as recipe, Checkpoint() as start, TransferSet() as texts:
                return DistillationJob(
                    recipe=recipe, checkpoint=start, transfer=texts, teachers=self.teachers, **inputs
                )
            case TrainingRecipe() as recipe, Checkpoint() as start, _:
                return FinetuneJob(recipe=recipe, checkpoint=start, **inputs)
            case TrainingRecipe() as recipe, None, _:
                return TrainingJob(recipe=recipe, **inputs)
            case recipe, Checkpoint() as start, _:
                return CheckpointJob(recipe=recipe, checkpoint=start, **inputs)
        return Job(recipe=self.recipe, **inputs)


@dataclass
class LoadedInputs:
    """Cache of cleaned splits and hashed checkpoints, shared by the cells of a study.

    Attributes:
        weights: False to accept checkpoints without weights, and to download none; for estimates.
    """

    weights: bool = True
    _splits: dict[str, Cleaned] = field(default_factory=dict)
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)

    def cleaned(self, data: DataSection) -> Cleaned:
        """Return the cleaned splits of a data section, which do not depend on its budget. Raises DataError."""
        from kit.data import clean

        key = data.model_dump_json(exclude={"budget", "validation", "sampling", "max_length"})
        if key not in self._splits:
            self._splits[key] = clean(data)
        return self._splits[key]

    def checkpoint(self, model: ModelSection) -> Checkpoint:
        """Return the checkpoint that a model section names. Raises ModelError."""
        from kit.models.checkpoints.checkpoint import resolve_checkpoint

        key = model.model_dump_json(exclude={"pooling"})
        if key not in self._checkpoints:
            self._checkpoints[key] = resolve_checkpoint(model, weights=self.weights)
        return self._checkpoints[key]


def make_request(recipe: Recipe, shared: LoadedInputs | None = None) -> Request:
    """Load and audit the data, draw the budget, find the checkpoint and fill in the defaults.

    Args:
        recipe: The recipe.
        shared: Data and checkpoints that are loaded already; None to load them.

    Raises:
        KitError: The run cannot start.
    """
    from kit.data import prepare
    from kit.methods import family_of, method_of
    from kit.methods.base import Inputs
    from kit.recipe.resolve import resolve
    from kit.tasks import task_for
    from kit.training.progress import check_trackers

    shared = shared or LoadedInputs()
    check_trackers(recipe.train)
    data = prepare(recipe.data, recipe.train.seed, shared.cleaned(recipe.data))
    if data.splits.headless:  # small files with the same columns can then be read for predictions
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"header": "none"})})
    task, family = task_for(recipe, data.labels, data.train), family_of(recipe)
    inputs = Inputs(recipe, data, None, (), shared.checkpoint)
    teachers = _teachers(inputs) if recipe.method == "distill" else ()
    checkpoint = _start(recipe, teachers, shared) if method_of(recipe).needs_checkpoint else None
    facts, transfer = family.facts(replace(inputs, checkpoint=checkpoint, teachers=teachers))
    return Request(resolve(recipe, facts), task, data, checkpoint, teachers, transfer)


def _teachers(inputs: Inputs) -> tuple[Teacher, ...]:
    """Return the teachers that a recipe names, checked for the task.

    Raises:
        RecordError: A Record is damaged.
        ModelError: A teacher cannot be used for the task.
    """
    from kit.distillation.teacher import resolve_teacher
    from kit.methods import family_of

    recipe, names = inputs.recipe, inputs.recipe.distill.teacher
    teachers = tuple(resolve_teacher(name, recipe) for name in ([names] if isinstance(names, str) else names or []))
    for teacher in teachers:
        family_of(recipe).require_teacher(teacher, inputs)
    return teachers


def _start(recipe: Recipe, teachers: tuple[Teacher, ...], shared: LoadedInputs) -> Checkpoint:
    """Return the checkpoint that training starts from: for distillation the student's own, or else the teacher."""
    student = recipe.distill.student.checkpoint
    if recipe.method in ("distill", "student") and student is not None:
        with errors_about("distill.student.checkpoint"):
            return shared.checkpoint(recipe.model.model_copy(update={"checkpoint": student, "revision": None}))
    if recipe.method != "distill" or not teachers:
        return shared.checkpoint(recipe.model)
    if teachers[0].checkpoint is None:
        raise ModelError(
            f"teacher {teachers[0].name} has no layers to make a student from",
            "name a checkpoint as the student: distill.student.checkpoint",
            key="distill.student",
        )
    return teachers[0].checkpoint
