"""Numbers and names as the report writes them.

The writers of HTML and Markdown escape them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import NOT_SHARES, shown_difference

if TYPE_CHECKING:
    from kit.analysis.curve import Fit

NOTHING = "–"  # stands for a missing value


def title(metric: str) -> str:
    """Return the name of a metric in words: `Macro F1` for `macro_f1`."""
    name = metric.replace("_", " ").replace(" f1", " F1")
    if metric == "chrf":
        return "chrF++"
    if metric == "adaptive_ece":
        return "adaptive ECE"
    if metric in ("mcc", "mae", "rmse", "r2", "ece", "bleu", "ter"):
        return metric.upper()
    return name[:1].upper() + name[1:]


def is_share(metric: str) -> bool:
    """Return whether the metric is shown as a percentage."""
    return metric not in NOT_SHARES


def between(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """Return a value with its interval, if there is one."""
    if value is None:
        return NOTHING
    if low is None or high is None:
        return shown(metric, Estimate(value, value, value)).split(" [")[0]
    return shown(metric, Estimate(value, low, high))


def difference(metric: str, estimate: Estimate) -> str:
    """Return a difference with its interval."""
    low, high = (
        shown_difference(metric, end, signed=True).removesuffix(" points") for end in (estimate.low, estimate.high)
    )
    return f"{shown_difference(metric, estimate.value, signed=True)} [{low}, {high}]"


def p_value(p: float) -> str:
    """Return a p value, such as `0.034` or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def labels(count: float) -> str:
    """Return a number of labels, rounded to three digits above a thousand."""
    rounded = float(f"{count:.3g}") if count >= 1000 else count
    return f"{rounded:,.0f}"


def predicted(fit: Fit, n: float) -> Estimate | None:
    """Return the metric that a curve of the error predicts for n labels.

    The result is None where it cannot predict.
    """
    from kit.analysis.curve import CurveRefused
    from kit.analysis.points import metric_of

    try:
        return metric_of(fit.predict(n))
    except CurveRefused:
        return None
