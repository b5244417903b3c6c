"""Tables of the predictions of learning curves for more labels, with the error of their back-test."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import shown_difference, shown_value
from kit.reporting.formatting import is_share, labels, predicted, title
from kit.reporting.text_tables import EMPTY, Table, TableCell, columns, text_cell
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.curve import Fit
    from kit.analysis.findings import Findings

_MULTIPLES = (2, 4, 8)  # of the largest budget
_TARGETS = 4
_STEPS = ((0.1, 0.01), (0.3, 0.02), (1.0, 0.05))  # (maximum error of the best mean, step between targets)


def ahead(findings: Findings) -> Table:
    """Return the predictions of each curve for 2, 4 and 8 times the largest budget."""
    rows = [
        (
            text_cell(series.name, _form(series.fit, findings.metric)),
            back_test(series.fit, findings.metric),
            *(_at(series.fit, times, findings.metric) for times in _MULTIPLES),
        )
        for series in findings.series
        if series.fit
    ]
    caption = (
        f"{title(findings.metric)} predicted for more labels. The back-test error is that of a prediction which can be "
        "checked: the largest budget, predicted from the smaller ones."
    )
    names = ("Variant", "Back-test error#", *(f"{times} times the labels#" for times in _MULTIPLES))
    return Table(caption, columns(*names), tuple(rows))


def needed(findings: Findings) -> Table:
    """Return the labels that each variant needs for round targets above the best mean."""
    target_values = targets(findings)
    rows = [
        (
            text_cell(series.name),
            replace(back_test(series.fit, findings.metric), note=""),
            *(_labels_for(series.fit, target) for target in target_values),
        )
        for series in findings.series
        if series.fit
    ]
    names = (
        "Variant",
        "Back-test error#",
        *(f"for {shown_value(findings.metric, target)}#" for target in target_values),
    )
    caption = (
        f"Labels needed to reach each value of {title(findings.metric)} according to the curves: estimate and 95 % "
        "interval, up to 8 times the largest budget."
    )
    return Table(caption, columns(*names), tuple(rows))


def refusals(findings: Findings) -> Table:
    """Return the variants without predictions, with the reason."""
    rows = [
        (text_cell(series.name), text_cell(series.refusal or "no learning curve was fitted"))
        for series in findings.series
        if not series.fit
    ]
    return Table("Variants without predictions.", columns("Variant", "Reason"), tuple(rows))


def back_test(fit: Fit, metric: str) -> TableCell:
    """Return the error of a curve at the largest budget, predicted from the smaller ones."""
    test = fit.backtest
    prediction = shown(metric, Estimate(1 - test.predicted.value, 1 - test.predicted.high, 1 - test.predicted.low))
    note = f"{prediction} predicted for {test.budget:,} labels, {shown_value(metric, 1 - test.measured)} measured"
    return TableCell(shown_difference(metric, abs(test.error)), note, abs(test.error))


def targets(findings: Findings) -> list[float]:
    """Return round values of the metric, the first just above the best measured mean."""
    measured = [point.estimate.value for series in findings.series for point in series.points]
    if not measured:
        return []
    best = max(measured)
    step = next((step for max_error, step in _STEPS if 1 - best <= max_error), _STEPS[-1][1])
    first = math.floor(best / step + 1e-9) + 1
    values = [round((first + index) * step, 6) for index in range(_TARGETS)]
    ceiling = 1.0 if is_share(findings.metric) else math.inf
    return [target for target in values if target < ceiling]


def _form(fit: Fit, metric: str) -> str:
    """Return the form of a curve, with the back-test errors of the other forms."""
    others = [
        f"{plain(name)} {shown_difference(metric, abs(error))}"
        for name, error in fit.backtest.rivals.items()
        if name != fit.form
    ]
    return f"{fit.form}; back-test error of other forms: {', '.join(others)}" if others else fit.form


def _at(fit: Fit, times: int, metric: str) -> TableCell:
    n = times * max(fit.budgets)
    estimate = predicted(fit, n) if n <= fit.largest * (1 + 1e-9) else None
    return EMPTY if estimate is None else TableCell(shown(metric, estimate), f"{n:,} labels", estimate.value)


def _labels_for(fit: Fit, target: float) -> TableCell:
    needed_labels = fit.labels_for(1 - target)
    if needed_labels.value is None and fit.form == "last":
        return TableCell("unknown", "the curve does not predict the effect of more labels", math.inf)
    if needed_labels.value is None:
        return TableCell(f"more than {fit.largest:,}", f"interval starts at {labels(needed_labels.low)}", math.inf)
    if needed_labels.value <= fit.budgets[0]:
        return TableCell(f"at most {labels(needed_labels.value)}", "the smallest budget", needed_labels.value)
    high = "no upper limit" if needed_labels.high is None else labels(needed_labels.high)
    return TableCell(labels(needed_labels.value), f"{labels(needed_labels.low)} to {high}", needed_labels.value)
