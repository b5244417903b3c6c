"""Certainty of a choice: the shares of resamples in which options win, meet a target or beat each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.analysis.advice_options import Option, Wish, series_of
from kit.analysis.findings import Findings
from kit.analysis.frontier import weight
from kit.analysis.points import Point

_LISTED_SHARE, _MOST_LISTED = 0.9, 4  # list contenders until their shares reach this sum, at most four


@dataclass(frozen=True)
class Contender:
    """An option that may be the best choice.

    Attributes:
        option: The option.
        share: Share of the resamples in which the option is the best choice; the shares of all options add up to 1.
            In contrast, `option.probability` counts every resample in which the option meets the target.
    """

    option: Option
    share: float


def contenders_of(options: Sequence[Option], findings: Findings, wish: Wish) -> list[Contender]:
    """Return the options that win in the most resamples, in descending order: at most four, or fewer for 90 %.

    An option wins in a resample if it would be chosen with the metrics of this resample.
    """
    first = sorted(options, key=lambda o: (o.labels, *weight(o.latency_ms, o.model_bytes)))
    samples = np.stack(_same_length([_replicates(option, findings) for option in first]))
    if wish.target is not None:
        labels = np.array([option.labels for option in first])[:, None]
        fewest = np.where(samples >= wish.target, labels, np.inf)
        reached = np.isfinite(fewest) & (fewest == fewest.min(axis=0))
        none = ~reached.any(axis=0)
        samples = np.where(reached | none, samples, -np.inf)
    shares = np.bincount(samples.argmax(axis=0), minlength=len(first)) / samples.shape[1]
    ordered = sorted(zip(first, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    contenders: list[Contender] = []
    for option, share in ordered:
        listed = sum(contender.share for contender in contenders)
        if len(contenders) == _MOST_LISTED or share == 0 or listed >= _LISTED_SHARE:
            break
        contenders.append(Contender(option, share))
    return contenders


def _replicates(option: Option, findings: Findings) -> np.ndarray:
    """Return (B,) replicates of an option's metric, measured or predicted by the learning curve."""
    measured = measured_point(option, findings)
    if measured is not None:
        return measured.replicates
    fit = series_of(option, findings).fit
    assert fit is not None
    return np.asarray(1 - fit.paths([option.labels])[:, 0])


def _same_length(samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the samples, repeated until all options have the same number of resamples."""
    most = max(map(len, samples))
    return [np.resize(sample, most) for sample in samples]


def share_better(a: Point, b: Point) -> float:
    """Return the share of replicates, paired by seed and test example, in which point a has the higher metric."""
    return float((a.replicates > b.replicates).mean())


def measured_point(option: Option, findings: Findings) -> Point | None:
    """Return the measured point of an option; None if the option is a prediction."""
    points = series_of(option, findings).points
    return next((point for point in points if option.measured and point.budget == option.labels), None)


def certainty_of(choice: Option, runner_up: Option | None, findings: Findings) -> float:
    """Return the probability that the choice meets the target, or without a target beats the runner-up."""
    if choice.probability is not None:
        return choice.probability
    point, rival = measured_point(choice, findings), runner_up and measured_point(runner_up, findings)
    return share_better(point, rival) if point and rival else 0.0
