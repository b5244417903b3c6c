"""The recipe: all keys that a user can set, the rules of its task, and the contradictions between sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ValidationError, model_validator

from kit.recipe.defaults import METHOD_DEFAULTS
from kit.recipe.draft import Draft
from kit.recipe.keys import KeyPath, Keys, dotted, item_name
from kit.recipe.one_of import OneOf
from kit.recipe.problems import Problem, nearest, problems_of
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
from kit.recipe.sections.study import StudySection, Variant, refused_in_set
from kit.recipe.sections.training import TrainSection
from kit.recipe.sections.translation import TranslationSection
from kit.recipe.task_registry import metric_names, task_module, task_names

# Keys of `translation` that a method does not use.
_UNUSED = {
    "scratch": ("codes", "prefix", "decoder_layers", "decoder_dropout", "encoder_rate"),
    "lora": ("encoder_rate",),
}
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

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Variants of the study; without named ones, each method that the task supports."""
        study = self.study
        if study.variants is not None:
            return tuple(study.variants)
        methods = dict.fromkeys(study.methods)
        if "methods" not in study.model_fields_set:
            methods = {method: None for method in methods if method in self.rules.methods}
        return tuple(Variant(method=method) for method in methods)

    def content_of(self, variant: Variant) -> dict[str, Any]:
        """Return the recipe of a trained variant as plain data, without budget and seed.

        Keys of `train` and `translation` whose good values depend on the method keep their defaults, unless the variant
        has the recipe's own method.

        Raises ValueError for a key of `set` that is inside a value.
        """
        content = self.model_dump() | {"study": {}}
        if variant.method != self.method:
            content["method"] = variant.method
            content["train"] |= METHOD_DEFAULTS
            defaults = TranslationSection()
            content["translation"] |= {key: getattr(defaults, key) for key in _UNUSED.get(str(variant.method), ())}
        for key, value in variant.set.items():
            section = content
            *outer, last = Keys(Recipe).split(key)
            for part in outer:
                section = section.setdefault(part, {})
                if not isinstance(section, dict):
                    raise ValueError(f"{key} is not a key: {part} is not a section")
            section[last] = value
        return content

    def problems(self) -> list[tuple[KeyPath, str]]:
        """Return problems of the study's variants, as the path of a key and a sentence."""
        return _problems_of_variants(self)

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


def _problems_of_variants(recipe: Recipe) -> list[tuple[KeyPath, str]]:
    """Return the problems of all variants, those of single variants first."""
    variants = recipe.study.variants or []
    names = [variant.name for variant in variants]
    problems: list[tuple[KeyPath, str]] = []
    for number, variant in enumerate(variants):
        path = ("study", "variants", item_name(number))
        problems += [((*path, *key), f"{dotted(path)}: {message}") for key, message in _of_variant(recipe, variant)]
    for start in () if problems else names:
        if (circle := _circle(start, {variant.name: variant.of for variant in variants})) is not None:
            place = ("study", "variants", item_name(names.index(start)), "of")
            return [(place, f"{dotted(place)}: these variants are made of each other: {', '.join(circle)}")]
    return problems or _repeated_variants(recipe, variants)


def _of_variant(recipe: Recipe, variant: Variant) -> list[tuple[KeyPath, str]]:
    """Return the problems of one variant, each as the path inside it and a sentence."""
    names = [other.name for other in recipe.variants]
    if variant.of is not None and variant.of not in names:
        close = nearest(variant.of, names)
        more = f"did you mean {close}?" if close else f"variants are {', '.join(names)}"
        return [(("of",), f"there is no variant {variant.of}; {more}")]
    if variant.method is None:
        return []
    if (reason := _not_a_teacher(recipe, variant)) is not None:
        return [(("teacher_checkpoint",), reason)]
    return [(("set", key), why) for key in variant.set if (why := refused_in_set(key))] or _of_recipe(recipe, variant)


def _of_recipe(recipe: Recipe, variant: Variant) -> list[tuple[KeyPath, str]]:
    """Return the problems of the recipe that a trained variant comes to."""
    try:
        Recipe.model_validate(recipe.content_of(variant))
    except ValidationError as error:
        return [_in_variant(variant, problem) for problem in problems_of(error, Recipe)]
    except ValueError as error:
        return [(("set",), str(error))]
    return []


def _not_a_teacher(recipe: Recipe, variant: Variant) -> str | None:
    """Return why the checkpoint that a variant names as its teacher cannot teach; None if it can."""
    checkpoint, checkpoints = variant.teacher_checkpoint, recipe.study.checkpoints or []
    if checkpoint is None:
        return None
    if checkpoint not in checkpoints:
        close = nearest(checkpoint, checkpoints)
        return f"{checkpoint} is not in study.checkpoints" + (f"; did you mean {close}?" if close else "")
    if len(set(checkpoints)) == 1:
        return "study.checkpoints has no other checkpoint that could be a student"
    if variant.set.get("distill.teacher", recipe.distill.teacher) is not None:
        return "distill.teacher names another teacher; leave one of the two out"
    of = next((other for other in recipe.variants if other.name == variant.of), None)
    if of is not None and (of.teacher_checkpoint or of.method in recipe.rules.methods_without_checkpoint):
        return f"{of.name}, the teacher, has no model of {checkpoint}"
    return None


def _in_variant(variant: Variant, problem: Problem) -> tuple[KeyPath, str]:
    """Return a problem of a variant's recipe at the key of the variant that has to change."""
    key = dotted(problem.path)
    return (("set", key) if key in variant.set else ()), f"{variant.name}: {problem.message}"


def _circle(start: str, sources: Mapping[str, str | None]) -> list[str] | None:
    """Return the variants from one back to itself; None without a circle."""
    passed = [start]
    while (source := sources.get(passed[-1])) is not None:
        if source in passed:
            return passed[passed.index(source) :]
        passed.append(source)
    return None


def _repeated_variants(recipe: Recipe, variants: Sequence[Variant]) -> list[tuple[KeyPath, str]]:
    """Return a problem for each variant whose runs are those of a variant before it."""
    problems: list[tuple[KeyPath, str]] = []
    for number, variant in enumerate(variants):
        for earlier in variants[:number]:
            if _same_runs(recipe, variant, earlier):
                path = ("study", "variants", item_name(number))
                problems.append((path, f"{dotted(path)}: {variant.name} has the same runs as {earlier.name}"))
                break
    return problems


def _same_runs(recipe: Recipe, one: Variant, other: Variant) -> bool:
    if (one.of, one.teacher_checkpoint, one.method, one.steps) != (
        other.of, other.teacher_checkpoint, other.method, other.steps,
    ):  # fmt: skip
        return False
    return one.method is None or Recipe.model_validate(recipe.content_of(one)) == Recipe.model_validate(
        recipe.content_of(other)
    )


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
