"""Predictions: what learning curves say about labels not bought yet, each beside the error of such a prediction.

Knows fits and words. Knows nothing of HTML, Markdown or charts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import shown_difference, shown_value
from kit.reporting.formatting import is_share, labels, plain, predicted, title
from kit.reporting.study_tables import EMPTY, Cell, Table, columns, text_cell

if TYPE_CHECKING:
    from kit.analysis.curve import Fit
    from kit.analysis.findings import Findings

_AHEAD = (2, 4, 8)  # times the largest budget
_TARGETS = 4
_STEPS = ((0.1, 0.01), (0.3, 0.02), (1.0, 0.05))  # error at most, step of targets


def ahead(findings: Findings) -> Table:
    """What each curve predicts for 2, 4 and 8 times the largest budget."""
    rows = [
        (
            text_cell(each.name, _form(each.fit, findings.metric)),
            back_test(each.fit, findings.metric),
            *(_at(each.fit, times, findings.metric) for times in _AHEAD),
        )
        for each in findings.series
        if each.fit
    ]
    caption = (
        f"{title(findings.metric)} predicted for more labels, with the error of the same prediction where the truth is "
        "known: the largest budget, predicted from the smaller ones."
    )
    names = ("Method", "Back-test: off by#", *(f"{times} times the labels#" for times in _AHEAD))
    return Table(caption, columns(*names), tuple(rows))


def needed(findings: Findings) -> Table:
    """How many labels each method needs for round targets from the best measured metric upwards."""
    wanted = targets(findings)
    rows = [
        (
            text_cell(each.name),
            replace(back_test(each.fit, findings.metric), note=""),
            *(_labels_for(each.fit, target) for target in wanted),
        )
        for each in findings.series
        if each.fit
    ]
    names = ("Method", "Back-test: off by#", *(f"for {shown_value(findings.metric, target)}#" for target in wanted))
    caption = (
        f"Labels needed to reach each {title(findings.metric)}, as far as the curves say: estimate and 95 % interval. "
        "They are asked no further than 8 times the largest budget."
    )
    return Table(caption, columns(*names), tuple(rows))


def refusals(findings: Findings) -> Table:
    """Which methods have no prediction, and why."""
    rows = [
        (text_cell(each.name), text_cell(each.refusal or "no learning curve was fitted"))
        for each in findings.series
        if not each.fit
    ]
    return Table("Not predicted, and why.", columns("Method", "Reason"), tuple(rows))


def back_test(fit: Fit, metric: str) -> Cell:
    """How far off the curve was at the largest budget when it had seen the smaller ones only."""
    test = fit.backtest
    guess = shown(metric, Estimate(1 - test.predicted.value, 1 - test.predicted.high, 1 - test.predicted.low))
    note = f"{guess} predicted for {test.budget:,} labels, {shown_value(metric, 1 - test.measured)} measured"
    return Cell(shown_difference(metric, abs(test.error)), note, abs(test.error))


def targets(findings: Findings) -> list[float]:
    """Round values of the metric, the first just above the best that was measured."""
    measured = [point.estimate.value for each in findings.series for point in each.points]
    if not measured:
        return []
    best = max(measured)
    step = next((step for most, step in _STEPS if 1 - best <= most), _STEPS[-1][1])
    first = math.floor(best / step + 1e-9) + 1
    found = [round((first + index) * step, 6) for index in range(_TARGETS)]
    ceiling = 1.0 if is_share(findings.metric) else math.inf
    return [target for target in found if target < ceiling]


def _form(fit: Fit, metric: str) -> str:
    """The form of a curve, and what the others would have been off by."""
    others = [
        f"{plain(name)} {shown_difference(metric, abs(off))}"
        for name, off in fit.backtest.rivals.items()
        if name != fit.form
    ]
    return f"{fit.form}; off by, of other forms: {', '.join(others)}" if others else fit.form


def _at(fit: Fit, times: int, metric: str) -> Cell:
    n = times * max(fit.budgets)
    found = predicted(fit, n) if n <= fit.largest * (1 + 1e-9) else None
    return EMPTY if found is None else Cell(shown(metric, found), f"{n:,} labels", found.value)


def _labels_for(fit: Fit, target: float) -> Cell:
    found = fit.labels_for(1 - target)
    if found.value is None and fit.form == "last":
        return Cell("not known", "the curve does not say what more labels bring", math.inf)
    if found.value is None:
        return Cell(f"more than {fit.largest:,}", f"interval from {labels(found.low)}", math.inf)
    if found.value <= fit.budgets[0]:
        return Cell(f"at most {labels(found.value)}", "the smallest budget", found.value)
    high = "no upper end" if found.high is None else labels(found.high)
    return Cell(labels(found.value), f"{labels(found.low)} to {high}", found.value)
