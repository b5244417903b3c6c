"""Quantities with their units, as people read them."""

from __future__ import annotations

NO_SHARES = ("log_loss", "mae", "mcc", "comet")  # metrics that are no percentages
OF_HUNDRED = ("bleu", "chrf", "ter")  # shares that people write without a percent sign


def percent(share: float, digits: int = 0) -> str:
    """Return a share as a percentage: `52 %`."""
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def megabytes(size_bytes: float) -> str:
    """`0.03 MB`, `90.9 MB`, `1,207 MB`."""
    megabytes = size_bytes / 1e6
    if megabytes < 0.1:
        return f"{megabytes:.2g} MB"
    return f"{megabytes:.1f} MB" if megabytes < 100 else f"{megabytes:,.0f} MB"


def shown_difference(name: str, difference: float, signed: bool = False) -> str:
    """A difference of two values, without its sign unless asked: `1.2 points`, or `0.012` where it is no share."""
    size, sign = (difference, "+") if signed else (abs(difference), "")
    return f"{size:{sign}.3f}" if name in NO_SHARES else f"{100 * size:{sign}.1f} points"


def shown_value(name: str, value: float) -> str:
    """A metric's value: `81.2 %` for shares, `33.2` for scores of translations, `0.412` for the others."""
    if name in OF_HUNDRED:
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if name in NO_SHARES else f"{100 * value:.1f} %"
