"""The recipe: everything a user can ask for, with its defaults; what depends on data or method is in `resolve.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from kit.recipe.draft import Draft
from kit.recipe.section import Name, Section, refuse
from kit.recipe.sections.compression import CompressSection
from kit.recipe.sections.data import DataSection
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.methods import LoraSection, MethodName, ProbeSection, TfidfSection
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.training import TrainSection
from kit.recipe.sections.translation import SCORES, TRANSLATING, TranslationSection

TaskName = Literal["classification", "sentiment", "translation"]
MetricName = Literal["accuracy", "macro_f1", "mcc", "exact_match", "bleu", "chrf"]


class Recipe(Section):
    """One run: the task, the data, the model and how it is trained."""

    task: TaskName
    """What is learnt: classification, sentiment (classification with ordered labels) or translation."""
    method: MethodName = "finetune"
    """How it is learnt."""
    metric: MetricName | None = None
    """The main metric; by default accuracy, for multi-label macro_f1, for translation bleu."""
    runs: Name = "runs"
    """Folder that Records are written to."""
    data: DataSection
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    lora: LoraSection = LoraSection()
    probe: ProbeSection = ProbeSection()
    tfidf: TfidfSection = TfidfSection()
    distill: DistillSection = DistillSection()
    compress: CompressSection = CompressSection()
    translation: TranslationSection = TranslationSection()
    study: StudySection = StudySection()

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
        """Name of the metric that runs are compared by."""
        if self.task == "translation":
            return self.metric or "bleu"
        return self.metric or ("macro_f1" if self.data.multi_label else "accuracy")

    def request(self) -> dict[str, Any]:
        """The parts of a resolved recipe that decide the result, as plain data: what a Record's id is made from.

        Sections of other methods, where Records go and who is told about progress are left out.
        """
        foreign = {"lora", "tfidf"} - {self.method}
        if self.method not in ("distill", "student"):
            foreign.add("distill")
        if self.method == "tfidf":
            foreign |= {"model", "train", "probe"}
        content = self.model_dump(mode="json", exclude={"runs", "study", "compress"} | foreign)
        content = self.without_later_keys(content)
        content["seed"] = self.train.seed
        content["data"]["label_separator"] = self.data.label_separator or ","  # the default of older Records
        if self.task != "translation":  # which older Records know nothing of
            del content["translation"], content["data"]["languages"]
            if "distill" in content:
                del content["distill"]["losses"]["sequence"]
        if "train" in content:
            del content["train"]["report_to"], content["train"]["checkpoint_seconds"]
            if content["train"]["average"] in (None, 1):  # which older Records know nothing of
                del content["train"]["average"]
            if not content["train"]["padding_free"]:
                del content["train"]["padding_free"]
        if self.method == "student":  # of the rest, only how long it trains depends on it: `train.epochs` says that
            content["distill"] = {"student": content["distill"]["student"]}
        if self.method == "probe":  # nothing is trained by gradients
            content["train"] = {"label_names": self.train.label_names}
        return content

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError with one line per contradiction between keys."""
        of_task = _contradictions_of_translation if self.task == "translation" else _contradictions_of_labels
        refuse(of_task(self) | _contradictions(self))
        return self

    @property
    def _needs_checkpoint(self) -> bool:
        """True unless training starts from something else than `model.checkpoint`."""
        if self.method == "distill":
            return self.distill.teacher is None
        if self.method == "student":
            return self.distill.student.checkpoint is None
        return self.method != "tfidf" and (self.method, self.task) != ("scratch", "translation")


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
        "train.average: the mean of the last weights is none of them; use train.select: last": (
            average > 1 and train.select == "best"
        ),
        f"train.average: training pauses {train.evaluations} times; raise train.evaluations": (
            average > train.evaluations
        ),
        "train.refit: true keeps no validation examples to select the best weights on; use train.select: last": (
            bool(train.refit) and train.select == "best"
        ),
        "train.padding_free: distill.losses of tokens look at texts with what fills them up; leave it out": (
            train.padding_free and recipe.method == "distill" and bool(recipe.distill.losses.of_tokens)
        ),
        "model.pooling: native has no text vectors for method probe; use mean or cls": (
            recipe.method == "probe" and model.pooling == "native"
        ),
        "train.head: probe needs model.pooling auto, mean or cls: a native head has no such start": (
            train.head == "probe" and model.pooling == "native"
        ),
    }


def _contradictions_of_labels(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict classification, each with whether it applies."""
    metric, multi_label = recipe.metric, recipe.data.multi_label
    return {
        "data.languages: only task translation has them": recipe.data.languages is not None,
        f"metric {metric} is for task translation": metric in SCORES,
        "distill.losses.sequence: only a translator writes; use logits": recipe.distill.losses.sequence is not None,
        "metric exact_match is for data.multi_label; accuracy is the same for one label": (
            metric == "exact_match" and not multi_label
        ),
        f"metric {metric} is for one label an example; use macro_f1 or exact_match": (
            metric in ("accuracy", "mcc") and multi_label
        ),
        "task: sentiment has one label an example; use task: classification": (
            multi_label and recipe.task == "sentiment"
        ),
    }


def _contradictions_of_translation(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict translation, each with whether it applies."""
    data, train, metric = recipe.data, recipe.train, recipe.metric
    losses = recipe.distill.losses
    untaught = (["mse"] if losses.mse else []) + losses.of_tokens
    return {
        "task: translation needs data.languages, source and target ([en, de])": data.languages is None,
        f"metric {metric} is of labels; translations have bleu and chrf": metric not in (None, *SCORES),
        f"method {recipe.method} cannot translate; {', '.join(TRANSLATING)} can": recipe.method not in TRANSLATING,
        "data.multi_label: a translation is no label": data.multi_label,
        "data.labels: a translation is no label": data.labels is not None,
        "data.sampling: translations have no classes to balance": data.sampling == "balanced",
        "train.refit: a translator is trained once; leave it out": bool(train.refit),
        "lora.load: of a translator only float32; leave it out": recipe.lora.load != "float32",
        "distill.losses: a translator learns what its teacher writes (sequence, logits) and references (labels): not "
        f"{', '.join(untaught)}": bool(untaught),
        "distill.losses: the student must learn something of the teacher's; give a weight to sequence or logits": (
            losses.sequence == 0 and not losses.logits
        ),
        "distill.temperature is for distill.losses.logits, which has no weight": (
            recipe.distill.temperature is not None and not losses.logits
        ),
        "model.pooling: a translator does not pool; leave it out": recipe.model.pooling not in ("auto", "native"),
        "train.head: probe is of classification; leave it out": train.head == "probe",
        "compress.steps: a translator cannot learn its rounding; leave aware out": any(
            getattr(step, "aware", 0.0) for step in recipe.compress.steps
        ),
        "compress.steps: calibration: static is of classifiers; leave it out": any(
            getattr(step, "calibration", "") == "static" for step in recipe.compress.steps
        ),
        "compress.gate.worst_class: a translation has no classes; leave it out": (
            recipe.compress.gate.worst_class is not None
        ),
        "train.padding_free: it is for encoders alone; leave it out": train.padding_free,
        "train.contrastive: it compares labels; leave it out": bool(train.contrastive),
    }
