"""How training ended, in one plain line: from the losses, not from a guess.

Knows loss histories. Knows nothing of models or recipes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["still improving", "converged", "overfitting", "unknown"]

# A validation loss of n examples wobbles; differences below this share of the lowest loss are not trends.
_TOLERANCE = 0.02
# A last stretch that has this share of all that the loss fell by is no end of it.
_SHARE_OF_FALL = 0.1
# A loss that never changed by this share says nothing.
_UNMOVED = 0.005
# A loss that fell by this share in the second half, and is level at the end, may be level for want of a learning rate.
_STEEP = 0.05


@dataclass(frozen=True)
class Evaluation:
    """One pause of training: losses and main metric on validation examples and on a sample of training examples."""

    step: int
    train_loss: float
    train_metric: float
    validation_loss: float
    validation_metric: float


@dataclass(frozen=True)
class Diagnosis:
    """verdict: how training ended. since: the step from which it overfitted. line: the same for people."""

    verdict: Verdict
    since: int | None
    line: str


def diagnose(evaluations: Sequence[Evaluation]) -> Diagnosis:
    """Whether the validation loss was still falling, had levelled off, or was rising while the training loss fell.

    It was falling if the last stretch has 2 % of the loss, or half of that and a tenth of the whole fall.
    Overfitting means that the validation loss ended more than 2 % above its lowest point while the training loss
    kept falling after that point. A loss that is level at the end but fell by 5 % in the second half has converged
    with a reservation: the last steps have hardly a learning rate, at which every loss is level.
    """
    if len(evaluations) < 3:
        return Diagnosis("unknown", None, "unknown: too few validation examples or evaluations to tell")
    losses = [evaluation.validation_loss for evaluation in evaluations]
    low = min(range(len(losses)), key=losses.__getitem__)
    last, best = evaluations[-1], evaluations[low]
    margin = _TOLERANCE * max(best.validation_loss, 1e-3)
    if last.validation_loss > best.validation_loss + margin and last.train_loss < best.train_loss:
        line = (
            f"overfitting since step {best.step}: validation loss rose from {best.validation_loss:.3f} to "
            f"{last.validation_loss:.3f} while training loss fell to {last.train_loss:.3f}"
        )
        if last.validation_metric >= best.validation_metric:
            line += "; the validation metric did not suffer"
        return Diagnosis("overfitting", best.step, line)
    before = evaluations[-2 if len(evaluations) < 6 else -3]
    gain = before.validation_loss - last.validation_loss
    if gain > margin or gain > max(margin / 2, _SHARE_OF_FALL * (losses[0] - last.validation_loss)):
        line = (
            f"still improving: validation loss fell from {before.validation_loss:.3f} to {last.validation_loss:.3f} "
            f"over the last {last.step - before.step} steps; more epochs may help"
        )
        return Diagnosis("still improving", None, line)
    if max(losses) - best.validation_loss < _UNMOVED * losses[0]:
        line = f"unknown: validation loss hardly moved, from {losses[0]:.3f} to {last.validation_loss:.3f}"
        return Diagnosis("unknown", None, f"{line}; more epochs or a higher learning rate may help")
    line = f"converged: validation loss {last.validation_loss:.3f}, no longer falling"
    half = evaluations[(len(evaluations) - 1) // 2]
    if half.validation_loss > last.validation_loss * (1 + _STEEP):
        line += (
            f" as the learning rate ran out, but {half.validation_loss:.3f} at step {half.step}; more epochs may help"
        )
    return Diagnosis("converged", None, line)
