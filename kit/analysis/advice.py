"""Advice: the cheapest choice that meets what a user needs, how sure that is, and what to measure if it is not.

Knows series and numbers. Knows nothing of files or of how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kit.analysis.comparison import compare
from kit.analysis.evidence import more_evidence
from kit.analysis.findings import Findings, Series
from kit.analysis.options import Option, Wish, breaks, fits, options_of, ranked
from kit.analysis.points import Point, metric_range
from kit.errors import DataError
from kit.measurement.intervals import shown
from kit.measurement.units import OF_HUNDRED, megabytes, shown_difference, shown_value

SURE = 0.95  # chance of meeting the target from which advice is sure


@dataclass(frozen=True)
class Advice:
    """What to choose.

    choice: None if nothing meets the wish. runner_up: the next best of another series. safer: the cheapest that meets
    the target surely, where the choice does not. sure: whether the choice meets the target, or without one is better
    than the runner-up, with a chance of 95 % or more; one seed makes nothing sure, nor two a comparison, and without a
    runner-up there is nothing to be sure of. excluded:
    (series, why) of what breaks a limit. lines: all of it in sentences.
    """

    choice: Option | None
    runner_up: Option | None
    safer: Option | None
    excluded: tuple[tuple[str, str], ...]
    sure: bool = False
    lines: tuple[str, ...] = ()


def advise(findings: Findings, wish: Wish) -> Advice:
    """The fewest labels that meet the target within the limits, or without a target the best metric within them.

    Where these are equal, the quicker and then the smaller model is chosen.
    Raises DataError for a target that no metric can have.
    """
    least = metric_range(findings.metric)[0]
    if findings.metric in OF_HUNDRED and wish.target is not None and wish.target >= 1:
        wish = replace(wish, target=wish.target / 100)  # as everyone says it, and kit shows it
    if wish.target is not None and not least < wish.target <= 1:
        hint = f"a target is above {least:g} and at most 1: 85 % is 0.85"
        raise DataError(f"--target {wish.target:g}: not a value that {findings.metric} can have", hint)
    excluded = tuple((each.name, why) for each in findings.series if (why := breaks(each, wish)))
    allowed = [each for each in findings.series if each.points and each.name not in dict(excluded)]
    every = [option for each in allowed for option in options_of(each, wish)]
    options = [option for option in every if fits(option, wish)]
    order = ranked(options, wish)
    choice = order[0] if order else None
    runner_up = next((o for o in order if choice and o.series != choice.series), None)
    safer = None
    if choice and choice.chance is not None and choice.chance < SURE:
        safer = next((o for o in order if o.seeds > 1 and o.chance is not None and o.chance >= SURE), None)
    advice = Advice(choice, runner_up, safer, excluded)
    # Two seeds are too few to compare by, as in the report; what they say of a target has their wide interval.
    fewest = 3 if wish.target is None else 2
    enough = choice is not None and choice.seeds >= fewest
    advice = replace(advice, sure=enough and _certainty(advice, findings) >= SURE)
    return replace(advice, lines=tuple(_lines(advice, findings, wish, every)))


def _lines(advice: Advice, findings: Findings, wish: Wish, every: Sequence[Option]) -> list[str]:
    metric, choice = findings.metric, advice.choice
    lines = [f"left out: {name}: {why}" for name, why in advice.excluded]
    if choice is None:
        return [*_nothing(findings, wish, every), *lines]
    first = [f"choose {describe(choice, metric, wish)}"]
    if advice.runner_up is not None:
        first.append(f"runner-up: {describe(advice.runner_up, metric, wish)}")
    if advice.safer is not None:
        first.append(f"safer: {describe(advice.safer, metric, wish)}")
    return [*first, *_given_up(choice, findings), *_sureness(advice, findings, wish), *lines]


def describe(option: Option, metric: str, wish: Wish) -> str:
    """An option in one line: series, labels and their cost, metric, latency, size."""
    parts = [f"{option.series} with {option.labels:,} labels"]
    if wish.label_cost is not None:
        parts.append(f"{option.labels * wish.label_cost:,.2f} for labels")
    kind = metric if option.measured else f"predicted {metric}"
    parts.append(f"{kind} {shown(metric, option.metric)}")
    if option.backtest is not None:
        parts.append(
            f"such a prediction was off by {shown_difference(metric, option.backtest)} where the truth is known"
        )
    if option.latency_ms is not None:
        doubt = f" ({option.latency_doubt})" if option.latency_doubt else ""
        parts.append(f"{option.latency_ms:.1f} ms per text{doubt}")
    if option.model_bytes is not None:
        parts.append(megabytes(option.model_bytes) if option.measured else f"about {megabytes(option.model_bytes)}")
    return ", ".join(parts)


def _given_up(choice: Option, findings: Findings) -> list[str]:
    """What the best measured choice of all would give more; as it was picked, all others are corrected for."""
    measured = [(each, point) for each in findings.series for point in each.points]
    best = max(measured, key=lambda pair: pair[1].estimate.value)
    gap = best[1].estimate.value - choice.metric.value
    if (best[0].name, best[1].budget) == (choice.series, choice.labels) or gap <= 0:
        return ["given up: nothing; no measured choice has a higher metric"]
    said = f"given up: {shown_difference(findings.metric, gap)} against {best[0].name} with {best[1].budget:,} labels"
    mine = _point(choice, findings)
    if mine is not None:
        others = [pair for pair in measured if pair[1] is not mine]
        # A comparison is of one budget: here it is of choices, whatever their labels.
        tried = compare([(one.name, replace(p, budget=mine.budget), choice.series, mine) for one, p in others])
        found = tried[next(index for index, pair in enumerate(others) if pair[1] is best[1])]
        said += f" {found.interval} ({found.verdict})"
    return [said]


def chance_better(a: Point, b: Point) -> float:
    """Share of replicates, paired by seeds and test examples, in which point a has the higher metric."""
    return float((a.replicates > b.replicates).mean())


def _point(option: Option, findings: Findings) -> Point | None:
    """The point that an option was measured at; None if it is a prediction."""
    series = next(each for each in findings.series if each.name == option.series)
    return next((point for point in series.points if option.measured and point.budget == option.labels), None)


def _certainty(advice: Advice, findings: Findings) -> float:
    """Chance that the choice meets the target; without a target, that it is better than the runner-up."""
    choice, other = advice.choice, advice.runner_up
    assert choice is not None
    if choice.chance is not None:
        return choice.chance
    mine, theirs = _point(choice, findings), other and _point(other, findings)
    return chance_better(mine, theirs) if mine and theirs else 0.0


def _sureness(advice: Advice, findings: Findings, wish: Wish) -> list[str]:
    """How sure the choice is, and if it is not, what to measure next."""
    choice, other = advice.choice, advice.runner_up
    assert choice is not None
    chance = f"{_certainty(advice, findings):.0%} of the resamples"
    point, rival = _point(choice, findings), other and _point(other, findings)
    if wish.target is not None:
        said = f"{chance} reach {shown_value(findings.metric, wish.target)}"
    elif other is None:
        return ["there is no other series within the limits to compare with"]
    elif point and rival and not np.ptp(point.replicates - rival.replicates):
        same = "the runner-up is as good in all of the resamples, and no lighter"
        return [f"not sure: {same}", "to measure next: more test examples, on which the two may differ"]
    else:
        said = f"it is better than the runner-up in {chance}"
    if advice.sure:
        return [f"sure: {said}"]
    if point is not None and len(point.runs) == 1:
        said += ", but of one seed, whose luck is not in them"
    if point is not None and wish.target is None and len(point.runs) == 2:
        said += ", but of two seeds, which are too few to compare by"
    return [f"not sure: {said}", f"to measure next: {_to_measure(choice, other, point, findings, wish)}"]


def _to_measure(choice: Option, other: Option | None, point: Point | None, findings: Findings, wish: Wish) -> str:
    """What would make sure of a choice, which was measured at this point or predicted."""
    if wish.target == 1:
        return "nothing; no test set can show that there will be no error"
    if point is None:
        more = choice.labels - findings.training_examples
        how = "add it to study.budgets" if more <= 0 else f"{more:,} more than the data have"
        return f"{choice.series} with {choice.labels:,} labels ({how})"
    at = f"at {point.budget:,} labels"
    if wish.target is None and len(point.runs) == 2:
        return f"3 more seeds {at}"
    goal = wish.target if wish.target is not None or other is None else other.metric.value
    missing = more_evidence(point, goal or 0.0)
    if missing is not None:
        return missing
    close = "it is too close to the target" if wish.target is not None else "the two are too close"
    close = f"{at} {close} for more seeds or test examples to tell"
    larger = [p for s in findings.series if s.name == choice.series for p in s.points if p.budget > point.budget]
    return f"nothing: {close}, and larger budgets are measured" if larger else f"a larger budget: {close}"


def _nothing(findings: Findings, wish: Wish, every: Sequence[Option]) -> list[str]:
    """Why nothing meets the wish, and what comes nearest. every: options, those that are too large too."""
    options = [option for option in every if fits(option, wish)]
    if not options:
        return ["nothing meets the limits"]
    near = max(options, key=lambda o: o.metric.value)
    target = shown_value(findings.metric, wish.target or 0)
    lines = [f"nothing that was measured or can be predicted reaches {target} within the limits"]
    lines.append(f"nearest: {describe(near, findings.metric, wish)}")
    if too_large := ranked([option for option in every if option not in options], wish):
        limit = f"above {(wish.max_size_bytes or 0) / 1e6:g} MB"
        return [*lines, f"too large: {describe(too_large[0], findings.metric, wish)}, {limit}"]
    series = next(each for each in findings.series if each.name == near.series)
    lines.append(_why_not(series, findings.metric, wish.target or 0))
    labels = 2 * series.points[-1].budget
    more = labels - findings.training_examples
    beyond = f" ({more:,} more than the data have)" if more > 0 else ""
    return [*lines, f"to measure next: {near.series} with {labels:,} labels or more{beyond}"]


def _why_not(series: Series, metric: str, target: float) -> str:
    """Why a series is not predicted to reach a target."""
    if series.fit is None:
        return f"no prediction for {series.name}: {series.refusal}"
    fit, largest = series.fit, series.points[-1].budget
    if fit.form == "last":
        return (
            "how many labels get there cannot be told: no curve foretells its largest budget better than the one before"
        )
    needed = fit.labels_for(1 - target)
    if needed.value is not None:
        return f"its curve gets there with {needed.value:,.0f} labels, but {largest:,} were measured to give less"
    off = shown_difference(metric, fit.backtest.error)
    return (
        f"its curve does not get there by {fit.largest:,} labels (interval: from {needed.low:,.0f} on); such a "
        f"prediction was off by {off} at {fit.backtest.budget:,} labels, where the truth is known"
    )
