"""Gates: what a step of a chain costs, on validation examples and texts of the pool, never on test examples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kit.compression.recall import RecallChange, loss_words, recall_changes
from kit.errors import RecipeError
from kit.measurement.measure import LabelMeasure
from kit.methods import Job
from kit.models.predictor import Predictor
from kit.recipe.sections.compression import GateSection
from kit.runtime.quantities import percent

# Texts of the pool that no step sees: this share, and no more than this.
_SHARE, _MOST = 0.2, 1_000
_MUCH = 0.005  # of what is retained: a gate that lets through so much more than is asked for is said to be coarse
_ROUNDING = 1e-9
_SHARES = ("accuracy", "exact_match")  # of right answers: each example is worth as much as another


@dataclass(frozen=True)
class Gate:
    """Losses of a step against the model that the chain starts from.

    Args:
        retained: Share of the main metric on the validation examples; None if there is no such limit.
        agreement: Share of texts of the pool that no step sees; None if there is no such limit.
        broken: Missed limits in words; empty if the step stays.
        worst_class: The class with the largest loss of recall on the validation examples; None without classes or
            validation examples.
        recall_words: `worst_class` in words, or that the classes have too few validation examples to tell.
    """

    retained: float | None
    agreement: float | None
    broken: tuple[str, ...]
    worst_class: RecallChange | None = None
    recall_words: str = ""

    @property
    def passed(self) -> bool:
        """Whether the step stays."""
        return not self.broken

    @property
    def outcome(self) -> str:
        """The decision and its reasons, for people."""
        return "stays" if self.passed else "UNDONE by the gate: " + " and ".join(self.broken)

    @property
    def content(self) -> dict[str, Any]:
        """For files and programs."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class Judge:
    """The model that a chain starts from, as gates compare with it.

    Args:
        section: The limits.
        job: Its task and data.
        score: Main metric on the validation examples; 0 if there is no limit for it.
        answers: Outputs for the gate's texts.
        validation: Outputs for the validation examples; None without classes or examples.
    """

    section: GateSection
    job: Job
    score: float
    answers: np.ndarray
    validation: np.ndarray | None

    @classmethod
    def of(cls, section: GateSection, job: Job, start: Predictor) -> Judge:
        """Compute the outputs of the start once for all steps. Raises RecipeError if there is nothing to compare."""
        wanted = section.retained is not None or _has_classes(job)
        outputs = start.outputs(job.data.validation.texts) if wanted and len(job.data.validation) else None
        score = _score(job, outputs) if section.retained is not None and outputs is not None else 0.0
        if section.retained is not None and score <= 0:
            raise RecipeError(
                f"the model's {job.task.main_metric} on validation examples is {score:.3f}: none of it can be retained",
                "set it to null, and give compress.gate.agreement",
                key="compress.gate.retained",
            )
        asked = section.agreement is not None
        answers = start.outputs(gate_texts(job)) if asked else np.zeros((0, 1))
        return cls(section, job, score, answers, outputs if _has_classes(job) else None)

    def gate(self, model: Predictor) -> Gate:
        """Return what a step's model costs, and whether it may stay."""
        retained = agreement = None
        broken = []
        validation, outputs = self.job.data.validation, None
        if self.section.retained is not None or self.validation is not None:
            outputs = model.outputs(validation.texts)
        if self.section.retained is not None and outputs is not None:
            retained = _score(self.job, outputs) / self.score
            if retained < self.least_retained:
                basis, least = f"{len(validation):,} validation examples", percent(self.least_retained, 1)
                broken.append(f"{percent(retained, 1)} retained on {basis}, at least {least} asked for")
        changes = self.recall_changes(outputs)
        broken += self._lost_classes(changes)
        if self.section.agreement is not None:
            same = self.job.task.measure.same(model.outputs(gate_texts(self.job)), self.answers)
            agreement = float(same.mean())
            if agreement < self.section.agreement:
                basis, least = f"{len(same):,} texts of the pool", percent(self.section.agreement, 1)
                broken.append(f"agrees on {percent(agreement, 1)} of {basis}, at least {least} asked for")
        worst = changes[0] if changes else None
        return Gate(retained, agreement, tuple(broken), worst, self.recall_words(changes))

    def recall_changes(self, outputs: np.ndarray | None) -> tuple[RecallChange, ...]:
        """Return the change of recall of each class, from a model's outputs for the validation examples."""
        if self.validation is None or outputs is None:
            return ()
        targets = self.job.task.targets(self.job.data.validation.labels)
        return recall_changes(self.validation, outputs, targets, self.job.task.labels, self.job.task.measure)

    def recall_words(self, changes: tuple[RecallChange, ...]) -> str:
        """Return the largest loss of recall of a class for people; empty without classes or validation examples."""
        return loss_words(changes, len(self.job.task.labels), len(self.job.data.validation))

    def _lost_classes(self, changes: tuple[RecallChange, ...]) -> list[str]:
        """Return words for the classes that lose more recall than is allowed, at most three of them."""
        limit = self.section.worst_class
        if limit is None:
            return []
        # As with `retained`, one example may always be lost.
        lost = [change for change in changes if change.loss.value > max(limit, 1 / change.count) + _ROUNDING]
        more = f", and {len(lost) - 3} more classes" if len(lost) > 3 else ""
        words = " and ".join(change.words for change in lost[:3])
        asked = f"a loss of at most {100 * limit:.1f} points asked for"
        return [f"recall on validation examples fell: {words}{more}, {asked}"] if lost else []

    @property
    def few(self) -> str:
        """In words, which classes have too few validation examples for `worst_class`; empty where all have enough."""
        limit = self.section.worst_class
        if limit is None:
            return ""
        targets = np.asarray(self.job.task.targets(self.job.data.validation.labels))
        labels, least = self.job.task.labels, math.ceil(1 / limit - _ROUNDING)
        several = self.job.task.multi_label
        counts = targets.sum(axis=0) if several else np.bincount(targets, minlength=len(labels))
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
        """Sentences on validation examples that are too few for `retained`, with the key to set; empty if enough."""
        asked = self.section.retained
        if asked is None or (least := self.least_retained) > asked - _MUCH:
            return ""
        more, texts = "set data.validation to have more of them", len(_rows(self.job))
        if self.section.agreement is None and texts:
            more = f"set compress.gate.agreement to compare predictions for {texts:,} texts without labels too"
        return (
            f"compress.gate.retained: {len(self.job.data.validation):,} validation examples cannot tell "
            f"{percent(asked, 1)} from less. A step that loses one of them ({percent(least, 1)} retained) stays: {more}"
        )

    @property
    def least_retained(self) -> float:
        """What the section asks for, or what is left when one validation example is lost, if that is less.

        Few examples cannot tell a percent: a single one that rounding turns weighs more. Of scores that are no shares
        of right answers it is taken to weigh twice the average at most.
        """
        weight = 1 / self.score
        if self.job.task.main_metric not in _SHARES:
            weight = min(weight, 2.0)
        one = weight / len(self.job.data.validation)
        return min(self.section.retained or 0.0, 1 - one - 1e-9)


