"""Values of metrics with their units, as messages show them."""

from __future__ import annotations

NUMBER_SCORES = ("mae", "rmse", "r2", "pearson", "spearman")  # of predicted numbers
NOT_SHARES = ("log_loss", "brier", "mcc", "comet", *NUMBER_SCORES)  # metrics that are not percentages
PROPORTIONS = ("accuracy", "exact_match")  # shares of examples, which all have the same weight
OF_HUNDRED = ("bleu", "chrf", "ter")  # shares that are printed without a percent sign


def shown_difference(name: str, difference: float, signed: bool = False) -> str:
    """Return a difference of two values: `1.2 points`, or `0.012` for other metrics; signed on request."""
    size, sign = (difference, "+") if signed else (abs(difference), "")
    return f"{size:{sign}.3f}" if name in NOT_SHARES else f"{100 * size:{sign}.1f} points"


def shown_value(name: str, value: float) -> str:
    """Return a metric's value: `81.2 %` for shares, `33.2` for translation scores, `0.412` for other metrics."""
    if name in OF_HUNDRED:
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if name in NOT_SHARES else f"{100 * value:.1f} %"
