"""Compare the model of each step of a chain with the model that the chain starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kit.analysis.distillation_verdict import Cost, SeedOutputs, Verdict, judge, ratio_words
from kit.compression.gate import Gate
from kit.compression.recall import RecallChange, recall_changes, recall_line
from kit.measurement.intervals import Estimate, shown, wilson_interval
from kit.measurement.speed import Speed, latencies
from kit.methods import Job
from kit.models.predictor import Predictor
from kit.recipe.sections.compression import Step
from kit.records.content import RecordedSettings
from kit.records.record import Record
from kit.runtime.quantities import megabytes, percent

_MANY_NEW_TEXTS = 0.5  # share of new texts with removed tokens above which the step is likely to lower the metric


@dataclass(frozen=True)
class Link:
    """One step of a chain, and its comparison with the start of the chain on the test examples.

    Args:
        technique: Name of the technique.
        settings: Settings that differ from the technique's defaults, as text.
        record: Record of the step's model.
        gate: Decision of the gate.
        verdict: Comparison of predictions, size and speed with the start.
        calibration: Expected calibration error of the start and of the step's model; None for tasks without it.
        test_recall: Recall of each class on the test examples, the largest loss first; not used by the gate.
    """

    technique: str
    settings: str
    record: Record
    gate: Gate
    verdict: Verdict
    calibration: tuple[float, float] | None
    test_recall: tuple[RecallChange, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Lines on the result of the step, its effect on new texts, and the recall of classes on test examples."""
        more = [removed_tokens_line(self.record.content.settings), recall_line(self.test_recall)]
        return [self.line, *(f"{self.technique}: {text}" for text in more if text)]

    @property
    def line(self) -> str:
        """Result of the step in one line."""
        verdict, settings = self.verdict, self.record.content.settings
        cost, start_cost = verdict.student_cost, verdict.teacher_cost
        parts = [
            f"{shown(verdict.metric, verdict.student)}",
            self.record.beside,
            f"retained {verdict.retained.format(percent=True)}" if verdict.retained else "",
            f"agrees on {verdict.agreement.format(percent=True)}",
            f"{megabytes(cost.size_bytes)} (1/{start_cost.size_bytes / cost.size_bytes:.1f})",
            _speed_words(cost, start_cost),
            self._tokens(settings),
            self._layers(settings),
            self._conversion(settings),
            batch_effect_words(settings.batch_effect or {}),
            _calibration_words(self.calibration),
            self.gate.recall_words,
        ]
        undone = "" if self.gate.passed else f"; {self.gate.outcome}"
        undone += f"; {cost.warning}" if cost.warning else ""
        name = f"{self.technique} ({self.settings})" if self.settings else self.technique
        return f"{name}: " + ", ".join(part for part in parts if part) + undone

    @property
    def content(self) -> dict[str, Any]:
        """Result of the step as plain data."""
        return {
            "technique": self.technique,
            "settings": self.settings,
            "record": self.record.id,
            "gate": self.gate.content,
            "calibration": self.calibration,
            "test_recall": [asdict(change) for change in self.test_recall],
            **asdict(self.verdict),
        }

    def _tokens(self, settings: RecordedSettings) -> str:
        if settings.tokens_before is None:
            return ""
        return f"{settings.tokens:,} of {settings.tokens_before:,} tokens"

    def _layers(self, settings: RecordedSettings) -> str:
        chosen = settings.chosen
        if self.technique != "early-exit" or chosen is None:
            return ""
        return f"{chosen['layers']:.1f} of {len(chosen['leave'])} layers per text, on validation examples"

    def _conversion(self, settings: RecordedSettings) -> str:
        if self.technique != "ct2":
            return ""
        same, texts = percent(settings.float32_same), settings.float32_texts
        return f"same translation as torch before quantization for {same} of {texts} texts"


@dataclass(frozen=True)
class Trial:
    """An applied step with its Record, the decision of its gate and its loaded model."""

    step: Step
    record: Record
    gate: Gate
    predictor: Predictor