def require_gate(section: GateSection, job: Job) -> None:
    """Raise RecipeError for a gate that has nothing to look at: before anything is trained."""
    if section.retained is not None and not len(job.data.validation):
        raise RecipeError(
            "there are no validation examples to look at",
            "set it to null, and give compress.gate.agreement, which looks at texts without labels",
            key="compress.gate.retained",
        )
    if section.worst_class is not None and not _has_classes(job):
        raise RecipeError(
            "a translation has no classes",
            "leave it out; compress.gate.retained and compress.gate.agreement apply to translations",
            key="compress.gate.worst_class",
        )
    if section.worst_class is not None and not len(job.data.validation):
        raise RecipeError(
            "there are no validation examples to compute recall on",
            "set it to null, or set data.validation above 0 and train the model again",
            key="compress.gate.worst_class",
        )
    if section.agreement is not None and not len(_rows(job)):
        raise RecipeError(
            "there are too few texts outside the budget to look at",
            "set it to null, or lower data.budget",
            key="compress.gate.agreement",
        )


def gate_texts(job: Job) -> list[tuple[str, ...]]:
    """The pool's texts that only gates look at."""
    return job.data.pool.take(_rows(job)).texts


def pool_of_steps(job: Job) -> np.ndarray:
    """Rows of the pool that steps may look at."""
    return np.setdiff1d(np.arange(len(job.data.pool)), _rows(job))


def _rows(job: Job) -> np.ndarray:
    # Drawn at random: files are often sorted by label or by time.
    count = min(_MOST, int(_SHARE * len(job.data.pool)))
    return np.sort(np.random.default_rng(0).permutation(len(job.data.pool))[:count])


def _score(job: Job, outputs: np.ndarray) -> float:
    return job.task.scores(outputs, job.task.targets(job.data.validation.labels))[job.task.main_metric]


def _has_classes(job: Job) -> bool:
    return isinstance(job.task.measure, LabelMeasure)
