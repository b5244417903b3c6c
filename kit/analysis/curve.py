"""Learning curves: the error of one method over the number of labels, extrapolated beyond the measured budgets.

The form is chosen by a back-test: the prediction of the largest budget from the smaller ones. The back-test also
measures how far predictions can be trusted. Every prediction has an interval from bootstrap replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from kit.analysis.curve_forms import FORMS, TINY, errors_at, first_reach, fit_rows, labels_at
from kit.analysis.curve_selection import choose, doubt, entrants, held_out, misfit
from kit.measurement.intervals import Estimate, percentile_estimate, percentile_interval, spread
from kit.measurement.logits import Floats

# Predictions end at this multiple of the largest measured budget.
REACH = 8
FEWEST_BUDGETS = 4
_MOST_REPLICATES = 200
# Number of points at which bands are inverted: steps of at most 3 % for budgets from 50 to 5,000.
_GRID = 257
# Replaces infinite numbers of labels in quantiles, where infinity would give NaN.
NEVER = 1e300


class CurveRefused(ValueError):  # noqa: N818 - not a failure: the data do not allow a prediction
    """A learning curve or a prediction is impossible; the message is a sentence for users."""


@dataclass(frozen=True)
class Curve:
    """One fitted curve.

    Attributes:
        form: `pow3`, `pow4`, `mmf4` or `last`.
        row: Parameters, as returned by `curve_forms.fit_rows`.
        budgets: (k,) budgets that the curve was fitted to.
    """

    form: str
    row: tuple[float, ...]
    budgets: tuple[int, ...]

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by their names in the literature: a n^-b + c, a (n+d)^-b + c, (ab + c n^d) / (b + n^d), or c."""
        return {"c": self.asymptote} if self.form == "last" else FORMS[self.form].paper(self.row)

    @property
    def asymptote(self) -> float:
        """Error that the curve approaches with more labels."""
        return self.row[-1] if self.form == "last" else self.row[0]

    def error(self, n: ArrayLike) -> Floats:
        """Return the error at numbers of labels n of any shape, in the same shape."""
        at = np.asarray(n, np.float64)
        rows, budgets = np.array([self.row]), np.array(self.budgets, np.float64)
        errors: Floats = errors_at(self.form, rows, budgets, n=at.ravel())[0].reshape(at.shape)
        return errors

    def labels(self, error: float) -> float:
        """Return the number of labels for an error: inf if the curve never reaches it, 0 if it is always below."""
        return float(labels_at(self.form, np.array([self.row]), np.array(self.budgets, np.float64), errors=error)[0])


@dataclass(frozen=True)
class Backtest:
    """Prediction of the largest budget from the smaller ones, compared with the measurement.

    Attributes:
        budget: The largest budget.
        predicted: Error predicted by the chosen form.
        measured: Measured error.
        error: Predicted minus measured error.
        rivals: `error` of every form in the back-test, including the chosen form.
    """

    budget: int
    predicted: Estimate
    measured: float
    error: float
    rivals: dict[str, float]


@dataclass(frozen=True)
class Needed:
    """Number of labels that an error needs.

    Attributes:
        value: Number of labels, where the smallest measured budget means that or fewer; None if the curve does not
            reach the error within the range of predictions, so that more than `low` are needed.
        low: Lower end of the interval.
        high: Upper end of the interval; None if it has none within the range of predictions.
    """

    value: float | None
    low: float
    high: float | None