def links_of(trials: Sequence[Trial], start: Record, before: Predictor, job: Job, *, timed: bool = True) -> list[Link]:
    """Compare the models of a chain's steps with its start (`before`) by predictions, size and speed.

    All models are timed in turns, so that the times of different steps can be compared, unless `timed` is False.
    """
    if not trials:
        return []
    records = [start, *(trial.record for trial in trials)]
    predictors = [before, *(trial.predictor for trial in trials)]
    costs = _costs(records, predictors, _speeds(predictors, job) if timed else [None] * len(records))
    return [_link(trial, start, (cost, costs[0]), job) for trial, cost in zip(trials, costs[1:], strict=True)]


def _speeds(predictors: Sequence[Predictor], job: Job) -> Sequence[Speed]:
    models = [predictor.outputs for predictor in predictors]
    return latencies(models, job.data.test.texts, job.hardware.words, job.recipe.rules.writes_text)


def _costs(records: Sequence[Record], predictors: Sequence[Predictor], speeds: Sequence[Speed | None]) -> list[Cost]:
    return [
        Cost(record.content.model_bytes, predictor.parameters, None)
        if speed is None
        else Cost(record.content.model_bytes, predictor.parameters, speed.p50_ms, speed.interval, speed.warning)
        for record, predictor, speed in zip(records, predictors, speeds, strict=True)
    ]


def _link(trial: Trial, start: Record, costs: tuple[Cost, Cost], job: Job) -> Link:
    """Compare one step with the start. `costs` holds the cost of the step's model, then that of the start."""
    record = trial.record
    changed = trial.step.model_dump(exclude_defaults=True)
    settings = ", ".join(f"{key}: {json.dumps(value)}" for key, value in changed.items() if key != "technique")
    errors = [compared.metrics["ece"].value for compared in (start, record) if "ece" in compared.metrics]
    calibration = (errors[0], errors[1]) if len(errors) == 2 else None
    after, before = record.predictions(), start.predictions()
    targets = job.task.targets(after.labels)
    verdict = judge(
        [SeedOutputs(job.recipe.train.seed, after.outputs, before.outputs, None)],
        targets,
        job.task.measure,
        budget=len(job.data.train) + len(job.data.validation),
        costs=costs,
    )
    recall = recall_changes(before.outputs, after.outputs, targets, job.task.labels, job.task.measure)
    return Link(trial.step.technique, settings, record, trial.gate, verdict, calibration, recall)


def batch_effect_words(effect: Mapping[str, Any]) -> str:
    """Return the share of texts whose prediction differs between alone and in a batch; empty if unknown.

    Args:
        effect: `batch_effect` of a Record's settings. Records of earlier versions lack the number of texts, and get no
            interval.
    """
    if not effect:
        return ""
    share = effect["other_labels"]
    if "texts" not in effect:
        return f"alone or in a batch: another prediction for {percent(share, 1)} of training texts"
    estimate = Estimate(share, *wilson_interval(round(share * effect["texts"]), effect["texts"]))
    words = f"{estimate.format(percent=True)} of {effect['texts']:,} training texts"
    return f"alone or in a batch: another prediction for {words}"


def _calibration_words(calibration: tuple[float, float] | None) -> str:
    if calibration is None:
        return ""
    before, after = calibration
    return f"calibration error {percent(after, 1)} (before: {percent(before, 1)})"


def removed_tokens_line(settings: RecordedSettings) -> str:
    """Return a sentence on the share of new texts with removed tokens; empty if no vocabulary was trimmed."""
    if settings.new_texts_read_differently is None:
        return ""
    one_side = settings.sides == "source"
    share = f"About {percent(settings.new_texts_read_differently)} of new {'source ' * one_side}texts"
    unchanged = " The target vocabulary is unchanged: it was built from the training texts." * one_side
    split = f"{share} contain a removed token, and are split into smaller tokens."
    remedy = " If the metric fell too far, leave out `vocabulary`."
    return split + remedy * (settings.new_texts_read_differently > _MANY_NEW_TEXTS) + unchanged


def _speed_words(cost: Cost, start: Cost) -> str:
    if not cost.p50_ms or not start.p50_ms:
        return ""
    low, high = cost.interval_ms or (cost.p50_ms, cost.p50_ms)
    places = _places(cost.p50_ms)
    return f"{cost.p50_ms:.{places}f} ms per text [{low:.{places}f}, {high:.{places}f}] ({ratio_words(cost, start)})"


def _places(milliseconds: float) -> int:
    return 0 if milliseconds >= 10 else 1 if milliseconds >= 1 else 2
