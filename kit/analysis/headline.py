"""Headline of a study in sentences: the best choice, and the worth of its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from kit.analysis.comparison import Comparison, compare
from kit.analysis.curve import CurveRefused
from kit.analysis.findings import Series
from kit.analysis.frontier import cheapest, weight
from kit.analysis.headline_worth import CLOSE, pretraining_sentences, source_sentences
from kit.analysis.points import ROUNDING, Point, metric_of, point
from kit.analysis.pretraining_value import Transfer
from kit.analysis.significance import Judgement, Result, requirement
from kit.analysis.source_comparison import SourceComparison
from kit.analysis.wording import joined
from kit.measurement.intervals import shown
from kit.measurement.units import NOT_SHARES, shown_difference
from kit.runtime.quantities import megabytes

FORM_NAMES = {
    "pow3": "power law with offset",
    "pow4": "shifted power law with offset",
    "mmf4": "Morgan-Mercer-Flodin curve",
    "last": "as at the last budget: these budgets do not show what more labels would give",
}
_MOST_NAMED = 4  # methods that a sentence names for each outcome of the test
_NEXT = 2  # the headline predicts the metric at this multiple of the largest budget


def headline(
    series: Sequence[Series],
    comparisons: Sequence[Comparison],
    worth: Sequence[Transfer],
    metric: str,
    against_sources: Sequence[SourceComparison] = (),
    distilled: Sequence[Transfer] = (),
) -> tuple[str, ...]:
    """Return the sentences of a report's headline, at most about eight.

    The most important one is first. The result is empty if no cell has finished.

    Args:
        series: Series of the study.
        comparisons: All pairs of series, see `all_pairs`.
        worth: Worth of pretraining in labels.
        metric: Name of the main metric.
        against_sources: Comparisons of compressed models and students with their sources.
        distilled: Worth of distillation in labels.
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
        *_cheapest(measured, best, best_point),
        *_more_labels(best, metric),
        *pretraining_sentences(worth, measured),
        *source_sentences(against_sources, measured, distilled),
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
    """Return one sentence that compares the best method with the others."""
    groups: dict[Judgement, list[Comparison]] = {}
    for comparison in comparisons:
        oriented = comparison if comparison.a == best.name else comparison.swapped()
        groups.setdefault(oriented.judgement, []).append(oriented)
    order = list(Result)
    parts = [_rivals_part(groups[key], key) for key in sorted(groups, key=lambda key: order.index(key.result))]
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _rivals_part(comparisons: Sequence[Comparison], judgement: Judgement) -> str:
    """Return the part about methods whose tests had the same outcome, a few by name."""
    count = len(comparisons) if len(comparisons) <= _MOST_NAMED + 1 else _MOST_NAMED  # never "and 1 more"
    closest = sorted(comparisons, key=lambda comparison: comparison.difference.value)[:count]
    named = [one for one in comparisons if one in closest]
    names = [one.b if one.significant else f"{one.b} ({one.size})" for one in named]
    more = len(comparisons) - len(named)
    others = joined([*names, f"{more} more"] if more else names)
    match judgement.result:
        case Result.SIGNIFICANT:
            return f"it is significantly better than {others} there"
        case Result.NOT_SIGNIFICANT:
            return f"no significant difference there from {others}"
        case Result.NOT_AFTER_CORRECTION:
            return f"not significant after correction for all comparisons: its lead over {others}"
        case Result.BORDERLINE:
            return f"close to significance, but not significant there: its lead over {others}"
        case _:
            return f"its lead over {others} is not tested: {judgement.reason}; {requirement()}"


def _cheapest(series: Sequence[Series], best: Series, best_point: Point) -> list[str]:
    """Return the cheapest choice within 1 point of the best, see `cheapest`."""
    least = best_point.estimate.value - CLOSE - ROUNDING
    close = [(one, p) for one in series for p in one.points if p.estimate.value >= least]
    chosen, at = cheapest(close)
    metric = best_point.metric
    margin = f"{CLOSE:g}" if metric in NOT_SHARES else "1 point"
    if (chosen, at) == (best, best_point):
        return [f"Nothing cheaper is within {margin} of it."]
    # compare() requires equal budgets; choices with different labels are compared here.
    comparison = compare([(chosen.name, replace(at, budget=best_point.budget), best.name, best_point)])[0]
    costs = [f"{comparison.size} ({comparison.judgement.words})"]
    costs += [f"{chosen.speed.p50_ms:.3g} ms per text"] if chosen.speed is not None else []
    costs += [megabytes(at.model_bytes)] if at.model_bytes is not None else []
    return [
        f"Cheapest within {margin} of it (fewest labels, then lowest latency, then smallest): {chosen.name} with "
        f"{at.budget:,} labels, {', '.join(costs)}."
    ]


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


def _seeds(point: Point) -> str:
    count = len(point.runs)
    return f"{count} seeds" if count > 1 else "1 seed; the interval does not include seed variance"