@dataclass(frozen=True)
class Fit:
    """A learning curve with its uncertainty.

    Attributes:
        budgets: (k,) distinct budgets in ascending order.
        errors: (k,) measured errors.
        form: Form chosen by the back-test; `last` means that the curve is flat beyond the largest budget.
        curve: The fitted curve.
        replicates: (R, ...) parameters fitted to R replicates.
        rows: (R,) indices of these replicates among the replicates passed to `fit_learning_curve`.
        offset: (R,) deviation of each replicate because forms are wrong, in error.
        drift: (R,) deviation in error per e-fold of labels beyond the largest budget, for the same reason.
        backtest: Result of the back-test.
    """

    budgets: tuple[int, ...]
    errors: tuple[float, ...]
    form: str
    curve: Curve
    replicates: Floats
    rows: NDArray[np.intp]
    offset: Floats
    drift: Floats
    backtest: Backtest

    @property
    def largest(self) -> int:
        """Largest number of labels for which predictions are made."""
        return REACH * self.budgets[-1]

    def predict(self, n: float) -> Estimate:
        """Return the error at n labels with its 95 % interval.

        The interval includes the noise of the measured points, by a refit to every bootstrap replicate, and the misfit
        of the forms. Among the budgets, the misfit is the scatter of the points about the curve beyond their noise.
        Beyond the largest budget it is a drift: the root mean square of the back-test errors of all parametric forms,
        in quadrature with the noise of the held-out point (because a small error may be luck), is the standard
        deviation at the distance of the back-test, ln(largest / second largest), and grows in proportion to
        ln(n / largest). More labels are assumed not to raise errors, so the upper end never exceeds the one at the
        largest budget.

        On synthetic curves of many shapes with 4 to 6 budgets, such intervals contained the truth in 88 to 100 % of the
        cases at twice the largest budget (mostly above 95 %), whether or not the shape is among the forms, and in 86 to
        94 % on flat curves; the same at 8 times the largest budget. Without the drift it was 32 to 95 %.

        Raises:
            CurveRefused: Below the smallest budget and beyond `largest`.
        """
        if n > self.largest:
            end = f"{REACH} times the largest measured budget, {self.largest:,} labels"
            raise CurveRefused(f"predictions end at {end}; {n:,.0f} is more")
        if n < self.budgets[0]:
            start = f"the smallest measured budget, {self.budgets[0]:,} labels"
            raise CurveRefused(f"predictions start at {start}; {n:,.0f} is less")
        return percentile_estimate(float(self.curve.error(n)), self.paths(n)[:, 0])

    def labels_for(self, error: float) -> Needed:
        """Return the labels that an error needs with a 95 % interval, from the paths of `predict`.

        The smallest budget means that number or fewer: there is no information below it.
        """
        smallest, largest = float(self.budgets[0]), float(self.largest)
        low, high = percentile_interval(np.minimum(self.labels_by_replicate(error), NEVER))
        labels = max(self.curve.labels(error), smallest)
        if labels > largest:
            return Needed(None, min(low, largest), None)
        return Needed(labels, min(low, labels), max(high, labels) if high <= largest else None)

    def labels_by_replicate(self, errors: ArrayLike) -> Floats:
        """Return (R,) numbers of labels at which each replicate reaches an error: inf beyond `largest`.

        Args:
            errors: (R,) an error per replicate, or one error for all.
        """
        knots = np.geomspace(self.budgets[0], self.largest, _GRID)
        return first_reach(knots, self.paths(knots), np.broadcast_to(errors, self.rows.shape))

    def paths(self, n: ArrayLike) -> Floats:
        """Return (R, m) errors of each replicate, with its offset and drift, at m ascending numbers of labels."""
        at = np.atleast_1d(np.asarray(n, np.float64))
        end = float(self.budgets[-1])
        fitted = errors_at(self.form, self.replicates, np.array(self.budgets, np.float64), n=np.append(at, end))
        fitted += self.offset[:, None]
        beyond = np.maximum(np.log(at / end), 0)
        drifted = np.minimum(fitted[:, :-1] + self.drift[:, None] * beyond, fitted[:, -1:])
        paths = np.where(beyond > 0, drifted, fitted[:, :-1])
        return np.clip(np.minimum.accumulate(paths, axis=1), 0, 1)


