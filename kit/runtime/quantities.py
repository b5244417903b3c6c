"""Shares, durations and sizes with their units, as messages show them."""

from __future__ import annotations


def percent(share: float, digits: int = 0) -> str:
    """Return a share as a percentage: `52 %`."""
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """Return a duration with its unit: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def megabytes(size_bytes: float) -> str:
    """Return a size in megabytes: `0.03 MB`, `90.9 MB`, `1,207 MB`."""
    megabytes = size_bytes / 1e6
    if megabytes < 0.1:
        return f"{megabytes:.2g} MB"
    return f"{megabytes:.1f} MB" if megabytes < 100 else f"{megabytes:,.0f} MB"
