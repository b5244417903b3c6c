"""Gates: measure the loss of a compression step on validation examples and pool texts, never on test examples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kit.compression.recall import RecallChange, loss_words, recall_changes
from kit.data import Prepared
from kit.data.examples import Examples
from kit.errors import RecipeError
from kit.measurement.measure import LabelMeasure
from kit.measurement.units import PROPORTIONS
from kit.methods import Job
from kit.models.predictor import Predictor
from kit.recipe.sections.compression import GateSection
from kit.runtime.quantities import percent
from kit.tasks import Task

# Size of the part of the pool that is reserved for gates.
_POOL_SHARE, _MAX_POOL_TEXTS = 0.2, 1_000
_COARSE_MARGIN = 0.005  # warn if the effective limit of `retained` is this far below the requested limit
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Gate:
    """Losses of a step relative to the model that the chain starts from.

    Args:
        retained: Retained share of the main metric on the validation examples; None without such a limit.
        agreement: Share of the gate's texts with the same prediction; None without such a limit.
        broken: Sentence for each missed limit; empty if the step stays.
        worst_class: The class with the largest loss of recall on the validation examples; None without classes or
            validation examples.
        recall_words: `worst_class` in words, or a note that the classes have too few validation examples.
    """

    retained: float | None
    agreement: float | None
    broken: tuple[str, ...]
    worst_class: RecallChange | None = None
    recall_words: str = ""

    @property
    def passed(self) -> bool:
        """True if the step stays."""
        return not self.broken

    @property
    def outcome(self) -> str:
        """The decision and its reasons, for messages."""
        return "stays" if self.passed else "UNDONE by the gate: " + " and ".join(self.broken)

    @property
    def content(self) -> dict[str, Any]:
        """The gate as plain data."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class Judge:
    """The model that a chain starts from, as the reference of all gates.

    Args:
        section: The limits.
        job: Task and data of the model.
        score: Main metric on the validation examples; None without a limit for it, and if the metric is not above 0, of
            which no share can be retained.
        predictions: Outputs for the gate's texts; empty without a limit for agreement.
        validation: Outputs for the validation examples; None without classes or examples.
    """

    section: GateSection
    job: Job
    score: float | None
    predictions: np.ndarray
    validation: np.ndarray | None

    @classmethod
    def of(cls, section: GateSection, job: Job, start: Predictor) -> Judge:
        """Compute the outputs of the start once for all steps."""
        wanted = section.retained is not None or _has_classes(job.task)
        outputs = start.outputs(job.data.validation.texts) if wanted and len(job.data.validation) else None
        score = _score(job, outputs) if section.retained is not None and outputs is not None else 0.0
        predictions = start.outputs(gate_texts(job)) if section.agreement is not None else np.zeros((0, 1))
        validation = outputs if _has_classes(job.task) else None
        return cls(section, job, score if score > 0 else None, predictions, validation=validation)

    def gate(self, model: Predictor) -> Gate:
        """Compare a step's model with the start, and decide if the step stays."""
        retained = agreement = None
        broken = []
        validation, outputs = self.job.data.validation, None
        if self.section.retained is not None or self.validation is not None:
            outputs = model.outputs(validation.texts)
        if self.score is not None and outputs is not None:
            retained = _score(self.job, outputs) / self.score
            if retained < self.least_retained:
                basis, least = f"{len(validation):,} validation examples", percent(self.least_retained, 1)
                broken.append(f"{percent(retained, 1)} retained on {basis}, at least {least} required")
        changes = self.recall_changes(outputs)
        broken += self._lost_classes(changes)
        if self.section.agreement is not None:
            same = self.job.task.measure.same(model.outputs(gate_texts(self.job)), self.predictions)
            agreement = float(same.mean())
            if agreement < self.section.agreement:
                basis, least = f"{len(same):,} texts of the pool", percent(self.section.agreement, 1)
                broken.append(f"agrees on {percent(agreement, 1)} of {basis}, at least {least} required")
        worst = changes[0] if changes else None
        return Gate(retained, agreement, tuple(broken), worst, self.recall_words(changes))

    def recall_changes(self, outputs: np.ndarray | None) -> tuple[RecallChange, ...]:
        """Return the change of recall per class, given a model's outputs for the validation examples."""
        if self.validation is None or outputs is None:
            return ()
        targets = self.job.task.targets(self.job.data.validation.labels)
        return recall_changes(self.validation, outputs, targets, self.job.task.labels, self.job.task.measure)

    def recall_words(self, changes: tuple[RecallChange, ...]) -> str:
        """Return a phrase on the largest loss of recall; empty without classes or validation examples."""
        return loss_words(changes, len(self.job.task.labels), len(self.job.data.validation))

    def _lost_classes(self, changes: tuple[RecallChange, ...]) -> list[str]:
        """Return a sentence on the classes that lose more recall than allowed, naming at most three; else no items."""
        limit = self.section.worst_class
        if limit is None:
            return []
        # As with `retained`, one example may always be lost.
        lost = [change for change in changes if change.loss.value > max(limit, 1 / change.count) + _ROUNDING]
        more = f", and {len(lost) - 3} more classes" if len(lost) > 3 else ""
        words = " and ".join(change.words for change in lost[:3])
        allowed = f"a loss of at most {100 * limit:.1f} points is allowed"
        return [f"recall on validation examples fell: {words}{more}; {allowed}"] if lost else []

    @property
    def few(self) -> str:
        """Warning about classes with too few validation examples for `worst_class`; empty if all have enough."""
        limit = self.section.worst_class
        if limit is None:
            return ""
        targets = np.asarray(self.job.task.targets(self.job.data.validation.labels))
        labels, least = self.job.task.labels, math.ceil(1 / limit - _ROUNDING)
        multi_label = self.job.task.multi_label
        counts = targets.sum(axis=0) if multi_label else np.bincount(targets, minlength=len(labels))
        few = [(int(count), label) for count, label in zip(counts, labels, strict=True) if count < least]
        if not few:
            return ""
        shown = ", ".join(f"'{label}' ({count})" for count, label in sorted(few)[:6])
        more = f" and {len(few) - 6} more" if len(few) > 6 else ""
        return (
            f"compress.gate.worst_class: {len(few)} of {len(labels)} classes have fewer than {least:,} validation "
            f"examples, too few to tell a loss of {100 * limit:.1f} points: {shown}{more}; one example of each may be "
            "lost"
        )

    @property
    def coarse(self) -> str:
        """Warning about too few validation examples for `retained`, with the key to set; empty if there are enough."""
        limit, examples = self.section.retained, len(self.job.data.validation)
        if limit is not None and self.score is None:
            few = f"{examples} validation example{'' if examples == 1 else 's'}"
            return (
                f"compress.gate.retained: not checked, because the model's {self.job.task.main_metric} on its {few} is "
                "not above 0: steps stay whatever they lose"
            )
        if limit is None or (least := self.least_retained) > limit - _COARSE_MARGIN:
            return ""
        advice, texts = "set data.validation to have more of them", len(_rows(self.job.data.pool))
        if self.section.agreement is None and texts:
            advice = f"set compress.gate.agreement to compare predictions for {texts:,} texts without labels too"
        return (
            f"compress.gate.retained: {len(self.job.data.validation):,} validation examples are too few to check a "
            f"limit of {percent(limit, 1)}. A step that loses one of them ({percent(least, 1)} retained) stays: "
            f"{advice}"
        )

    @property
    def least_retained(self) -> float:
        """Effective limit of `retained`: the requested limit, or the score after losing one example if that is lower.

        With few validation examples, a single prediction that changes by rounding weighs more than the requested limit.
        If the metric is not a share of correct predictions, an example is assumed to weigh at most twice the average.
        """
        if self.score is None:
            return 0.0
        weight = 1 / self.score
        if self.job.task.main_metric not in PROPORTIONS:
            weight = min(weight, 2.0)
        one = weight / len(self.job.data.validation)
        return min(self.section.retained or 0.0, 1 - one - 1e-9)


