"""The recipe: all keys that a user can set, and the contradictions between sections."""

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
from kit.recipe.sections.translation import TRANSLATION_METHODS, TRANSLATION_METRICS, TranslationSection

TaskName = Literal["classification", "sentiment", "translation"]
MetricName = Literal["accuracy", "macro_f1", "mcc", "exact_match", "bleu", "chrf"]


class Recipe(Section):
    """A run: the task, the data, the model and its training."""

    task: TaskName
    """Classification, sentiment (classification with ordered labels) or translation."""
    method: MethodName = "finetune"
    """Method of training; `student` is the control of `distill`."""
    metric: MetricName | None = None
    """Main metric; by default accuracy, macro_f1 for several labels per example, and bleu for translation."""
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
        """Name of the metric that runs are compared by, the default filled in."""
        if self.task == "translation":
            return self.metric or "bleu"
        return self.metric or ("macro_f1" if self.data.multi_label else "accuracy")

    def request(self) -> dict[str, Any]:
        """Return the keys of a resolved recipe that a Record's id is made from, as plain data.

        Keys that do not change the result are left out: sections of other methods, folders and experiment trackers.
        """
        unused = {"lora", "tfidf"} - {self.method}
        if self.method not in ("distill", "student"):
            unused.add("distill")
        if self.method == "tfidf":
            unused |= {"model", "train", "probe"}
        content = self.model_dump(mode="json", exclude={"runs", "study", "compress"} | unused)
        content = self.without_later_keys(content)
        content["seed"] = self.train.seed
        content["data"]["label_separator"] = self.data.label_separator or ","  # the default of older Records
        if self.task != "translation":  # keys that older Records do not have
            del content["translation"], content["data"]["languages"]
            if "distill" in content:
                del content["distill"]["losses"]["sequence"]
        if "train" in content:
            del content["train"]["report_to"], content["train"]["checkpoint_seconds"]
            if content["train"]["average"] in (None, 1):  # a key that older Records do not have
                del content["train"]["average"]
            if not content["train"]["padding_free"]:
                del content["train"]["padding_free"]
        if self.method == "student":  # the other keys only decide the number of steps, which `train.epochs` contains
            content["distill"] = {"student": content["distill"]["student"]}
        if self.method == "probe":  # not trained by gradients
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


def _contradictions_of_labels(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict classification, each with whether it applies."""
    metric, multi_label = recipe.metric, recipe.data.multi_label
    return {
        "data.languages: only for task translation; leave it out": recipe.data.languages is not None,
        f"metric {metric} is for task translation": metric in TRANSLATION_METRICS,
        "distill.losses.sequence: only for task translation; use logits": recipe.distill.losses.sequence is not None,
        "metric exact_match needs data.multi_label; for one label per example, use accuracy": (
            metric == "exact_match" and not multi_label
        ),
        f"metric {metric} needs one label per example; use macro_f1 or exact_match": (
            metric in ("accuracy", "mcc") and multi_label
        ),
        "task: sentiment needs one label per example; use task: classification": (
            multi_label and recipe.task == "sentiment"
        ),
    }


def _contradictions_of_translation(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict translation, each with whether it applies."""
    data, train, method, metric = recipe.data, recipe.train, recipe.method, recipe.metric
    losses, steps = recipe.distill.losses, recipe.compress.steps
    unsupported = (["mse"] if losses.mse else []) + losses.of_tokens
    return {
        "task: translation needs data.languages, source and target language ([en, de])": data.languages is None,
        f"metric {metric} is for labels; use bleu or chrf": metric not in (None, *TRANSLATION_METRICS),
        f"method {method} cannot translate; {', '.join(TRANSLATION_METHODS)} can": method not in TRANSLATION_METHODS,
        "data.multi_label: translation has no labels; leave it out": data.multi_label,
        "data.labels: translation has no labels; leave it out": data.labels is not None,
        "data.sampling: translation has no classes to balance": data.sampling == "balanced",
        "train.refit: not available for translation; leave it out": bool(train.refit),
        "lora.load: translation supports only float32; leave it out": recipe.lora.load != "float32",
        f"distill.losses: translation supports sequence, logits and labels, not {', '.join(unsupported)}": (
            bool(unsupported)
        ),
        "distill.losses: the student must learn from its teacher; give sequence or logits a weight": (
            losses.sequence == 0 and not losses.logits
        ),
        "distill.temperature has no effect: distill.losses.logits has no weight": (
            recipe.distill.temperature is not None and not losses.logits
        ),
        "model.pooling: not available for translation; leave it out": (recipe.model.pooling not in ("auto", "native")),
        "train.head: probe is for classification; leave it out": train.head == "probe",
        "compress.steps: aware is for classifiers; leave it out": (any(getattr(step, "aware", 0.0) for step in steps)),
        "compress.steps: calibration: static is for classifiers; leave it out": (
            any(getattr(step, "calibration", "") == "static" for step in steps)
        ),
        "compress.gate.worst_class: translation has no classes; leave it out": (
            recipe.compress.gate.worst_class is not None
        ),
        "train.padding_free: only for encoders; leave it out": train.padding_free,
        "train.contrastive: the contrastive loss compares labels; leave it out": bool(train.contrastive),
    }
