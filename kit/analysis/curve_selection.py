"""Choice of a learning curve's form, and the uncertainty of forms, by a back-test.

The back-test predicts the largest budget from the smaller ones, as a prediction beyond the budgets does.
"""

from __future__ import annotations

import numpy as np

from kit.analysis.curve_forms import FORMS, TINY, errors_at, fit_rows
from kit.measurement.intervals import percentile_interval, spread
from kit.measurement.logits import Floats


def entrants(k: int) -> list[str]:
    """Return the forms with at most k - 1 parameters, the number of points in the back-test, and always `last`."""
    return [name for name, form in FORMS.items() if form.size <= k - 1] + ["last"]


def held_out(form: str, n: Floats, curves: Floats, weights: Floats) -> Floats:
    """Return (r,) errors at the largest budget, predicted from the smaller ones."""
    smaller = n[:-1]
    return errors_at(
        form, fit_rows(form, smaller, np.atleast_2d(curves)[:, :-1], weights=weights[:-1]), smaller, n=n[-1:]
    )[:, 0]


def choose(rivals: dict[str, float], samples: Floats) -> str:
    """Return the form with the smallest back-test error, with ties between the best curve and `last` by the trend.

    A tie is a difference below one standard deviation of the held-out point. If errors clearly fell (95 % interval of
    first minus last), a tie goes to the curve: on synthetic power laws, the root mean square error at 8 times the
    largest budget is then 5 % smaller than by the minimum alone, and `last` would claim that labels do not help.
    Otherwise a tie goes to `last`.
    """
    curve = min((name for name in rivals if name != "last"), key=lambda name: abs(rivals[name]))
    lead = abs(rivals["last"]) - abs(rivals[curve])
    noise = float(spread(samples[:, -1]))
    fell = percentile_interval(samples[:, 0] - samples[:, -1])[0] > TINY
    if fell:
        return curve if lead >= -noise else "last"
    return curve if lead > max(noise, TINY) else "last"


def doubt(form: str, rivals: dict[str, float], samples: Floats) -> float:
    """Return the standard deviation of a prediction at the distance of the back-test; see `Fit.predict`."""
    # All forms count, because the chosen one has the smallest error by selection: on exponential decays with little
    # noise, the interval at twice the largest budget contains the truth in 82 % by its error alone, in 96 % by all.
    faults = [error for name, error in rivals.items() if name != "last" or form == "last"]
    return float(np.sqrt(np.mean(np.square(faults)) + spread(samples[:, -1]) ** 2))


def misfit(form: str, point: Floats, n: Floats, measured: Floats, weights: Floats) -> float:
    """Return the standard deviation of the points about the curve beyond their noise, 1 in weighted residuals."""
    if form == "last":
        return 0.0
    residuals = errors_at(form, point, n, n=n)[0] - measured
    excess = float(residuals**2 @ weights) / (len(n) - FORMS[form].size) - 1
    return float(np.sqrt(max(excess, 0.0) / weights.mean()))
