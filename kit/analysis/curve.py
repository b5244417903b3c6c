"""Learning curves: error of one method over the number of labels, predicted beyond what was measured.

The form is chosen by what counts here: a prediction of the largest budget from the smaller ones, the back-test. The
same back-test says how far predictions can be trusted, and every answer has an interval from bootstrap replicates.

Knows budgets, errors and their replicates. Knows nothing of metrics, methods, files, or how points were measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from kit.analysis.curve_forms import FORMS, TINY, Floats, errors_at, first_reach, fit_rows, labels_at
from kit.analysis.curve_selection import choose, doubt, entrants, held_out, misfit
from kit.measurement.intervals import Estimate, percentile_interval, spread

# Predictions end at this many times the largest measured budget.
REACH = 8
_FEWEST = 4
_MOST_REPLICATES = 200
# Numbers of labels at which bands are inverted: steps of 3 % at most for budgets from 50 to 5,000.
_GRID = 257
# Stands for no number of labels in quantiles, where infinity would give nan.
NEVER = 1e300


class CurveRefused(ValueError):  # noqa: N818 - named for what happened: nothing is broken, the data do not allow an answer
    """No learning curve, or no prediction, can be had; the message is a sentence for people."""


@dataclass(frozen=True)
class Curve:
    """One fitted curve.

    form: `pow3`, `pow4`, `mmf4` or `last`. row: its numbers as `forms.fit_rows` gives them. budgets: (k,) those it was
    fitted on.
    """

    form: str
    row: tuple[float, ...]
    budgets: tuple[int, ...]

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters under the names of the literature: a n^-b + c, a (n+d)^-b + c, (ab + c n^d) / (b + n^d), or c."""
        return {"c": self.asymptote} if self.form == "last" else FORMS[self.form].paper(self.row)

    @property
    def asymptote(self) -> float:
        """Error that no number of labels gets below."""
        return self.row[-1] if self.form == "last" else self.row[0]

    def error(self, n: ArrayLike) -> Floats:
        """Error at numbers of labels n, of any shape; same shape back."""
        at = np.asarray(n, np.float64)
        rows, budgets = np.array([self.row]), np.array(self.budgets, np.float64)
        errors: Floats = errors_at(self.form, rows, budgets, at.ravel())[0].reshape(at.shape)
        return errors

    def labels(self, error: float) -> float:
        """Number of labels for that error: inf if no number gets there, 0 if the curve has never been above it."""
        return float(labels_at(self.form, np.array([self.row]), np.array(self.budgets, np.float64), error)[0])


@dataclass(frozen=True)
class Backtest:
    """The largest budget predicted from the smaller ones, beside what was measured there.

    predicted: error by the chosen form. error: predicted - measured. rivals: the same for every form that took part,
    the chosen one too.
    """

    budget: int
    predicted: Estimate
    measured: float
    error: float
    rivals: dict[str, float]


@dataclass(frozen=True)
class Needed:
    """How many labels an error takes.

    value: None for 'more than `low`': the curve does not reach it within what can be said. high: None if the interval
    has no upper end there. The smallest measured budget stands for 'that or less'.
    """

    value: float | None
    low: float
    high: float | None


