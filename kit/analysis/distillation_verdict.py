"""Verdict on a distillation: the metric that the student keeps, and the gain from the teacher.

The student, its teacher and its control are compared on the same test examples and the same seeds, see `points`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.analysis.comparison import Comparison, compare
from kit.analysis.points import Point, Run, metric_range, metric_samples, point
from kit.analysis.significance import MIN_SEEDS, Result, requirement
from kit.measurement.intervals import Estimate, percentile_interval, shown
from kit.measurement.measure import LabelMeasure, Measure
from kit.runtime.quantities import megabytes, percent

_SAME = 1.1  # ratio of two latencies that may be noise
_LEAST = 1e-9  # least metric of a teacher for which the retained share is defined


@dataclass(frozen=True)
class Cost:
    """Size and latency of a model.

    Attributes:
        size_bytes: Size of the saved model.
        parameters: Number of parameters.
        p50_ms: Median time per text; None if it was not measured.
        interval_ms: 95 % interval of `p50_ms`.
        warning: Reason to doubt the latency; empty if there is none.
    """

    size_bytes: int
    parameters: int
    p50_ms: float | None
    interval_ms: tuple[float, float] | None = None
    warning: str = ""


@dataclass(frozen=True)
class Verdict:
    """Result of a distillation.

    Attributes:
        metric: Name of the main metric.
        teacher: Metric of the teacher on the test examples, mean over seeds.
        student: Metric of the student.
        control: Metric of the same student trained without a teacher; None if no control was trained.
        retained: student / teacher; None if the teacher's metric may be 0 or less.
        agreement: Share of test examples for which student and teacher predict the same.
        gain: Comparison of the student with the control; None without a control.
        seeds: Number of seeds.
        teacher_cost: Size and latency of the teacher.
        student_cost: Size and latency of the student.
        notes: Further sentences for users.
    """

    metric: str
    teacher: Estimate
    student: Estimate
    control: Estimate | None
    retained: Estimate | None
    agreement: Estimate
    gain: Comparison | None
    seeds: int
    teacher_cost: Cost
    student_cost: Cost
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Verdict in sentences, the result first."""
        sentences = [
            f"student {shown(self.metric, self.student)}, teacher {shown(self.metric, self.teacher)}"
            + (f", the student without its teacher {shown(self.metric, self.control)}" if self.control else "")
        ]
        if self.retained is not None:
            sentences.append(f"retained {self.retained.format(percent=True)} of the teacher's {self.metric}; ")
        else:
            sentences.append(f"the teacher's {self.metric} may be 0 or less, so the retained share is undefined; ")
        sentences[-1] += (
            f"the same prediction as the teacher on {self.agreement.format(percent=True)} of the test examples"
        )
        sentences.append(self._cost())
        if self.gain is not None:
            sentences.append(self._gain(self.gain))
        return sentences + list(self.notes)

    def _cost(self) -> str:
        """Return the size and latency of the student compared with the teacher, in words."""
        student, teacher = self.student_cost, self.teacher_cost
        line = (
            f"size {megabytes(student.size_bytes)} against {megabytes(teacher.size_bytes)} "
            f"({_smaller(student.size_bytes / teacher.size_bytes)})"
        )
        if student.p50_ms and teacher.p50_ms:
            latencies = f"{student.p50_ms:.1f} ms per text against {teacher.p50_ms:.1f} ms"
            line += f"; {latencies} ({ratio_words(student, teacher)})"
            line += f"; {student.warning}" if student.warning else ""
        return line

    def _gain(self, gain: Comparison) -> str:
        """Return the gain over the control in words, by the outcome of the test."""
        size, judgement = f"{gain.size} over the same student trained without a teacher", gain.judgement
        if judgement.result is Result.NOT_TESTED:
            more = f"; --seeds {MIN_SEEDS} or more" if self.seeds < MIN_SEEDS else ""
            return f"distillation gave {size}; {judgement.words} ({requirement()}{more})"
        if judgement.result is Result.NOT_SIGNIFICANT:
            return f"no significant gain from distillation: {size}"
        if judgement.result is not Result.SIGNIFICANT:
            return f"distillation gave {size}; {judgement.words}"
        if gain.difference.value > 0:
            return f"distillation helped: {size}"
        return f"distillation hurt: {size}; the control is better"


@dataclass(frozen=True)
class SeedOutputs:
    """Outputs of one seed on the same n test examples; control is None if none was trained."""

    seed: int
    student: np.ndarray
    teacher: np.ndarray
    control: np.ndarray | None