def fit_learning_curve(budgets: ArrayLike, errors: ArrayLike, replicates: ArrayLike) -> Fit:
    """Choose a form by back-test, fit it to all points, and refit it to the bootstrap replicates.

    Points are weighted by the inverse variance of their replicates.

    Args:
        budgets: (k,) numbers of labels in any order; points of equal budgets are averaged.
        errors: (k,) errors from 0 to 1; larger errors, which are worse than chance (a negative MCC), count as 1.
        replicates: (B, k) joint bootstrap replicates of the errors; at most 200 evenly spaced rows are refitted.

    Raises:
        CurveRefused: For fewer than four different budgets.
        ValueError: For invalid numbers or shapes.
    """
    n, measured, samples = _checked(budgets, errors, replicates)
    weights = 1 / _variances(samples)
    rivals = {form: float(held_out(form, n, measured, weights=weights)[0] - measured[-1]) for form in entrants(len(n))}
    form = choose(rivals, samples)
    rows = np.linspace(0, len(samples) - 1, min(len(samples), _MOST_REPLICATES)).round().astype(np.intp)
    refitted = samples[rows]
    point, refits = fit_rows(form, n, measured, weights=weights), fit_rows(form, n, refitted, weights=weights)
    names = tuple(int(budget) for budget in n)
    predicted = percentile_estimate(float(measured[-1] + rivals[form]), held_out(form, n, refitted, weights=weights))
    first, second = _normal_scores(len(rows))
    return Fit(
        budgets=names,
        errors=tuple(measured.tolist()),
        form=form,
        curve=Curve(form, tuple(point[0].tolist()), names),
        replicates=refits,
        rows=rows,
        offset=first * misfit(form, point, n, measured=measured, weights=weights),
        drift=second * doubt(form, rivals, samples) / float(np.log(n[-1] / n[-2])),
        backtest=Backtest(names[-1], predicted, float(measured[-1]), error=rivals[form], rivals=rivals),
    )


def _checked(budgets: ArrayLike, errors: ArrayLike, replicates: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return distinct ascending budgets (k,), errors (k,) and replicates (B, k), with equal budgets averaged."""
    n = np.asarray(budgets, np.float64)
    measured, samples = np.asarray(errors, np.float64), np.asarray(replicates, np.float64)
    if (different := len(np.unique(n))) < FEWEST_BUDGETS:
        raise CurveRefused(f"a learning curve needs at least {FEWEST_BUDGETS} different budgets; there are {different}")
    if n.ndim != 1 or measured.shape != n.shape or samples.shape[1:] != n.shape or not len(samples):
        raise ValueError(
            f"budgets {n.shape}, errors {measured.shape} and replicates {samples.shape} do not fit together"
        )
    both = np.vstack([measured, samples])
    if not (np.isfinite(n).all() and n.min() >= 1 and np.isfinite(both).all() and both.min() >= 0):
        raise ValueError("budgets must be 1 or more, and errors and their replicates numbers that are not negative")
    both = np.minimum(both, 1)
    distinct, place = np.unique(n, return_inverse=True)
    shares = (place[:, None] == np.arange(len(distinct))).astype(np.float64)
    merged = both @ (shares / np.maximum(shares.sum(axis=0), 1))
    return distinct, merged[0], merged[1:]


def _variances(samples: Floats) -> Floats:
    """Return the (k,) variance of each point, at least a tenth of the median; the median for constant points.

    The replicates of a point without errors are all equal, but such a point is not certain.
    """
    variances = spread(samples) ** 2
    varies = variances > TINY**2
    typical = float(np.median(variances[varies])) if varies.any() else 1.0
    return np.asarray(np.maximum(np.where(varies, variances, typical), typical / 10), np.float64)


def _normal_scores(count: int) -> tuple[Floats, Floats]:
    """Return two sets of `count` standard normal quantiles in independent orders, the same at every call."""
    scores = ndtri((np.arange(count) + 0.5) / count)
    generator = np.random.default_rng(0)
    return generator.permutation(scores), generator.permutation(scores)
