"""Headline of a study in sentences: the best method, the gain from more labels, the worth of pretraining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kit.analysis.comparison import Comparison, compare
from kit.analysis.curve import CurveRefused
from kit.analysis.findings import Series
from kit.analysis.frontier import weight
from kit.analysis.points import Point, metric_of, point
from kit.analysis.pretraining_value import Transfer
from kit.analysis.significance import Judgement, Result, requirement
from kit.analysis.source_comparison import SourceComparison
from kit.analysis.wording import joined
from kit.measurement.intervals import shown
from kit.measurement.units import shown_difference
from kit.runtime.quantities import percent

FORM_NAMES = {
    "pow3": "power law with offset",
    "pow4": "shifted power law with offset",
    "mmf4": "Morgan-Mercer-Flodin curve",
    "last": "as at the last budget: these budgets do not show what more labels would give",
}
_NEXT = 2  # the headline predicts the metric at this multiple of the largest budget


def headline(
    series: Sequence[Series],
    comparisons: Sequence[Comparison],
    worth: Sequence[Transfer],
    metric: str,
    against_sources: Sequence[SourceComparison] = (),
) -> tuple[str, ...]:
    """Return the headline of a report, most important sentence first.

    The result is empty if no cell has finished.
    """
    measured = [candidate for candidate in series if candidate.points]
    if not measured:
        return ()
    largest = _compared(measured)
    at_largest = [(candidate, p) for candidate in measured for p in candidate.points if p.budget == largest]
    best, best_point = max(at_largest, key=_best_first)
    of_best = [one for one in comparisons if best.name in (one.a, one.b) and one.budget == largest]
    beside = best.beside(largest)
    value = f"{metric} {shown(metric, best_point.estimate)}" + (f", {beside}" if beside else "")
    lead = "Best" if all(comparison.significant for comparison in of_best) else "Highest mean"
    sentences = [
        f"{lead} at {largest:,} labels: {best.name}, {value} (mean of {_seeds(best_point)}).",
        *_rivals(best, of_best),
        *_small_budget(measured, largest, metric),
        *_more_labels(best, metric),
        *_worth(worth, series),
        *_kept([one for one in against_sources if one.budget == largest], measured),
    ]
    return tuple(sentences)


def _compared(series: Sequence[Series]) -> int:
    """Return the largest of the budgets that the most series have measured."""
    counts = Counter(measured.budget for candidate in series for measured in candidate.points)
    return max(counts, key=lambda budget: (counts[budget], budget))


def _best_first(pair: tuple[Series, Point]) -> tuple[float, float, float]:
    """Return the sort key of a point: highest metric, then lower latency, then smaller size."""
    series, point = pair
    latency, size = weight(series.speed.p50_ms if series.speed else None, point.model_bytes)
    return point.estimate.value, -latency, -size


def _rivals(best: Series, comparisons: Sequence[Comparison]) -> list[str]:
    """Return comparisons of the best method with the others, one sentence per outcome of the test."""
    groups: dict[Judgement, list[str]] = {}
    for comparison in comparisons:
        oriented = comparison if comparison.a == best.name else comparison.swapped()
        other = oriented.b if oriented.significant else f"{oriented.b} ({oriented.size})"
        groups.setdefault(oriented.judgement, []).append(other)
    order = list(Result)
    return [_rivals_line(groups[key], key) for key in sorted(groups, key=lambda key: order.index(key.result))]


def _rivals_line(others: Sequence[str], judgement: Judgement) -> str:
    """Return the sentence about the methods whose tests had the same outcome."""
    match judgement.result:
        case Result.SIGNIFICANT:
            return f"It is significantly better than {joined(others)} there."
        case Result.NOT_SIGNIFICANT:
            return f"No significant difference there from {joined(others)}."
        case Result.NOT_AFTER_CORRECTION:
            return f"Not significant after correction for all comparisons: its lead over {joined(others)}."
        case Result.BORDERLINE:
            return f"Close to significance, but not significant there: its lead over {joined(others)}."
        case _:
            return f"Its lead over {joined(others)} is not tested: {judgement.reason}; {requirement()}."


def _small_budget(series: Sequence[Series], largest: int, metric: str) -> list[str]:
    """Return the method with the highest mean at the smallest budget, if there are several budgets and methods."""
    first = [(candidate, candidate.points[0]) for candidate in series]
    smallest = min(measured.budget for _, measured in first)
    if smallest == largest:
        return []
    rivals = [pair for pair in first if pair[1].budget == smallest]
    if len(rivals) == 1:
        return []
    best, best_point = max(rivals, key=_best_first)
    return [f"With {smallest:,} labels the highest mean is that of {best.name}, {shown(metric, best_point.estimate)}."]


def _more_labels(best: Series, metric: str) -> list[str]:
    """Return the gain from the last step of budgets, and the prediction at twice the largest with its error."""
    sentences = []
    if len(best.points) > 1:
        before, last = best.points[-2:]
        sentences += _last_gain(best.name, before, last, metric=metric)
    if best.fit is None:
        return [*sentences, f"The gain from more labels is not predicted: {best.refusal}"]
    ahead = _NEXT * best.points[-1].budget
    try:
        predicted = metric_of(best.fit.predict(ahead))
    except CurveRefused as refusal:
        return [*sentences, f"The gain from more labels is not predicted: {refusal}"]
    test = best.fit.backtest
    improves = predicted.value >= best.points[-1].estimate.value
    where = "reach" if improves else "be, no higher than measured so far, at"
    return [
        *sentences,
        f"With {ahead:,} labels it is predicted to {where} {shown(metric, predicted)} ({FORM_NAMES[best.fit.form]}); "
        f"such a prediction was off by "
        f"{shown_difference(metric, test.error)} at {test.budget:,} labels, where the truth is known.",
    ]


def _last_gain(name: str, before: Point, last: Point, metric: str) -> list[str]:
    """Return the gain from the second largest to the largest budget, with its interval."""
    shared = {run.seed for run in before.runs} & {run.seed for run in last.runs}
    if not shared:
        return []
    first, second = (point(0, [run for run in p.runs if run.seed in shared], metric) for p in (before, last))
    gain = compare([("after", second, "before", first)])[0]
    if gain.difference.low <= 0 <= gain.difference.high:
        change = f"changed by {gain.size}"
    elif gain.difference.value > 0:
        change = f"gained {gain.size.removeprefix('+')}"
    else:
        change = f"lost {gain.swapped().size.removeprefix('+')}"
    seeds = f"{len(shared)} seed{'s' if len(shared) > 1 else ''}"
    return [f"From {before.budget:,} to {last.budget:,} labels {name} {change} on the same {seeds}."]


def _worth(worth: Sequence[Transfer], series: Sequence[Series]) -> list[str]:
    """Return the worth of pretraining at the smallest and the largest budget of the first pretrained series."""
    if not worth:
        return []
    known = [transfer for transfer in worth if transfer.times is not None or transfer.low >= 1]
    if not known:
        return ["The labels that training from scratch needs are unknown: the intervals are too wide."]
    first_series = [transfer for transfer in known if transfer.series == known[0].series]
    ends = first_series[:1] if len(first_series) == 1 else [first_series[0], first_series[-1]]
    parts = [f"{times(transfer)} at {transfer.budget:,}" for transfer in ends]
    text = f"From scratch it would take, to match {known[0].series}, {joined(parts)} labels"
    off = scratch_backtest(series)
    return [f"{text}; {off}." if off else f"{text}."]


def _kept(against_sources: Sequence[SourceComparison], series: Sequence[Series]) -> list[str]:
    """Return what each compressed model and student keeps of the model that it is made from."""
    by_name = {one.name: one for one in series}
    return [
        f"{one.series} keeps {one.retained.format(percent=True)} of the {one.change.metric} of {one.source} at "
        f"{one.budget:,} labels{_costs(by_name[one.series], by_name[one.source])}."
        for one in against_sources
        if one.retained is not None
    ]


def _costs(series: Series, source: Series) -> str:
    """Return size and latency of a model as shares of those of its source, in words; empty if both are unknown."""
    shares = []
    if series.model_bytes and source.model_bytes:
        shares.append(f"{percent(series.model_bytes / source.model_bytes)} of the size")
    if series.speed is not None and source.speed is not None:
        shares.append(f"{percent(series.speed.p50_ms / source.speed.p50_ms)} of the time per text")
    return f", at {joined(shares)}" if shares else ""


def scratch_backtest(series: Sequence[Series]) -> str:
    """Return the largest error of the learning curves of `scratch` at their largest budget.

    The result is empty without a curve.
    """
    tests = [
        candidate.fit.backtest for candidate in series if candidate.method == "scratch" and candidate.fit is not None
    ]
    if not tests:
        return ""
    metric = next(candidate.points[0].metric for candidate in series if candidate.points)
    worst = max(tests, key=lambda test: abs(test.error))
    return f"beyond its budgets by a curve that was off by {shown_difference(metric, worst.error)} at {worst.budget:,}"


def times(transfer: Transfer) -> str:
    """Return the multiple of labels that training from scratch needs, in words."""
    if transfer.times is None:
        return f"more than {transfer.low:.3g} times the labels"
    text = f"{transfer.times:.3g} times"
    if transfer.low == 0 and transfer.high is None:
        return f"{text} the labels (too uncertain for an interval)"
    if transfer.low == 0:
        return f"{text} (at most {transfer.high:.3g}) the labels"
    if transfer.high is None:
        return f"{text} (at least {transfer.low:.3g}) the labels"
    return f"{text} [{transfer.low:.3g}, {transfer.high:.3g}] the labels"


def _seeds(point: Point) -> str:
    count = len(point.runs)
    return f"{count} seeds" if count > 1 else "1 seed; the interval does not include seed variance"