@dataclass(frozen=True)
class Fit:
    """A learning curve with its uncertainty.

    budgets: (k,) distinct, ascending. errors: (k,) as measured. form: chosen by the back-test; `last` says that the
    curve is flat as far as can be told. replicates: (R, ...) fitted numbers, a row for each replicate used; rows: (R,)
    which rows of the given replicates those were. offset, drift: (R,) what each replicate is off because forms are
    wrong: in error, and in error per e-fold of labels beyond the largest budget.
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
        """Largest number of labels that anything is said about."""
        return REACH * self.budgets[-1]

    def predict(self, n: float) -> Estimate:
        """Error at n labels with its 95 % interval.

        The interval has the noise of the measured points, by a refit for every bootstrap replicate, and the fault of
        the forms. Among the budgets that is the scatter of the points about the curve beyond their noise. Beyond the
        largest it is a drift: the back-test errors of all parametric forms (root mean square), in quadrature with the
        noise of the point they are compared with (an error of nought may be luck), are the standard deviation at the
        distance of the back-test, ln(largest / second largest), and grow in proportion to ln(n / largest). More labels
        are not taken to make errors rise, so the upper end is never above that at the largest budget.
        On synthetic curves of many shapes with 4 to 6 budgets such intervals held the truth 88 to 100 times of 100 at
        twice the largest budget, mostly more than 95, whether or not the shape is among the forms, and 86 to 94 times
        on flat curves; at 8 times it was the same. Without the drift it was 32 to 95 times.
        Raises CurveRefused below the smallest budget and beyond `largest`.
        """
        if n > self.largest:
            end = f"{REACH} times the largest measured budget, {self.largest:,} labels"
            raise CurveRefused(f"predictions end at {end}; {n:,.0f} is more")
        if n < self.budgets[0]:
            start = f"the smallest measured budget, {self.budgets[0]:,} labels"
            raise CurveRefused(f"predictions start at {start}; {n:,.0f} is less")
        return _estimate(float(self.curve.error(n)), self.paths(n)[:, 0])

    def labels_for(self, error: float) -> Needed:
        """Labels needed for that error, with a 95 % interval: where the paths of `predict` come down to it.

        An answer of the smallest budget means 'at most': nothing is said below it.
        """
        smallest, largest = float(self.budgets[0]), float(self.largest)
        low, high = percentile_interval(np.minimum(self.labels_by_replicate(error), NEVER))
        found = max(self.curve.labels(error), smallest)
        if found > largest:
            return Needed(None, min(low, largest), None)
        return Needed(found, min(low, found), max(high, found) if high <= largest else None)

    def labels_by_replicate(self, errors: ArrayLike) -> Floats:
        """(R,) labels at which each replicate comes down to its error, (R,) or one for all.

        inf where it does not within `largest`; never below the smallest budget.
        """
        knots = np.geomspace(self.budgets[0], self.largest, _GRID)
        return first_reach(knots, self.paths(knots), np.broadcast_to(errors, self.rows.shape))

    def paths(self, n: ArrayLike) -> Floats:
        """(R, m) error of each replicate, its offset and drift included, at m ascending numbers of labels."""
        at = np.atleast_1d(np.asarray(n, np.float64))
        end = float(self.budgets[-1])
        fitted = errors_at(self.form, self.replicates, np.array(self.budgets, np.float64), np.append(at, end))
        fitted += self.offset[:, None]
        beyond = np.maximum(np.log(at / end), 0)
        drifted = np.minimum(fitted[:, :-1] + self.drift[:, None] * beyond, fitted[:, -1:])
        paths = np.where(beyond > 0, drifted, fitted[:, :-1])
        return np.clip(np.minimum.accumulate(paths, axis=1), 0, 1)


def fit_learning_curve(budgets: ArrayLike, errors: ArrayLike, replicates: ArrayLike) -> Fit:
    """Choose a form by back-test, fit it to all points, and refit it to the bootstrap replicates.

    budgets: (k,) numbers of labels, in any order; points of the same budget are averaged. errors: (k,), from 0 to 1;
    above 1, which is worse than chance (an MCC below nought), they count as 1.
    replicates: (B, k) bootstrap replicates of the errors, rows joint; at most 200 of them, evenly spaced, are refitted.
    Points weigh one over the variance of their replicates.
    Raises CurveRefused for fewer than four different budgets, ValueError for numbers that make no sense.
    """
    n, measured, samples = _checked(budgets, errors, replicates)
    weights = 1 / _variances(samples)
    rivals = {form: float(held_out(form, n, measured, weights)[0] - measured[-1]) for form in entrants(len(n))}
    form = choose(rivals, samples)
    rows = np.linspace(0, len(samples) - 1, min(len(samples), _MOST_REPLICATES)).round().astype(np.intp)
    used = samples[rows]
    point, refits = fit_rows(form, n, measured, weights), fit_rows(form, n, used, weights)
    names = tuple(int(budget) for budget in n)
    predicted = _estimate(float(measured[-1] + rivals[form]), held_out(form, n, used, weights))
    first, second = _normal_scores(len(rows))
    return Fit(
        budgets=names,
        errors=tuple(measured.tolist()),
        form=form,
        curve=Curve(form, tuple(point[0].tolist()), names),
        replicates=refits,
        rows=rows,
        offset=first * misfit(form, point, n, measured, weights),
        drift=second * doubt(form, rivals, samples) / float(np.log(n[-1] / n[-2])),
        backtest=Backtest(names[-1], predicted, float(measured[-1]), rivals[form], rivals),
    )


def _checked(budgets: ArrayLike, errors: ArrayLike, replicates: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Distinct ascending budgets (k,), errors (k,) and replicates (B, k), equal budgets averaged."""
    n = np.asarray(budgets, np.float64)
    measured, samples = np.asarray(errors, np.float64), np.asarray(replicates, np.float64)
    if (different := len(np.unique(n))) < _FEWEST:
        raise CurveRefused(f"a learning curve needs at least {_FEWEST} different budgets; there are {different}")
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
    """(k,) variance of each point; the median for one that does not vary, and none below a tenth of that.

    No replicate differs where every answer is right, which does not make such a point certain.
    """
    variances = spread(samples) ** 2
    varies = variances > TINY**2
    usual = float(np.median(variances[varies])) if varies.any() else 1.0
    return np.asarray(np.maximum(np.where(varies, variances, usual), usual / 10), np.float64)


def _normal_scores(count: int) -> tuple[Floats, Floats]:
    """Two sets of `count` standard normal quantiles in unrelated orders, the same at every call."""
    scores = ndtri((np.arange(count) + 0.5) / count)
    generator = np.random.default_rng(0)
    return generator.permutation(scores), generator.permutation(scores)


def _estimate(value: float, samples: Floats) -> Estimate:
    low, high = percentile_interval(samples)
    return Estimate(value, min(low, value), max(high, value))