def judge(
    outputs_by_seed: Sequence[SeedOutputs],
    targets: np.ndarray,
    measure: Measure,
    *,
    budget: int,
    costs: tuple[Cost, Cost],
    notes: Sequence[str] = (),
) -> Verdict:
    """Return the verdict over all seeds.

    The interval of the retained share is that of a ratio of means, from replicates of both on the same resamples.

    Args:
        outputs_by_seed: Outputs of the models of each seed.
        targets: Targets of the test examples, as `metric_samples` takes them.
        measure: Metrics of the task.
        budget: Number of labels.
        costs: Costs of the student and of the teacher.
        notes: Further sentences of the verdict.
    """
    kinds = {
        "student": [seed_outputs.student for seed_outputs in outputs_by_seed],
        "teacher": [seed_outputs.teacher for seed_outputs in outputs_by_seed],
    }
    controls = [seed_outputs.control for seed_outputs in outputs_by_seed if seed_outputs.control is not None]
    if len(controls) == len(outputs_by_seed):
        kinds["control"] = controls
    seeds = [seed_outputs.seed for seed_outputs in outputs_by_seed]
    points = {
        kind: point_of(kind, outputs, seeds, targets=targets, measure=measure, budget=budget)
        for kind, outputs in kinds.items()
    }
    student, teacher = points["student"], points["teacher"]
    control = points.get("control")
    gain = compare([("the student", student, "its control", control)])[0] if control else None
    return Verdict(
        metric=measure.main,
        teacher=teacher.estimate,
        student=student.estimate,
        control=control.estimate if control else None,
        retained=retained_share(student, teacher),
        agreement=agreement(outputs_by_seed, seeds, measure),
        gain=gain,
        seeds=len(outputs_by_seed),
        student_cost=costs[0],
        teacher_cost=costs[1],
        notes=tuple(notes),
    )


def ratio_words(model: Cost, reference: Cost) -> str:
    """Return the speed of the first model relative to the second in words: `2.4x as fast`."""
    if not model.p50_ms or not reference.p50_ms:
        return ""
    ratio = reference.p50_ms / model.p50_ms
    if 1 / _SAME <= ratio <= _SAME or _overlap(model, reference):
        return "about as fast"
    return f"{ratio:.1f}x as fast" if ratio > 1 else f"SLOWER: {1 / ratio:.1f}x the time"


def _overlap(first: Cost, second: Cost) -> bool:
    """Return whether the intervals of two latencies overlap, so that neither model is known to be faster."""
    if first.interval_ms is None or second.interval_ms is None:
        return False
    return first.interval_ms[0] <= second.interval_ms[1] and second.interval_ms[0] <= first.interval_ms[1]


def _smaller(share: float) -> str:
    """Return a size that is this share of another one, compared in words."""
    if share < 0.995:
        return f"{percent(1 - share)} smaller"
    return f"{percent(share - 1)} larger" if share > 1.005 else "as large"


def retained_share(model: Point, reference: Point) -> Estimate | None:
    """Return metric of a model / metric of the reference; None if the latter may be 0 or less."""
    if min(reference.estimate.value, percentile_interval(reference.replicates)[0]) <= _LEAST:
        return None
    possible = np.clip(model.replicates, *metric_range(model.metric))
    low, high = percentile_interval(possible / np.maximum(reference.replicates, _LEAST))
    value = model.estimate.value / reference.estimate.value
    return Estimate(value, min(low, value), max(high, value))


def point_of(
    kind: str,
    outputs: list[np.ndarray],
    seeds: list[int],
    targets: np.ndarray,
    measure: Measure,
    budget: int,
) -> Point:
    """Return the point of one model per seed, from their outputs on the test examples.

    Args:
        kind: Name of the models, unique on the side of a comparison.
        outputs: Outputs of each seed's model.
        seeds: The seeds.
        targets: Targets of the test examples, as `metric_samples` takes them.
        measure: Metrics of the task.
        budget: Number of labels.
    """
    values, samples = metric_samples(outputs, targets, measure)
    runs = [
        Run(f"{kind} {seed}", seed, float(value), correct=measure.right(seed_outputs, targets), samples=sample)
        for seed, seed_outputs, value, sample in zip(seeds, outputs, values, samples, strict=True)
    ]
    return point(budget, runs, measure.main)


def agreement(outputs_by_seed: Sequence[SeedOutputs], seeds: list[int], measure: Measure) -> Estimate:
    """Return the share of test examples with equal predictions, as the accuracy of a point."""
    same = [measure.same(seed_outputs.student, seed_outputs.teacher) for seed_outputs in outputs_by_seed]
    # Two labels per example, of which the right one means that the student agrees with the teacher.
    logits = [np.stack([~agrees, agrees], axis=1).astype(np.float64) for agrees in same]
    truth = np.ones(len(same[0]), np.int64)
    return point_of("agreement", logits, seeds, targets=truth, measure=LabelMeasure("accuracy"), budget=0).estimate
