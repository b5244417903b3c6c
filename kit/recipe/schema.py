"""The recipe: all keys that a user can set, the rules of its task, and the contradictions between sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import model_validator

from kit.recipe.draft import Draft
from kit.recipe.one_of import OneOf
from kit.recipe.section import NOT_IN_ID, InId, Name, Section, refuse
from kit.recipe.sections.compression import CompressSection
from kit.recipe.sections.data import DataSection, TargetKind
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.methods import (
    NEURAL_METHODS,
    TRAINED_METHODS,
    LoraSection,
    MethodName,
    ProbeSection,
    TfidfSection,
)
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.training import TrainSection
from kit.recipe.sections.translation import TranslationSection
from kit.recipe.task_registry import metric_names, task_module, task_names

TaskName = Annotated[str, OneOf(task_names)]
MetricName = Annotated[str, OneOf(metric_names)]
Family = Literal["encoders", "translators"]


class Recipe(Section):
    """A run: the task, the data, the model and its training."""

    task: TaskName
    """Classification, sentiment (classification with ordered labels), regression (numbers) or translation."""
    method: MethodName = "finetune"
    """Method of training; `student` is the control of `distill`."""
    metric: MetricName | None = None
    """Main metric; by default accuracy, macro_f1 for several labels per example, r2 for numbers, and bleu for
    translation."""
    runs: Annotated[Name, NOT_IN_ID] = "runs"
    """Folder that Records are written to."""
    data: DataSection
    model: Annotated[ModelSection, InId(NEURAL_METHODS)] = ModelSection()
    train: Annotated[TrainSection, InId(TRAINED_METHODS)] = TrainSection()
    lora: Annotated[LoraSection, InId(("lora",))] = LoraSection()
    probe: Annotated[ProbeSection, InId(NEURAL_METHODS)] = ProbeSection()
    tfidf: Annotated[TfidfSection, InId(("tfidf",))] = TfidfSection()
    distill: Annotated[DistillSection, InId(("distill",))] = DistillSection()
    compress: Annotated[CompressSection, NOT_IN_ID] = CompressSection()
    translation: Annotated[TranslationSection, InId(families=("translators",))] = TranslationSection()
    study: Annotated[StudySection, NOT_IN_ID] = StudySection()

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Return the recipe in a YAML file, with `key=value` overrides applied; both are validated together.

        Args:
            path: YAML file.
            overrides: Such as `train.epochs=2` or `data.text=[premise, hypothesis]`. The values are YAML; the last
                override of a key counts.

        Raises:
            RecipeError: With every problem: file and line (or override), key and nearest valid key.
        """
        return Draft.from_file(cls, Path(path), overrides).validated()

    @property
    def main_metric(self) -> str:
        """Name of the metric that runs are compared by, the default filled in."""
        return self.metric or self.rules.default_metric(self)

    @property
    def rules(self) -> TaskRules:
        """Rules of the recipe's task."""
        rules: TaskRules = task_module(self.task, "rules").RULES
        return rules

    @model_validator(mode="after")
    def _with_kind_of_targets(self) -> Self:
        """Pass the kind of the task's targets to the data section."""
        object.__setattr__(self, "data", self.data.with_targets(self.rules.targets))  # the recipe is frozen
        return self

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError with one line per contradiction between keys."""
        refuse(self.rules.contradictions(self) | _contradictions(self))
        return self

    @property
    def _needs_checkpoint(self) -> bool:
        """True unless training starts from something else than `model.checkpoint`."""
        if self.method == "distill":
            return self.distill.teacher is None
        if self.method == "student":
            return self.distill.student.checkpoint is None
        return self.method not in self.rules.methods_without_checkpoint


@dataclass(frozen=True, kw_only=True)
class TaskRules:
    """Rules that a task adds to recipes.

    Attributes:
        family: Family of models that the task is solved with, a package in `kit.methods`.
        targets: Kind of targets that the data have.
        methods: Methods of the family that can be used.
        methods_without_checkpoint: Those that do not start from `model.checkpoint`.
        metrics: Metrics that runs can be compared by.
        default_metric: Returns the metric of a recipe that names none.
        contradictions: Returns messages about keys that contradict the task, each with whether it applies.
        ordered: Whether the labels have a meaningful order.
        writes_text: Whether a prediction is a text that is written token by token, which takes long.
        output_column: Name of the column with the outputs in predictions.parquet: texts, or lists of numbers.
        student: Student that a study suggests for distillation; None for the default.
    """

    family: Family
    targets: TargetKind
    methods: tuple[MethodName, ...]
    methods_without_checkpoint: tuple[MethodName, ...]
    metrics: tuple[str, ...]
    default_metric: Callable[[Recipe], str]
    contradictions: Callable[[Recipe], dict[str, bool]]
    ordered: bool = False
    writes_text: bool = False
    output_column: str = "logits"
    student: str | None = "layers:3"


def _contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict each other for any task, each with whether it applies."""
    data, model, train = recipe.data, recipe.model, recipe.train
    average = train.average or 1
    return {
        f"model.checkpoint is required for method {recipe.method}": (
            model.checkpoint is None and recipe._needs_checkpoint
        ),
        "data.label: several columns need data.multi_label: true": (
            isinstance(data.label, list) and not data.multi_label
        ),
        "train.accumulation cannot exceed train.batch_size": (
            train.batch_size is not None and train.accumulation > train.batch_size
        ),
        "train.average: averaged weights need train.select: last": (average > 1 and train.select == "best"),
        f"train.average: training has only {train.evaluations} evaluations; raise train.evaluations": (
            average > train.evaluations
        ),
        "train.refit: true leaves no validation examples to select the best weights; use train.select: last": (
            bool(train.refit) and train.select == "best"
        ),
        "train.padding_free: token-level distill.losses need padded batches; leave it out": (
            train.padding_free and recipe.method == "distill" and bool(recipe.distill.losses.of_tokens)
        ),
        "model.pooling: native has no text vectors for method probe; use mean or cls": (
            recipe.method == "probe" and model.pooling == "native"
        ),
        "train.head: probe needs model.pooling auto, mean or cls; a native head cannot start from the probe": (
            train.head == "probe" and model.pooling == "native"
        ),
    }
