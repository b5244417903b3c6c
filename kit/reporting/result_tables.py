"""Tables of the results of a study: means, comparisons, and the value of pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kit.analysis.headline_worth import scratch_backtest
from kit.analysis.significance import MIN_SEEDS
from kit.measurement.intervals import shown
from kit.measurement.units import OF_HUNDRED, shown_difference, shown_value
from kit.reporting.formatting import NOTHING, difference, p_value, title
from kit.reporting.text_tables import EMPTY, Table, TableCell, columns, text_cell
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.comparison import Comparison
    from kit.analysis.findings import Findings
    from kit.analysis.points import Point


_MAX_PAIRS = 60  # in the table; the CSV file has all


def means(findings: Findings) -> Table:
    """Return the mean, interval, number and spread of seeds; a row per variant and baseline, a column per budget."""
    return _means(findings, findings.metric, {series.name: series.points for series in findings.series})


def other_means(findings: Findings) -> tuple[Table, ...]:
    """Return the table of means of each secondary metric."""
    names = dict.fromkeys(name for series in findings.series for name in series.others)
    return tuple(
        _means(findings, name, {series.name: series.others.get(name, ()) for series in findings.series})
        for name in names
    )


def _means(findings: Findings, metric: str, points: Mapping[str, Sequence[Point]]) -> Table:
    budgets = sorted({point.budget for measured in points.values() for point in measured})
    rows = []
    for name, measured in points.items():
        by_budget = {point.budget: point for point in measured}
        rows.append((text_cell(name), *(_mean_cell(metric, by_budget.get(budget)) for budget in budgets)))
    baselines = findings.baselines
    always = " and ".join(f"“{plain(label)}”" for label in baselines.labels) or "no label"
    notes = (
        ("a uniform random guess", f"always {always}") if baselines.number is None else ("of the training labels",) * 2
    )
    for (name, values), note in zip(baselines.by_name.items(), notes, strict=True):
        if metric in values:
            cell = TableCell(shown_value(metric, values[metric]), key=values[metric])
            rows.append((text_cell(name, note), *(cell for _ in budgets)))
    caption = (
        f"{title(metric)} by variant and number of labels: mean over seeds, 95 % interval over seeds and test "
        "examples, number of seeds, and standard deviation (sd) over seeds."
    )
    return Table(caption, columns("Variant", *(f"{budget:,} labels#" for budget in budgets)), tuple(rows))


def _mean_cell(metric: str, point: Point | None) -> TableCell:
    if point is None:
        return EMPTY
    spread = "" if point.seed_sd is None else f", sd {shown_difference(metric, point.seed_sd)}"
    count = len(point.runs)
    note = f"{count} seed{'s' if count > 1 else ''}{spread}"
    return TableCell(shown(metric, point.estimate), note, point.estimate.value)


def comparisons(findings: Findings) -> Table:
    """Return compared pairs with both tests; of many pairs, those with the best variant."""
    has_mcnemar = (
        findings.metric not in OF_HUNDRED
    )  # it counts correct predictions, and translations are rarely correct or wrong
    pairs, restriction = _pairs_to_show(findings)
    rows = [
        (
            text_cell(f"{comparison.a} against {comparison.b}", comparison.line),
            TableCell(f"{comparison.budget:,}", key=comparison.budget),
            TableCell(difference(findings.metric, comparison.difference), key=comparison.difference.value),
            _p_cell(comparison, has_mcnemar),
            TableCell(str(comparison.seeds), key=comparison.seeds),
            TableCell(comparison.judgement.words),
        )
        for comparison in sorted(pairs, key=lambda comparison: (not comparison.tested, comparison.p_holm))
    ]
    names = ("Pair", "Labels#", "Difference#", "p (Holm)#", "Paired seeds#", "Verdict")
    caption = (
        f"{restriction} at the largest budget that both have, on the same test examples. Significance is that of a "
        "bootstrap test over seeds and test examples, with Holm's correction for all tested comparisons. The test "
        f"needs {MIN_SEEDS} paired seeds; pairs with fewer are not tested."
    )
    if has_mcnemar:
        caption += " McNemar's test compares the trained models themselves and ignores the variance between seeds."
    return Table(caption, columns(*names), tuple(rows))


def _pairs_to_show(findings: Findings) -> tuple[Sequence[Comparison], str]:
    """Return the comparisons to show, and the start of a caption about them."""
    count = len(findings.comparisons)
    if count <= _MAX_PAIRS:
        return findings.comparisons, "Each pair of variants"
    best = max(
        (series for series in findings.series if series.points),
        key=lambda series: (series.points[-1].budget, series.points[-1].estimate.value),
    )
    pairs = [comparison for comparison in findings.comparisons if best.name in (comparison.a, comparison.b)]
    oriented = [pair if pair.a == best.name else pair.swapped() for pair in pairs]
    return oriented, (
        f"The pairs with {plain(best.name)}, which has the highest mean at the largest budget; all {count:,} pairs are "
        "in comparisons.csv. Pairs are compared"
    )


def _p_cell(comparison: Comparison, has_mcnemar: bool) -> TableCell:
    """Return the corrected p value with the uncorrected ones as a note; no p value if the pair was not tested."""
    mcnemar = f"McNemar {p_value(comparison.p_mcnemar)}" if has_mcnemar else ""
    if not comparison.tested:
        return TableCell(NOTHING, mcnemar)
    notes = [f"bootstrap {p_value(comparison.p_bootstrap)}", mcnemar]
    return TableCell(p_value(comparison.p_holm), ", ".join(note for note in notes if note), comparison.p_holm)


def source_comparisons(findings: Findings) -> Table:
    """Return what each compressed model and student keeps of the model that it is made from."""
    rows = []
    for compared in findings.against_sources:
        retained, calibration = compared.retained, compared.calibration
        rows.append(
            (
                text_cell(compared.series, f"{compared.undone} undone by the gate" if compared.undone else ""),
                text_cell(compared.source),
                TableCell(f"{compared.budget:,}", key=compared.budget),
                TableCell(difference(findings.metric, compared.change.difference), compared.change.judgement.words),
                EMPTY if retained is None else TableCell(retained.format(percent=True), key=retained.value),
                TableCell(compared.agreement.format(percent=True), key=compared.agreement.value),
                EMPTY if calibration is None else TableCell(difference("ece", calibration), key=calibration.value),
                TableCell(str(compared.seeds), key=compared.seeds),
            )
        )
    caption = (
        "Compressed models and students against the models that they are made from, on the same test examples and "
        "seeds: change of the metric, retained share of it, test examples with the same prediction, and change of the "
        "expected calibration error. Where the gate undid steps, the cell has the model without them."
    )
    names = (
        "Variant", "Made from", "Labels#", "Change#", "Retained#", "Same predictions#", "Calibration error#",
        "Paired seeds#",
    )  # fmt: skip
    return Table(caption, columns(*names), tuple(rows))


def pretraining_value(findings: Findings) -> Table:
    """Return how many times as many labels training from scratch needs to match each pretrained variant."""
    rows = []
    for transfer in findings.worth:
        if transfer.times is None:
            # A bound below 1 is not informative: training from scratch may be as good.
            times, interval = (f"more than {transfer.low:.3g}" if transfer.low >= 1 else "unknown"), NOTHING
        else:
            times = f"{transfer.times:.3g}"
            upper = "or more" if transfer.high is None else f"to {transfer.high:.3g}"
            interval = f"{transfer.low:.3g} {upper}"
        rows.append(
            (
                text_cell(transfer.series),
                TableCell(f"{transfer.budget:,}", key=transfer.budget),
                TableCell(times, key=transfer.low if transfer.times is None else transfer.times),
                TableCell(interval, key=transfer.low),
            )
        )
    caption = "How many times as many labels training from scratch needs to match the pretrained checkpoint."
    if source := scratch_backtest(findings.series):
        caption += f" The numbers for training from scratch were found {source} labels, where the truth is known."
    return Table(caption, columns("Variant", "Labels#", "Times as many#", "95 % interval#"), tuple(rows))
