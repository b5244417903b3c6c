"""Advice: the cheapest choice that meets what a user needs, how sure that is, and what to measure if it is not.

Knows series and numbers. Knows nothing of files or of how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.analysis.comparison import MANY_SEEDS
from kit.analysis.curve import CurveRefused
from kit.analysis.findings import Findings, Series
from kit.analysis.points import Point, metric_of, metric_range, sample_part, seed_loadings
from kit.errors import DataError
from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import megabytes, shown_difference, shown_value

SURE = 0.95  # chance of meeting the target from which advice is sure
_MOST_SEEDS = 50  # beyond these, more seeds are not what is missing


@dataclass(frozen=True)
class Wish:
    """What a user needs.

    target: of the main metric, higher is better; None for the best there is. label_cost: of one label, in any currency.
    max_latency_ms: median of one text. max_size_bytes: of the saved model.
    """

    target: float | None = None
    label_cost: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: float | None = None


@dataclass(frozen=True)
class Option:
    """A series at a number of labels.

    metric: measured, or predicted by the learning curve, and then `backtest` is the error of such a prediction.
    chance: that the metric is at least the target, None without a target. seeds: that it was measured with.
    """

    series: str
    labels: int
    metric: Estimate
    measured: bool
    chance: float | None
    latency_ms: float | None
    model_bytes: int | None
    seeds: int
    backtest: float | None = None


@dataclass(frozen=True)
class Advice:
    """What to choose.

    choice: None if nothing meets the wish. runner_up: the next best of another series. safer: the cheapest that meets
    the target surely, where the choice does not. sure: whether the choice meets the target, or without one is better
    than the runner-up, with a chance of 95 % or more; one seed makes nothing sure, nor two a comparison. excluded:
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

    Raises DataError for a target that no metric can have.
    """
    least = metric_range(findings.metric)[0]
    if wish.target is not None and not least < wish.target <= 1:
        hint = f"{findings.metric} goes from {least:g} to 1: 85 % is 0.85"
        raise DataError(f"--target {wish.target:g}: not a value that {findings.metric} can have", hint)
    excluded = tuple((each.name, why) for each in findings.series if (why := _breaks(each, wish)))
    allowed = [each for each in findings.series if each.points and each.name not in dict(excluded)]
    options = [option for each in allowed for option in _options(each, wish) if _fits(option, wish)]
    ranked = _ranked(options, wish)
    choice = ranked[0] if ranked else None
    runner_up = next((o for o in ranked if choice and o.series != choice.series), None)
    safer = None
    if choice and choice.chance is not None and choice.chance < SURE:
        safer = next((o for o in ranked if o.seeds > 1 and o.chance is not None and o.chance >= SURE), None)
    advice = Advice(choice, runner_up, safer, excluded)
    # Two seeds are too few to compare by, as in the report; what they say of a target has their wide interval.
    fewest = 3 if wish.target is None else 2
    enough = choice is not None and choice.seeds >= fewest
    advice = replace(advice, sure=enough and _certainty(advice, findings) >= SURE)
    return replace(advice, lines=tuple(_lines(advice, findings, wish, options)))


def _breaks(series: Series, wish: Wish) -> str:
    """Which limit a series breaks; empty if none. What was not measured cannot be promised."""
    latency = series.speed
    size = min((point.model_bytes for point in series.points if point.model_bytes is not None), default=None)
    if wish.max_latency_ms is not None and latency is None:
        return "its latency was not measured"
    if wish.max_latency_ms is not None and latency is not None and latency.p50_ms > wish.max_latency_ms:
        return f"{latency.p50_ms:.1f} ms a text, above {wish.max_latency_ms:g} ms"
    if wish.max_size_bytes is not None and size is None:
        return "its size is not known"
    if wish.max_size_bytes is not None and size is not None and size > wish.max_size_bytes:
        return f"{megabytes(size)}, above {megabytes(wish.max_size_bytes)}"
    return ""


def _fits(option: Option, wish: Wish) -> bool:
    """Whether the model at this budget is small enough: the words that TF-IDF counts grow with it."""
    return wish.max_size_bytes is None or (option.model_bytes or 0) <= wish.max_size_bytes


def _options(series: Series, wish: Wish) -> list[Option]:
    """Every measured budget, and if none of them reaches the target, the labels with which the curve says it would."""
    options = [_measured(series, point, wish) for point in series.points]
    if wish.target is None or series.fit is None or any(o.metric.value >= wish.target for o in options):
        return options
    needed = series.fit.labels_for(1 - wish.target).value
    if needed is None:
        return options
    labels = int(-(-needed // 1))
    try:
        error = series.fit.predict(labels)
    except CurveRefused:
        return options
    chance = float((1 - series.fit.paths([labels])[:, 0] >= wish.target).mean())
    return [
        *options,
        replace(
            options[-1],
            labels=labels,
            metric=metric_of(error),
            measured=False,
            chance=chance,
            backtest=-series.fit.backtest.error,
        ),
    ]


def _measured(series: Series, point: Point, wish: Wish) -> Option:
    chance = None if wish.target is None else float((point.replicates >= wish.target).mean())
    latency = series.speed.p50_ms if series.speed else None
    return Option(series.name, point.budget, point.estimate, True, chance, latency, point.model_bytes, len(point.runs))


def _ranked(options: Sequence[Option], wish: Wish) -> list[Option]:
    """Those that meet the target, fewest labels first; without a target, highest metric first."""
    if wish.target is None:
        return sorted(options, key=lambda o: (-o.metric.value, o.labels))
    target = wish.target
    # A prediction of exactly the target may come out a rounding error below it.
    meets = [o for o in options if o.metric.value >= target - (0 if o.measured else 1e-6)]
    return sorted(meets, key=lambda o: (o.labels, not o.measured, -o.metric.value))


def _lines(advice: Advice, findings: Findings, wish: Wish, options: Sequence[Option]) -> list[str]:
    metric, choice = findings.metric, advice.choice
    lines = [f"left out: {name}: {why}" for name, why in advice.excluded]
    if choice is None:
        return [*_nothing(findings, wish, options), *lines]
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
        parts.append(f"{option.latency_ms:.1f} ms a text")
    if option.model_bytes is not None:
        parts.append(megabytes(option.model_bytes))
    return ", ".join(parts)


def _given_up(choice: Option, findings: Findings) -> list[str]:
    """What the best measured choice of the whole study would give more."""
    best = max(
        ((each, point) for each in findings.series for point in each.points), key=lambda pair: pair[1].estimate.value
    )
    gap = best[1].estimate.value - choice.metric.value
    if (best[0].name, best[1].budget) == (choice.series, choice.labels) or gap <= 0:
        return ["given up: nothing; no measured choice has a higher metric"]
    said = f"given up: {shown_difference(findings.metric, gap)} against {best[0].name} with {best[1].budget:,} labels"
    mine = _point(choice, findings)
    if mine is not None:
        plain = chance_better(best[1], mine) >= SURE and min(len(mine.runs), len(best[1].runs)) >= MANY_SEEDS
        said += " (significant)" if plain else " (not significant)"
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
    return chance_better(mine, theirs) if mine and theirs else 1.0


def _sureness(advice: Advice, findings: Findings, wish: Wish) -> list[str]:
    choice, other = advice.choice, advice.runner_up
    assert choice is not None
    chance = f"{_certainty(advice, findings):.0%} of the resamples"
    if wish.target is not None:
        said = f"{chance} reach {shown_value(findings.metric, wish.target)}"
    elif other is not None:
        said = f"it is better than the runner-up in {chance}"
    else:
        said = "there is no other series to compare with"
    if advice.sure:
        return [f"sure: {said}"]
    point = _point(choice, findings)
    if point is None:
        return [
            f"not sure: {said}",
            f"to measure next: {choice.series} with {choice.labels:,} labels (add it to study.budgets)",
        ]
    if len(point.runs) == 1:
        said += ", but of one seed, whose luck is not in them"
    if wish.target is None and len(point.runs) == 2:
        said += ", but of two seeds, which are too few to compare by"
        return [f"not sure: {said}", f"to measure next: 3 more seeds at {point.budget:,} labels"]
    goal = wish.target if wish.target is not None or other is None else other.metric.value
    return [f"not sure: {said}", f"to measure next: {_what_is_missing(point, goal or 0.0)}"]


def _what_is_missing(point: Point, target: float) -> str:
    """More seeds, or more test examples: whichever leaves more doubt on which side of the target the metric lies."""
    sample = float(sample_part(point.runs).std())
    seeds = sum(loading**2 for loading in seed_loadings(point.runs).values()) ** 0.5
    count, examples = len(point.runs), len(point.runs[0].correct)
    if count == 1:
        return f"4 more seeds at {point.budget:,} labels: one seed does not say how the others do"
    gap = abs(point.estimate.value - target) / 2  # an interval is about two standard errors to each side
    if gap <= max(sample, seeds) / 5:
        return (
            f"a larger budget: at {point.budget:,} labels the two are too close for more seeds or test examples to tell"
        )
    if seeds > sample:
        wanted = min(_MOST_SEEDS, -(-count * seeds**2 // gap**2))
        return f"about {max(1, int(wanted) - count)} more seeds at {point.budget:,} labels: seeds differ most"
    wanted = examples * sample**2 / gap**2
    return f"about {max(1, round(wanted - examples)):,} more test examples: the test set is what limits certainty"


def _nothing(findings: Findings, wish: Wish, options: Sequence[Option]) -> list[str]:
    """Why nothing meets the wish, and what comes nearest."""
    if not options:
        return ["nothing meets the limits"]
    near = max(options, key=lambda o: o.metric.value)
    target = shown_value(findings.metric, wish.target or 0)
    lines = [f"nothing that was measured or can be predicted reaches {target} within the limits"]
    lines.append(f"nearest: {describe(near, findings.metric, wish)}")
    series = next(each for each in findings.series if each.name == near.series)
    if series.fit is None:
        lines.append(f"no prediction for {near.series}: {series.refusal}")
    else:
        fit, needed = series.fit, series.fit.labels_for(1 - (wish.target or 0))
        off = shown_difference(findings.metric, fit.backtest.error)
        lines.append(
            f"its curve does not get there by {fit.largest:,} labels (interval: from {needed.low:,.0f} on); such a "
            f"prediction was off by {off} at {fit.backtest.budget:,} labels, where the truth is known"
        )
        lines.append(f"to measure next: {near.series} with {2 * series.points[-1].budget:,} labels or more")
    return lines