def require_gate(section: GateSection, task: Task, data: Prepared) -> None:
    """Raise RecipeError for a limit without data to measure it on. Called before training."""
    if section.retained is not None and not len(data.validation):
        raise RecipeError(
            "there are no validation examples to measure it on",
            "set it to null, and set compress.gate.agreement, which needs no labels",
            key="compress.gate.retained",
        )
    if section.worst_class is not None and not _has_classes(task):
        raise RecipeError(
            "a translation has no classes",
            "leave it out; compress.gate.retained and compress.gate.agreement apply to translations",
            key="compress.gate.worst_class",
        )
    if section.worst_class is not None and not len(data.validation):
        raise RecipeError(
            "there are no validation examples to compute recall on",
            "set it to null, or set data.validation above 0 and train the model again",
            key="compress.gate.worst_class",
        )
    if section.agreement is not None and not len(_rows(data.pool)):
        raise RecipeError(
            "there are too few texts outside the budget to measure it on",
            "set it to null, or lower data.budget",
            key="compress.gate.agreement",
        )


def gate_texts(job: Job) -> list[tuple[str, ...]]:
    """Return the texts of the pool that are reserved for gates."""
    return job.data.pool.take(_rows(job.data.pool)).texts


def pool_of_steps(job: Job) -> np.ndarray:
    """Return the rows of the pool that steps may use."""
    return np.setdiff1d(np.arange(len(job.data.pool)), _rows(job.data.pool))


def _rows(pool: Examples) -> np.ndarray:
    # A random sample, because files are often sorted by label or by time.
    count = min(_MAX_POOL_TEXTS, int(_POOL_SHARE * len(pool)))
    return np.sort(np.random.default_rng(0).permutation(len(pool))[:count])


def _score(job: Job, outputs: np.ndarray) -> float:
    return job.task.scores(outputs, job.task.targets(job.data.validation.labels))[job.task.main_metric]


def _has_classes(task: Task) -> bool:
    return isinstance(task.measure, LabelMeasure)
