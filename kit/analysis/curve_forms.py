"""Functional forms of learning curves, and their weighted least-squares fit to many curves at once.

Every parametric form is `floor + drop * decay(n)`: linear in its two levels and non-linear in one or two shape
parameters. The levels are solved in closed form within their bounds, and only the shape is searched (variable
projection: Golub & Pereyra 1973, The Differentiation of Pseudo-Inverses and Nonlinear Least Squares Problems Whose
Variables Separate): a grid finds the start, Levenberg-Marquardt the minimum. All curves are fitted together as arrays,
in 0.1 to 0.4 ms per curve; scipy's `least_squares` takes 7 to 16 ms from one starting point to the same minimum.

Forms: Viering & Loog 2021, The Shape of Learning Curves: a Review (arXiv:2103.10948). POW4 and MMF4 do best in LCDB
(Mohr, Viering et al. 2022) and LCDB 1.1 (Yan et al. 2025, arXiv:2505.15657).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from kit.measurement.logits import Floats

# Differences in error below this value are rounding errors.
TINY = 1e-12
_STEPS = 25
_GRID = {1: 24, 2: 10}


@dataclass(frozen=True)
class Form:
    """A parametric form.

    Attributes:
        size: Number of parameters.
        decay: decay(n, shape) falls towards 0 with n: (..., k) for shape (..., s) and n broadcast against (..., k).
        inverse: inverse(decay, shape) is the n at which the form has fallen to `decay`; at most 0 if it always has.
        box: box(smallest, largest) is (2, s) bounds of the logarithms of the shape.
        paper: paper(row) is the parameters of a fitted row by their names in the literature.
    """

    size: int
    decay: Callable[[Floats, Floats], Floats]
    inverse: Callable[[Floats, Floats], Floats]
    box: Callable[[float, float], Floats]
    paper: Callable[[Sequence[float]], dict[str, float]]


def fit_rows(name: str, budgets: Floats, errors: ArrayLike, weights: Floats) -> Floats:
    """Fit one form to many curves by weighted least squares: non-increasing, within [0, 1] from the smallest budget on.

    Args:
        name: Name of the form.
        budgets: (k,) ascending budgets.
        errors: (r, k) errors, one curve per row.
        weights: (k,) inverse variances of the points.

    Returns:
        (r, 2 + s) floor, drop and shape of each curve, or (r, k) for `last`.
    """
    curves = np.atleast_2d(np.asarray(errors, np.float64))
    if name == "last":
        # `last` carries the last fitted level forward, not the last point: forms never rise, so a final rise is noise.
        return pooled(curves, weights)
    form = FORMS[name]
    box = form.box(float(budgets[0]), float(budgets[-1]))
    solve = partial(_solve, form, budgets, weights / weights.sum())
    logs = _descend(solve, curves, _valley(solve, curves, box), box=box)
    floor, drop, _ = solve(curves, logs)
    shape = np.exp(logs)
    drop = drop / form.decay(budgets[:1], shape)[:, 0]
    return np.column_stack([floor, drop, shape])


def pooled(curves: Floats, weights: Floats) -> Floats:
    """Fit a non-increasing curve by weighted least squares (isotonic regression), averaging points that rise by noise.

    Uses the min-max formula of Robertson, Wright & Dykstra 1988, Order Restricted Statistical Inference, section 1.4,
    which is cheap for few budgets.

    Args:
        curves: (r, k) errors.
        weights: (k,) weights.

    Returns:
        (r, k) fitted errors.
    """
    k = curves.shape[1]
    start = np.zeros((len(curves), 1))
    sums = np.hstack([start, np.cumsum(curves * weights, axis=1)])
    totals = np.append(0.0, np.cumsum(weights))
    fitted = np.empty_like(curves)
    for i in range(k):
        highest = [
            ((sums[:, i + 1 :] - sums[:, a, None]) / (totals[i + 1 :] - totals[a])).max(axis=1) for a in range(i + 1)
        ]
        fitted[:, i] = np.min(highest, axis=0)
    return fitted


def errors_at(name: str, rows: Floats, budgets: Floats, n: ArrayLike) -> Floats:
    """Return (r, m) errors of r curves at m numbers of labels; `last` is linear in log n and flat outside."""
    at = np.asarray(n, np.float64)
    if name != "last":
        fitted: Floats = rows[:, :1] + rows[:, 1:2] * FORMS[name].decay(at, rows[:, 2:])
        return fitted
    knots, logs = np.log(budgets), np.log(at)
    left = np.clip(np.searchsorted(knots, logs) - 1, 0, len(knots) - 2)
    share = np.clip((logs - knots[left]) / (knots[left + 1] - knots[left]), 0, 1)
    between: Floats = rows[:, left] * (1 - share) + rows[:, left + 1] * share
    return between


def labels_at(name: str, rows: Floats, budgets: Floats, errors: ArrayLike) -> Floats:
    """Return (r,) numbers of labels at which each of r curves reaches its error: (r,) or one error for all.

    inf if a curve never reaches it and 0 if it is always below; `last` returns its smallest budget instead of 0.
    """
    target = np.broadcast_to(np.asarray(errors, np.float64), rows.shape[:1])
    if name == "last":
        return first_reach(budgets, rows, target)
    floor, drop = rows[:, 0], rows[:, 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        labels = FORMS[name].inverse(((target - floor) / drop)[:, None], rows[:, 2:])[:, 0]
    labels = np.where(target > floor, np.maximum(labels, 0.0), np.inf)
    flat = drop * FORMS[name].decay(budgets[:1], rows[:, 2:])[:, 0] <= TINY
    return np.where(flat, np.where(target >= floor - TINY, 0.0, np.inf), labels)


def first_reach(knots: Floats, errors: Floats, target: Floats) -> Floats:
    """Return (r,) the first n at which curves, linear in log n between knots, reach their target.

    Args:
        knots: (k,) ascending numbers of labels.
        errors: (r, k) non-increasing errors at the knots.
        target: (r,) error to reach, per curve.

    Returns:
        (r,) inf if the last knot is above the target, the first knot if that has reached it.
    """
    down = errors <= target[:, None] + TINY
    right = np.clip(down.argmax(axis=1), min(1, len(knots) - 1), None)
    curve = np.arange(len(errors))
    above, below = errors[curve, right - 1], errors[curve, right]
    share = np.clip((above - target) / np.maximum(above - below, TINY), 0, 1)
    logs = np.log(knots)
    labels = np.exp(logs[right - 1] + share * (logs[right] - logs[right - 1]))
    return np.where(down[:, 0], knots[0], np.where(down.any(axis=1), labels, np.inf))


def _solve(form: Form, budgets: Floats, weights: Floats, curves: Floats, logs: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the best levels for given shapes: floor, drop from the smallest budget (...,) and weighted residuals."""
    decay = form.decay(budgets, np.exp(logs))
    decay = decay / decay[..., :1]
    floor, drop = _levels(decay, curves, weights)
    residuals = (floor[..., None] + drop[..., None] * decay - curves) * np.sqrt(weights)
    return floor, drop, residuals


