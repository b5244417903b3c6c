"""Request: a recipe with its data loaded, its checkpoint found and its defaults filled in.

All commands that need this use it, and it writes only caches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.errors import ModelError, RecipeError, errors_about
from kit.recipe import DataSection, ModelSection, Recipe
from kit.recipe.identity import identity_hash, keys_in_id, readable_id

if TYPE_CHECKING:
    from kit.data import Cleaned, Prepared
    from kit.data.distillation_texts import TransferSet
    from kit.distillation.teacher import Teacher
    from kit.models.checkpoints.checkpoint import Checkpoint
    from kit.recipe.defaults import Facts
    from kit.recipe.sections.distillation import DistillSection
    from kit.tasks import Task


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

    recipe: Recipe
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


@dataclass
class Shared:
    """Cache of cleaned splits and hashed checkpoints, shared by the cells of a study."""

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
            self._checkpoints[key] = resolve_checkpoint(model)
        return self._checkpoints[key]


def understand(recipe: Recipe, shared: Shared | None = None) -> Request:
    """Load and audit the data, draw the budget, find the checkpoint and fill in the defaults.

    Args:
        recipe: The recipe.
        shared: Data and checkpoints that are loaded already; None to load them.

    Raises:
        KitError: The run cannot start.
    """
    from kit.data import prepare
    from kit.data.scripts import words_are_separated
    from kit.methods import METHODS, method_of
    from kit.recipe.defaults import Facts
    from kit.recipe.resolve import resolve
    from kit.tasks import task_for
    from kit.training.progress import check_trackers

    shared = shared or Shared()
    check_trackers(recipe.train)
    method = method_of(recipe.task, recipe.method)
    data = prepare(recipe.data, recipe.train.seed, shared.cleaned(recipe.data))
    if data.splits.headless:  # small files with the same columns can then be read for predictions
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"header": "none"})})
    task = task_for(recipe, data.labels)
    teachers = _teachers(recipe, data) if recipe.method == "distill" else ()
    checkpoint = _start(recipe, teachers, shared) if method.needs_checkpoint else None
    if recipe.task == "translation":
        return _translation(recipe, data, task, checkpoint, teachers, shared)
    distill, transfer = None, None
    if recipe.method in ("distill", "student"):
        from kit.data.distillation_texts import transfer_set
        from kit.methods.encoders.distill import resolve_distill

        assert checkpoint is not None
        transfer = transfer_set(recipe.distill, data, recipe.train.seed)
        distill = resolve_distill(recipe.distill, teachers, checkpoint)
    pooling = None
    if checkpoint is not None and (distill is None or distill.student.architecture == "transformer"):
        pooling = METHODS[recipe.method].pooling(checkpoint.folder, recipe.model.pooling)
    facts = Facts(
        text=data.splits.text_columns,
        label=data.splits.label_columns,
        label_separator=data.splits.label_separator,
        labels=data.labels,
        train=len(data.train),
        validation=len(data.validation),
        pooling=pooling,
        distill=distill,
        transfer=len(transfer) if transfer else 0,
        separated=recipe.method != "tfidf" or words_are_separated(" ".join(row) for row in data.train.texts),
    )
    return Request(resolve(recipe, facts), task, data, checkpoint, teachers, transfer)


def _translation(
    recipe: Recipe,
    data: Prepared,
    task: Task,
    checkpoint: Checkpoint | None,
    teachers: tuple[Teacher, ...],
    shared: Shared,
) -> Request:
    """Return the request of a translation run. Raises RecipeError if the student cannot be a translator."""
    from kit.recipe.resolve import resolve

    distill, transfer = None, None
    if recipe.method in ("distill", "student"):
        from kit.data.distillation_texts import transfer_set
        from kit.methods.translators.distill import require_same_tokens, resolve_translation_student

        if len(teachers) > 1:
            raise RecipeError("a translator has one teacher, and several are named", "name one", key="distill.teacher")
        if recipe.distill.augment.copies:
            raise RecipeError("a sentence with masked words has no translation", "leave it out", key="distill.augment")
        transfer = transfer_set(recipe.distill, data, recipe.train.seed)
        depth = recipe.translation.decoder_layers if recipe.method == "distill" else None
        student = resolve_translation_student(recipe.distill.student, checkpoint.folder if checkpoint else None, depth)
        distill = recipe.distill.model_copy(update={"student": student})
        if recipe.method == "distill" and distill.losses.logits:
            assert checkpoint is not None
            teacher = teachers[0].checkpoint if teachers else shared.checkpoint(recipe.model)
            require_same_tokens(distill, checkpoint.folder, teacher.folder if teacher else None)
    facts = _facts_of_pairs(recipe, data, checkpoint, distill, teachers, len(transfer) if transfer else 0)
    return Request(resolve(recipe, facts), task, data, checkpoint, teachers, transfer)


def _facts_of_pairs(
    recipe: Recipe,
    data: Prepared,
    checkpoint: Checkpoint | None,
    distill: DistillSection | None,
    teachers: tuple[Teacher, ...],
    transfer: int,
) -> Facts:
    """Return the facts for the defaults of a translation run.

    Args:
        recipe: The recipe.
        data: Prepared data.
        checkpoint: Checkpoint that training starts from; None for none.
        distill: Resolved section of method distill; None for methods without a student.
        teachers: Teachers for method distill.
        transfer: Number of texts to distil on.

    Raises:
        RecipeError: The checkpoint does not support the languages.
    """
    from kit.models.checkpoints.config_file import read_config
    from kit.models.checkpoints.tokenizers import load_tokenizer
    from kit.models.translation.languages import find_route
    from kit.models.translation.seq2seq import start_of
    from kit.recipe.defaults import Facts

    start, codes, prefix = start_of(checkpoint.folder if checkpoint else None), None, ""
    if distill is not None and distill.student.init == "random":
        start = "nothing"
    if start == "translator":
        assert checkpoint is not None
        section, languages = recipe.translation, recipe.data.language_pair
        if teachers and teachers[0].record and distill is not None and distill.student.checkpoint is None:
            section = teachers[0].record.recipe.translation  # a student of its layers has the same codes and prefix
        tokenizer = load_tokenizer(checkpoint.folder, checkpoint.trusted)
        route = find_route(
            tokenizer, read_config(checkpoint.folder).model_type, languages, section.codes, section.prefix
        )
        codes, prefix = route.codes, route.prefix
    return Facts(
        text=data.splits.text_columns,
        label=data.splits.label_columns,
        labels=(),
        train=len(data.train),
        validation=len(data.validation),
        pooling=None,
        distill=distill,
        transfer=transfer,
        start=start,
        codes=codes,
        prefix=prefix,
    )


def _teachers(recipe: Recipe, data: Prepared) -> tuple[Teacher, ...]:
    """Return the teachers that a recipe names, checked for the same labels or languages.

    Raises:
        RecordError: A Record is damaged.
        ModelError: A teacher cannot be used for these labels or languages.
    """
    from kit.distillation.teacher import require_same_labels, require_same_languages, resolve_teacher

    names = recipe.distill.teacher
    teachers = tuple(resolve_teacher(name, recipe) for name in ([names] if isinstance(names, str) else names or []))
    for teacher in teachers:
        require_same_labels(teacher, data.labels, data.multi_label)
        if recipe.task == "translation":
            require_same_languages(teacher, recipe.data.language_pair)
    return teachers


def _start(recipe: Recipe, teachers: tuple[Teacher, ...], shared: Shared) -> Checkpoint:
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
