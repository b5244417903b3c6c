"""Functional forms of learning curves, and their weighted least-squares fit to many curves at once.

Every parametric form is `floor + drop * decay(n)`: linear in its two levels, and curved in one or two shape parameters
only. So the levels are solved in closed form, inside their bounds, and the search is over the shape alone (variable
projection: Golub & Pereyra 1973, The Differentiation of Pseudo-Inverses and Nonlinear Least Squares Problems Whose
Variables Separate): a grid finds the valley, Levenberg-Marquardt its bottom. All curves move together as arrays, 0.1 to
0.4 ms a curve; scipy's `least_squares` takes 7 to 16 ms from one starting point to the same minimum.

Forms: Viering & Loog 2021, The Shape of Learning Curves: a Review (arXiv:2103.10948). POW4 and MMF4 do best in LCDB
(Mohr, Viering et al. 2022) and LCDB 1.1 (Yan et al. 2025, arXiv:2505.15657).

Knows formulas and least squares. Knows nothing of which form to choose, of intervals, or of what the errors are of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Differences in error below this are rounding, not learning.
TINY = 1e-12
_STEPS = 25
_GRID = {1: 24, 2: 10}


@dataclass(frozen=True)
class Form:
    """A parametric form.

    size: number of parameters. decay(n, shape): (..., k) falling towards 0 with n, for shape (..., s) and n broadcast
    against (..., k). inverse(decay, shape): the n at which it has fallen to `decay`, not above 0 if it always has.
    box(smallest, largest): (2, s) bounds of the logarithms of the shape.
    paper(row): the parameters of a fitted row under the names of the literature.
    """

    size: int
    decay: Callable[[Floats, Floats], Floats]
    inverse: Callable[[Floats, Floats], Floats]
    box: Callable[[float, float], Floats]
    paper: Callable[[Sequence[float]], dict[str, float]]


def fit_rows(name: str, budgets: Floats, errors: ArrayLike, weights: Floats) -> Floats:
    """Weighted least-squares fit of one form to many curves: non-increasing, within [0, 1] from the smallest budget on.

    budgets: (k,) ascending. errors: (r, k), a curve a row. weights: (k,) one over the variance of each point.
    Returns (r, 2 + s): floor, drop and shape of each curve, or (r, k) for `last`.
    """
    curves = np.atleast_2d(np.asarray(errors, np.float64))
    if name == "last":
        # Carried forward is the last level, not the last point: a final rise is noise where forms only come down.
        return pooled(curves, weights)
    form = FORMS[name]
    box = form.box(float(budgets[0]), float(budgets[-1]))
    solve = partial(_solve, form, budgets, weights / weights.sum())
    logs = _descend(solve, curves, _valley(solve, curves, box), box)
    floor, drop, _ = solve(curves, logs)
    shape = np.exp(logs)
    drop = drop / form.decay(budgets[:1], shape)[:, 0]
    return np.column_stack([floor, drop, shape])


def pooled(curves: Floats, weights: Floats) -> Floats:
    """Non-increasing weighted least-squares fit (isotonic regression): where errors rise by noise, points are averaged.

    curves: (r, k). weights: (k,). Returns (r, k). By the min-max formula of Robertson, Wright & Dykstra 1988, Order
    Restricted Statistical Inference, section 1.4: cheap, because there are few budgets.
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
    """(r, m) errors of r fitted curves at m numbers of labels; `last` is interpolated in log n and flat outside."""
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
    """(r,) numbers of labels at which each of r curves comes down to its error: (r,) or one for all.

    inf where it never does; 0 where it always has; `last` says nothing below its smallest budget and gives that.
    """
    goal = np.broadcast_to(np.asarray(errors, np.float64), rows.shape[:1])
    if name == "last":
        return first_reach(budgets, rows, goal)
    floor, drop = rows[:, 0], rows[:, 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = FORMS[name].inverse(((goal - floor) / drop)[:, None], rows[:, 2:])[:, 0]
    found = np.where(goal > floor, np.maximum(found, 0.0), np.inf)
    flat = drop * FORMS[name].decay(budgets[:1], rows[:, 2:])[:, 0] <= TINY
    return np.where(flat, np.where(goal >= floor - TINY, 0.0, np.inf), found)


def first_reach(knots: Floats, errors: Floats, goal: Floats) -> Floats:
    """(r,) first n at which curves given at knots, linear in log n between them, are down to their goal.

    knots: (k,) ascending. errors: (r, k) non-increasing. goal: (r,). inf where the last knot is above it; the first
    knot where that is down already.
    """
    down = errors <= goal[:, None] + TINY
    right = np.clip(down.argmax(axis=1), min(1, len(knots) - 1), None)
    each = np.arange(len(errors))
    above, below = errors[each, right - 1], errors[each, right]
    share = np.clip((above - goal) / np.maximum(above - below, TINY), 0, 1)
    logs = np.log(knots)
    found = np.exp(logs[right - 1] + share * (logs[right] - logs[right - 1]))
    return np.where(down[:, 0], knots[0], np.where(down.any(axis=1), found, np.inf))


def _solve(form: Form, budgets: Floats, weights: Floats, curves: Floats, logs: Floats) -> tuple[Floats, Floats, Floats]:
    """Best levels for given shapes: floor and drop down to it from the smallest budget (...,), weighted residuals."""
    decay = form.decay(budgets, np.exp(logs))
    decay = decay / decay[..., :1]
    floor, drop = _levels(decay, curves, weights)
    residuals = (floor[..., None] + drop[..., None] * decay - curves) * np.sqrt(weights)
    return floor, drop, residuals


def _levels(decay: Floats, curves: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Least squares of `floor + drop * decay` where floor >= 0, drop >= 0 and floor + drop <= 1: a triangle.

    The optimum is that without bounds, or else the best of the three edges (the problem is convex).
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
    """(r, s) the best point of a grid over the box, for each curve."""
    ticks = np.linspace(box[0], box[1], _GRID[box.shape[1]] + 2)[1:-1]
    grid = np.stack(np.meshgrid(*ticks.T, indexing="ij"), axis=-1).reshape(-1, box.shape[1])
    losses = (solve(curves[:, None], grid[None])[2] ** 2).sum(axis=-1)
    best: Floats = grid[losses.argmin(axis=1)]
    return best


def _descend(
    solve: Callable[[Floats, Floats], tuple[Floats, Floats, Floats]], curves: Floats, logs: Floats, box: Floats
) -> Floats:
    """Levenberg-Marquardt on the shape, all curves in step; (r, s) where each has come to."""
    s = logs.shape[1]
    residuals = solve(curves, logs)[2]
    losses = (residuals**2).sum(axis=1)
    damping = np.full(len(logs), 1e-2)
    for _ in range(_STEPS):
        nudged = (solve(curves, logs + 1e-6 * np.eye(s)[j])[2] for j in range(s))
        slopes = np.stack([(moved - residuals) / 1e-6 for moved in nudged], axis=-1)
        downhill = -np.einsum("rks,rk->rs", slopes, residuals)
        # A parameter at a bound that wants to go out stays there, and the others move without it.
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


# Bounds of the shapes. Half of the drop of `mmf4` must lie within the budgets: else flat points leave room for a cliff
# just beyond them (errors at 8 times the largest budget were off by 0.155 on flat curves, by 0.013 with the bound). The
# offset of `pow4` ends at twice the largest budget: farther out it is an exponential, and predicts up to a tenth worse.
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
