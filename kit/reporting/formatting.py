"""Words: numbers and names as the report writes them.

Knows metrics and fits. Knows nothing of HTML, Markdown or charts: whoever writes those escapes.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import NOT_SHARES, shown_difference

if TYPE_CHECKING:
    from kit.analysis.curve import Fit

NOTHING = "–"  # where there is no value
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def plain(text: object) -> str:
    """Text that every format can carry.

    What is replaced: lone surrogates, control characters but tab and newline, and those that turn the direction of all
    text after them.
    """
    return "".join("\ufffd" if _unfit(letter) else letter for letter in str(text))


def title(metric: str) -> str:
    """A metric's name for people: `macro_f1` is `Macro F1`."""
    name = metric.replace("_", " ").replace(" f1", " F1")
    if metric == "chrf":
        return "chrF++"
    if metric in ("mcc", "mae", "ece", "bleu", "ter"):
        return metric.upper()
    return name[:1].upper() + name[1:]


def is_share(metric: str) -> bool:
    """Whether people read the metric as a percentage."""
    return metric not in NOT_SHARES


def between(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval, if it has one."""
    if value is None:
        return NOTHING
    if low is None or high is None:
        return shown(metric, Estimate(value, value, value)).split(" [")[0]
    return shown(metric, Estimate(value, low, high))


def difference(metric: str, found: Estimate) -> str:
    """A difference with its interval."""
    low, high = (shown_difference(metric, end, signed=True).removesuffix(" points") for end in (found.low, found.high))
    return f"{shown_difference(metric, found.value, signed=True)} [{low}, {high}]"


def p_value(p: float) -> str:
    """`0.034`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def labels(count: float) -> str:
    """A number of labels, to three digits where it is an estimate above a thousand."""
    rounded = float(f"{count:.3g}") if count >= 1000 else count
    return f"{rounded:,.0f}"


def predicted(fit: Fit, n: float) -> Estimate | None:
    """The metric that a curve gives at n labels (curves are of the error); None where it says nothing."""
    from kit.analysis.curve import CurveRefused
    from kit.analysis.points import metric_of

    try:
        return metric_of(fit.predict(n))
    except CurveRefused:
        return None


def _unfit(letter: str) -> bool:
    return letter in _TURNS or (unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n")
