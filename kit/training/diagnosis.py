"""Diagnosis of a training run, from the validation losses and their noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

Verdict = Literal["still improving", "converged", "overfitting", "too few validation examples", "unknown"]

MIN_VALIDATION = 20  # with fewer examples, the t interval of a mean loss is too narrow: single losses are skewed
_MAX_PARTS = 100  # values per evaluation that are kept to estimate the noise
_TOLERANCE = 0.02  # smaller differences, as a share of the lowest loss, are not reported
_MIN_SHARE_OF_FALL = 0.1  # the last stretch is an improvement from this share of the total fall of the loss
_MIN_CHANGE = 0.005  # below this change, as a share of the first loss, nothing can be concluded
_STEEP_FALL = 0.05  # fall in the second half, as a share of the last loss, that suggests the learning rate ran out
_MAX_NOISE = 0.1  # "converged" needs less noise than this share of the last loss
_QUANTILE = 0.975


@dataclass(frozen=True)
class Evaluation:
    """Losses and main metric at one step, on the validation examples and on a sample of training examples.

    Attributes:
        step: Optimizer steps before the evaluation.
        train_loss: Loss on the sample of training examples.
        train_metric: Main metric on the sample of training examples.
        validation_loss: Loss on the validation examples.
        validation_metric: Main metric on the validation examples.
        validation_examples: Number of validation examples; 0 if unknown.
    """

    step: int
    train_loss: float
    train_metric: float
    validation_loss: float
    validation_metric: float
    validation_examples: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """Verdict on how training ended.

    Attributes:
        verdict: The verdict.
        since: Step from which the model overfitted; None for other verdicts.
        line: The verdict and its reasons in words.
    """

    verdict: Verdict
    since: int | None
    line: str


def loss_parts(losses: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
    """Return at most 100 values whose mean is the loss, each from an example or a group of examples.

    The differences of these values between two evaluations of the same examples estimate the noise of the difference
    of the two losses.

    Args:
        losses: (n,) loss per example, summed over its tokens in translation.
        weights: (n,) tokens per example; None for one each.
    """
    n = len(losses)
    if n == 0:
        return []
    total = float(n if weights is None else weights.sum())
    groups = math.ceil(n / math.ceil(n / _MAX_PARTS))
    sums = np.bincount(np.arange(n) % groups, np.asarray(losses, np.float64), minlength=groups)
    return [float(f"{value:.6g}") for value in sums * groups / total]


def diagnose(evaluations: Sequence[Evaluation], parts: Sequence[Sequence[float]] = ()) -> Diagnosis:
    """Determine whether the validation loss was still falling, had levelled off, or had risen.

    A difference of two losses counts only if it is larger than its noise: the standard error of the paired differences
    of the examples, times the quantile of Student's t (for the lowest loss, which was selected, corrected for the
    number of evaluations).

    - overfitting: the loss ended more than 2 % above its minimum, beyond noise, while the training loss fell.
    - still improving: the last loss is the lowest, and the last part of training lowered it by 2 %, or by half of that
      and a tenth of the whole fall, beyond noise.
    - converged: neither of the two, and the noise is small enough to have detected either.
    - too few validation examples: the noise is too large to tell, or there are fewer than 20 examples.

    Args:
        evaluations: In the order of their steps, all on the same validation examples.
        parts: Per evaluation, the values of `loss_parts`. Without them, the noise is estimated from the loss and the
            number of validation examples, or taken as 0 if this number is unknown.
    """
    insufficient = _insufficient_data(evaluations)
    if insufficient is not None:
        return insufficient
    history = _History(evaluations, parts)
    losses = history.losses
    low = len(losses) - 1 - int(np.argmin(losses[::-1]))  # the last of equal losses
    if losses[-1] > losses[low] + _margin(losses[low]):
        return _after_rise(history, low)
    return _last_stretch(history, low)


def _insufficient_data(evaluations: Sequence[Evaluation]) -> Diagnosis | None:
    """Return the diagnosis of a run with too few evaluations or examples.

    The result is None if there are enough.
    """
    if not evaluations:
        return Diagnosis("unknown", None, "unknown: there are no validation examples")
    count = evaluations[-1].validation_examples
    if count and count < MIN_VALIDATION:
        return _too_few(count, f"at least {MIN_VALIDATION} are needed")
    if len(evaluations) < 3:
        number = f"{len(evaluations)} evaluation{'s' if len(evaluations) > 1 else ''}"
        return Diagnosis("unknown", None, f"unknown: {number} of the validation loss are too few to tell")
    return None


def _margin(loss: float) -> float:
    return _TOLERANCE * max(loss, 1e-3)


def _last_stretch(history: _History, low: int) -> Diagnosis:
    """Judge a loss that ended at its minimum, or within 2 % of it."""
    losses, end = history.losses, len(history.losses) - 1
    count, margin = history.evaluations[-1].validation_examples, _margin(losses[low])
    before = end - (1 if end < 5 else 2)
    steps = history.evaluations[-1].step - history.evaluations[before].step
    gain, fall, noise = losses[before] - losses[-1], losses[0] - losses[-1], history.noise(before, -1)
    notable = gain > margin or gain > max(margin / 2, _MIN_SHARE_OF_FALL * fall)
    if low == end and notable and gain > noise:
        line = (
            f"still improving: validation loss fell from {losses[before]:.3f} to {losses[-1]:.3f} over the last "
            f"{steps} steps{_of(count)}; more epochs may help"
        )
        return Diagnosis("still improving", None, line)
    if max(losses) - losses[low] < _MIN_CHANGE * losses[0]:
        line = f"unknown: validation loss hardly moved, from {losses[0]:.3f} to {losses[-1]:.3f}"
        return Diagnosis("unknown", None, f"{line}; more epochs or a higher learning rate may help")
    if noise > max(_MAX_NOISE * losses[-1], _MIN_SHARE_OF_FALL * fall) or (notable and gain <= noise):
        return _too_few(count, f"their loss changed by {-gain:+.3f} ± {noise:.3f} over the last {steps} steps")
    return _converged(history, low, f" ({-gain:+.3f} ± {noise:.3f} over the last {steps} steps)" if noise else "")


class _History:
    """Validation losses by evaluation, with the noise of their differences."""

    def __init__(self, evaluations: Sequence[Evaluation], parts: Sequence[Sequence[float]]) -> None:
        self.evaluations = evaluations
        self.losses = [evaluation.validation_loss for evaluation in evaluations]
        complete = len(parts) == len(evaluations) and len({len(row) for row in parts}) == 1 and len(parts[0]) > 1
        self.parts = np.asarray(parts, np.float64) if complete else None

    def noise(self, first: int, second: int, selected_from: int = 1) -> float:
        """Return the largest difference of two losses that chance explains.

        Args:
            first: Index of an evaluation.
            second: Index of another evaluation.
            selected_from: Number of evaluations from which one of the two was selected by its loss.
        """
        level = 1 - (1 - _QUANTILE) / selected_from
        if self.parts is not None:
            differences = self.parts[first] - self.parts[second]
            n = len(differences)
            return float(stdtrit(n - 1, level) * differences.std(ddof=1) / math.sqrt(n))
        examples = self.evaluations[-1].validation_examples
        if not examples:
            return 0.0
        # The standard deviation of the losses of examples is about their mean; paired differences vary less.
        return float(stdtrit(examples - 1, level) * min(self.losses[first], self.losses[second]) / math.sqrt(examples))


def _after_rise(history: _History, low: int) -> Diagnosis:
    """Judge a loss that ended above its minimum."""
    best, last = history.evaluations[low], history.evaluations[-1]
    count = last.validation_examples
    rise = f"from {best.validation_loss:.3f} to {last.validation_loss:.3f}"
    if last.validation_loss - best.validation_loss <= history.noise(low, -1, len(history.losses) - 1):
        return _too_few(count, f"their loss rose {rise} after step {best.step}, which is within noise")
    if last.train_loss >= best.train_loss:
        line = f"unknown: validation loss rose {rise} after step {best.step}, and training loss did not fall"
        return Diagnosis("unknown", None, f"{line}; a lower learning rate may help")
    line = (
        f"overfitting since step {best.step}: validation loss rose {rise}{_of(count)} while training loss fell to "
        f"{last.train_loss:.3f}"
    )
    if last.validation_metric >= best.validation_metric:
        line += "; the validation metric did not suffer"
    return Diagnosis("overfitting", best.step, line)


def _converged(history: _History, low: int, change: str) -> Diagnosis:
    """Describe a loss that is level at the end, with a caveat if only the decayed learning rate may have stopped it."""
    losses, end = history.losses, len(history.losses) - 1
    line = f"converged: validation loss {losses[-1]:.3f}{_of(history.evaluations[-1].validation_examples)}"
    if low < end and losses[low] < losses[-1]:
        return Diagnosis("converged", None, f"{line}, lowest at step {history.evaluations[low].step}")
    line += f", no longer falling{change}"
    half = end // 2
    if losses[half] > losses[-1] * (1 + _STEEP_FALL) and losses[half] - losses[-1] > history.noise(half, -1):
        line += (
            f" as the learning rate ran out, but {losses[half]:.3f} at step {history.evaluations[half].step}; "
            "more epochs may help"
        )
    return Diagnosis("converged", None, line)


def _too_few(count: int, reason: str) -> Diagnosis:
    number = f" ({count})" if count else ""
    return Diagnosis("too few validation examples", None, f"too few validation examples to tell{number}: {reason}")


def _of(count: int) -> str:
    return f" ({count:,} examples)" if count else ""