def _levels(decay: Floats, curves: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Solve least squares of `floor + drop * decay` in the triangle floor >= 0, drop >= 0, floor + drop <= 1.

    The optimum is the unbounded one if it is inside, or else the best on the three edges (the problem is convex).
    """
    g, gg, e = decay @ weights, (decay**2) @ weights, curves @ weights
    ge = np.einsum("...k,...k,k->...", decay, curves, weights)
    drop = (ge - g * e) / np.maximum(gg - g * g, TINY)
    floor = e - drop * g
    inside = (floor >= 0) & (drop >= 0) & (floor + drop <= 1)
    if inside.all():
        return floor, drop
    lift = np.clip((e - g - ge + gg) / np.maximum(1 - 2 * g + gg, TINY), 0, 1)
    no_floor, no_drop = np.clip(ge / gg, 0, 1), np.clip(e + 0 * g, 0, 1)
    floors = np.stack([0 * no_floor, no_drop, lift])
    drops = np.stack([no_floor, 0 * no_drop, 1 - lift])
    loss = floors**2 + 2 * floors * drops * g + drops**2 * gg - 2 * floors * e - 2 * drops * ge
    best = loss.argmin(axis=0)[None]
    edge_floor, edge_drop = (np.take_along_axis(edge, best, axis=0)[0] for edge in (floors, drops))
    return np.where(inside, floor, edge_floor), np.where(inside, drop, edge_drop)


def _valley(solve: Callable[[Floats, Floats], tuple[Floats, Floats, Floats]], curves: Floats, box: Floats) -> Floats:
    """Return the (r, s) best grid point in the box for each curve."""
    ticks = np.linspace(box[0], box[1], _GRID[box.shape[1]] + 2)[1:-1]
    grid = np.stack(np.meshgrid(*ticks.T, indexing="ij"), axis=-1).reshape(-1, box.shape[1])
    losses = (solve(curves[:, None], grid[None])[2] ** 2).sum(axis=-1)
    best: Floats = grid[losses.argmin(axis=1)]
    return best


def _descend(
    solve: Callable[[Floats, Floats], tuple[Floats, Floats, Floats]], curves: Floats, logs: Floats, box: Floats
) -> Floats:
    """Run Levenberg-Marquardt on the shapes of all curves in step, and return their (r, s) logarithms."""
    s = logs.shape[1]
    residuals = solve(curves, logs)[2]
    losses = (residuals**2).sum(axis=1)
    damping = np.full(len(logs), 1e-2)
    for _ in range(_STEPS):
        nudged = (solve(curves, logs + 1e-6 * np.eye(s)[j])[2] for j in range(s))
        slopes = np.stack([(moved - residuals) / 1e-6 for moved in nudged], axis=-1)
        downhill = -np.einsum("rks,rk->rs", slopes, residuals)
        # A parameter at a bound that would leave the box stays there, and the others move without it.
        pinned = ((logs <= box[0]) & (downhill < 0)) | ((logs >= box[1]) & (downhill > 0))
        slopes, downhill = np.where(pinned[:, None], 0, slopes), np.where(pinned, 0, downhill)
        normal = np.einsum("rks,rkt->rst", slopes, slopes)
        ridge = damping[:, None] * np.einsum("rss->rs", normal) + 1e-18
        step = np.linalg.solve(normal + ridge[:, :, None] * np.eye(s), downhill[..., None])[..., 0]
        tried = np.clip(logs + np.clip(step, -2, 2), box[0], box[1])
        tried_residuals = solve(curves, tried)[2]
        tried_losses = (tried_residuals**2).sum(axis=1)
        better = tried_losses < losses
        gained = np.max(np.where(better, losses - tried_losses, 0) / (losses + TINY**2))
        logs, residuals = np.where(better[:, None], tried, logs), np.where(better[:, None], tried_residuals, residuals)
        losses, damping = np.where(better, tried_losses, losses), np.where(better, damping / 5, damping * 5)
        if gained < 1e-9 and not better.any():
            break
    return logs


# Bounds of the shapes. Half of the drop of `mmf4` must lie within the budgets: otherwise flat points allow a cliff just
# beyond them (errors at 8 times the largest budget were off by 0.155 on flat curves, by 0.013 with the bound). The
# offset of `pow4` is at most twice the largest budget: beyond, it is an exponential and predicts up to a tenth worse.
FORMS: dict[str, Form] = {
    "pow4": Form(
        size=4,
        decay=lambda n, shape: (n + shape[..., 1:]) ** -shape[..., :1],
        inverse=lambda decay, shape: decay ** (-1 / shape[..., :1]) - shape[..., 1:],
        box=lambda smallest, largest: np.log([[0.02, 0.01 * smallest], [12.0, 2 * largest]]),
        paper=lambda row: {"a": row[1], "b": row[2], "c": row[0], "d": row[3]},
    ),
    "mmf4": Form(
        size=4,
        # shape: half-way point m and steepness d; the literature's b is m^d.
        decay=lambda n, shape: 1 / (1 + (n / shape[..., :1]) ** shape[..., 1:]),
        inverse=lambda decay, shape: shape[..., :1] * np.maximum(1 / decay - 1, 0) ** (1 / shape[..., 1:]),
        box=lambda smallest, largest: np.log([[0.01 * smallest, 0.05], [largest, 4.0]]),
        paper=lambda row: {"a": row[0] + row[1], "b": row[2] ** row[3], "c": row[0], "d": row[3]},
    ),
    "pow3": Form(
        size=3,
        decay=lambda n, shape: n ** -shape[..., :1],
        inverse=lambda decay, shape: decay ** (-1 / shape[..., :1]),
        box=lambda smallest, largest: np.log([[0.02], [8.0]]),
        paper=lambda row: {"a": row[1], "b": row[2], "c": row[0]},
    ),
}
