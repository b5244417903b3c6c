"""Which form a learning curve has, and how wrong forms are: the judgement of a back-test.

The back-test predicts the largest budget from the smaller ones, which is what a prediction beyond the budgets will do.

Knows forms and their errors. Knows nothing of the intervals that are made from these.
"""

from __future__ import annotations

import numpy as np

from kit.analysis.curve_forms import FORMS, TINY, Floats, errors_at, fit_rows
from kit.measurement.intervals import percentile_interval, spread


def entrants(k: int) -> list[str]:
    """Forms with no more parameters than the k - 1 points that are left for the back-test; `last` always."""
    return [name for name, form in FORMS.items() if form.size <= k - 1] + ["last"]


def held_out(form: str, n: Floats, curves: Floats, weights: Floats) -> Floats:
    """(r,) error at the largest budget predicted from the smaller ones."""
    known = n[:-1]
    return errors_at(form, fit_rows(form, known, np.atleast_2d(curves)[:, :-1], weights[:-1]), known, n[-1:])[:, 0]


def choose(rivals: dict[str, float], samples: Floats) -> str:
    """The form with the smallest back-test error; between the best curve and `last`, near-ties go by what is plain.

    A tie is a difference below one standard deviation of the held-out point. Where the errors have plainly come down
    (the 95 % interval of first minus last), a tie goes to the curve: on synthetic power laws the root mean square error
    at 8 times the largest budget is then 5 % smaller than by the bare minimum, and `last` would claim that no number of
    labels helps. Where they have not, a tie goes to `last`.
    """
    curve = min((name for name in rivals if name != "last"), key=lambda name: abs(rivals[name]))
    lead = abs(rivals["last"]) - abs(rivals[curve])
    noise = float(spread(samples[:, -1]))
    came_down = percentile_interval(samples[:, 0] - samples[:, -1])[0] > TINY
    if came_down:
        return curve if lead >= -noise else "last"
    return curve if lead > max(noise, TINY) else "last"


def doubt(form: str, rivals: dict[str, float], samples: Floats) -> float:
    """Standard deviation of a prediction over the distance of the back-test; see `Fit.predict`."""
    # All forms, because the chosen one has the smallest error by selection: on exponential decays with little noise,
    # the interval at twice the largest budget holds the truth 82 times of 100 by its error alone, 96 times by all.
    faults = [error for name, error in rivals.items() if name != "last" or form == "last"]
    return float(np.sqrt(np.mean(np.square(faults)) + spread(samples[:, -1]) ** 2))


def misfit(form: str, point: Floats, n: Floats, measured: Floats, weights: Floats) -> float:
    """Standard deviation of the points about the curve beyond their noise, which is 1 in weighted residuals."""
    if form == "last":
        return 0.0
    residuals = errors_at(form, point, n, n)[0] - measured
    excess = float(residuals**2 @ weights) / (len(n) - FORMS[form].size) - 1
    return float(np.sqrt(max(excess, 0.0) / weights.mean()))
