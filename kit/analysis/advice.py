"""Advice: the cheapest choice that meets what a user needs, how sure that is, and what to measure if it is not.

Knows series and numbers. Knows nothing of files or of how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kit.analysis.comparison import compare
from kit.analysis.evidence import more_evidence
from kit.analysis.findings import Findings
from kit.analysis.frontier import weight
from kit.analysis.nearest import FINISH, better_left_out, nothing_qualifies
from kit.analysis.options import Option, Wish, breaks, cheapest_line, describe, fits, named, options_of, ranked
from kit.analysis.points import Point, metric_range
from kit.analysis.significance import requirement
from kit.errors import DataError
from kit.measurement.units import OF_HUNDRED, shown_difference, shown_value

SURE = 0.95  # chance of meeting the target from which advice is sure
DECIDED = 0.8  # share of the resamples that a choice has to win, or to meet the target in, to be named as the choice
_LISTED, _MOST_LISTED = 0.9, 4  # contenders that are listed: as many as win this share together, and no more


@dataclass(frozen=True)
class Contender:
    """An option with the share of the resamples in which it is the best choice."""

    option: Option
    share: float


@dataclass(frozen=True)
class Advice:
    """What to choose.

    choice: None if nothing meets the wish. runner_up: the next best of another series. safer: the cheapest that meets
    the target surely, where the choice does not. sure: whether the choice meets the target, or without one is better
    than the runner-up, with a chance of 95 % or more; one seed makes nothing sure, nor two a comparison, and without a
    runner-up there is nothing to be sure of. decided: whether the choice meets the target, or without one is the best
    of all options, in 80 % of the resamples; otherwise `choice` is only the first of the `contenders`. excluded:
    (series, why) of what breaks a limit. commands: what to try if nothing meets the
    wish, or if the choice is unsure and a better one is too slow or too large. unfinished: how much of the
    study has finished, empty if no cell is open. lines: all of it in sentences.
    """

    choice: Option | None
    runner_up: Option | None
    safer: Option | None
    excluded: tuple[tuple[str, str], ...]
    sure: bool = False
    decided: bool = False
    contenders: tuple[Contender, ...] = ()
    commands: tuple[str, ...] = ()
    unfinished: str = ""
    lines: tuple[str, ...] = ()


def advise(findings: Findings, wish: Wish) -> Advice:
    """Return the fewest labels that meet the target within the limits, or without a target the best metric.

    Where these are equal, the quicker and then the smaller model is chosen.
    Raises DataError for a target that no metric can have.
    """
    wish = _checked(wish, findings.metric)
    no_latency = findings.unfinished or findings.no_latency
    excluded = tuple((each.name, why) for each in findings.options if (why := breaks(each, wish, no_latency)))
    allowed = [each for each in findings.options if each.points and each.name not in dict(excluded)]
    every = [option for each in allowed for option in options_of(each, wish)]
    options = [option for option in every if fits(option, wish)]
    order = ranked(options, wish)
    choice = order[0] if order else None
    runner_up = next((o for o in order if choice and o.series != choice.series), None)
    safer = None
    if choice and choice.chance is not None and choice.chance < SURE:
        safer = next((o for o in order if o.seeds > 1 and o.chance is not None and o.chance >= SURE), None)
    advice = Advice(choice, runner_up, safer, excluded, unfinished=findings.unfinished)
    if choice is None:
        nearest = nothing_qualifies(findings, wish, every)
        advice = replace(advice, commands=nearest.commands)
        lines = [*nearest.lines, *(f"to try: {command}" for command in nearest.commands)]
        return replace(advice, lines=tuple(_framed(lines, advice)))
    contenders = contenders_of(options, findings, wish)
    decided = (contenders[0].share if choice.chance is None else choice.chance) >= DECIDED
    # Two seeds are too few to compare by, as in the report; what they say of a target has their wide interval.
    enough = choice.seeds >= (3 if wish.target is None else 2)
    sure = enough and _certainty(advice, findings) >= SURE
    advice = replace(advice, contenders=tuple(contenders), decided=decided, sure=sure)
    if not (decided and sure) or choice.latency_doubt:
        advice = replace(advice, commands=better_left_out(findings, wish, choice))
    lines = [*_lines(advice, findings, wish), *(f"to try: {command}" for command in advice.commands)]
    return replace(advice, lines=tuple(_framed(lines, advice)))


def _checked(wish: Wish, metric: str) -> Wish:
    """Return the wish with its target as a share. Raises DataError for a target that the metric cannot have."""
    least = metric_range(metric)[0]
    if metric in OF_HUNDRED and wish.target is not None and wish.target >= 1:
        wish = replace(wish, target=wish.target / 100)  # as everyone says it, and kit shows it
    if wish.target is not None and not least < wish.target <= 1:
        hint = f"a target is above {least:g} and at most 1: 85 % is 0.85"
        raise DataError(f"--target {wish.target:g}: not a value that {metric} can have", hint)
    return wish


def contenders_of(options: Sequence[Option], findings: Findings, wish: Wish) -> list[Contender]:
    """Return the options that win in the most resamples, most first: together 90 % of them, and at most four.

    In a resample that option wins which would be chosen if its metrics were the true ones.
    """
    first = sorted(options, key=lambda o: (o.labels, *weight(o.latency_ms, o.model_bytes)))
    samples = np.stack(_same_length([_replicates(option, findings) for option in first]))
    if wish.target is not None:
        labels = np.array([option.labels for option in first])[:, None]
        fewest = np.where(samples >= wish.target, labels, np.inf)
        reached = np.isfinite(fewest) & (fewest == fewest.min(axis=0))
        none = ~reached.any(axis=0)
        samples = np.where(reached | none, samples, -np.inf)
    shares = np.bincount(samples.argmax(axis=0), minlength=len(first)) / samples.shape[1]
    ordered = sorted(zip(first, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    found: list[Contender] = []
    for option, share in ordered:
        if len(found) == _MOST_LISTED or share == 0 or sum(each.share for each in found) >= _LISTED:
            break
        found.append(Contender(option, share))
    return found


def _replicates(option: Option, findings: Findings) -> np.ndarray:
    measured = _point(option, findings)
    if measured is not None:
        return measured.replicates
    fit = next(each for each in findings.options if each.name == option.series).fit
    assert fit is not None
    return np.asarray(1 - fit.paths([option.labels])[:, 0])


def _same_length(samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    most = max(len(each) for each in samples)
    return [np.resize(each, most) for each in samples]


def _framed(lines: Sequence[str], advice: Advice) -> list[str]:
    """Return the lines between what holds for all of them and what was left out."""
    said = any(line.startswith("cannot tell yet") for line in lines)
    first = [f"{advice.unfinished} have finished; `{FINISH}` continues"] if advice.unfinished and not said else []
    untimed = [name for name, why in advice.excluded if why == advice.unfinished]
    others = [f"left out: {name}: {why}" for name, why in advice.excluded if why != advice.unfinished]
    once = [f"left out: {', '.join(untimed)}: not timed, as the study is unfinished"] if untimed else []
    return [*first, *lines, *others, *once]


def _lines(advice: Advice, findings: Findings, wish: Wish) -> list[str]:
    metric, choice = findings.metric, advice.choice
    assert choice is not None
    if advice.decided:
        first = [f"choose {describe(choice, findings, wish)}"]
        if advice.runner_up is not None:
            first.append(f"runner-up: {describe(advice.runner_up, findings, wish)}")
    else:
        first = _undecided(advice, findings, wish)
    if advice.safer is not None:
        first.append(f"safer: {describe(advice.safer, findings, wish)}")
    weak = findings.baselines.not_beaten(metric, choice.metric) if choice.measured else ""
    return [
        *first,
        *([f"{named(choice)} is {weak}"] if weak else []),
        *_given_up(advice, findings),
        *_sureness(advice, findings, wish),
        *([findings.balance] if findings.balance else []),
    ]


def _undecided(advice: Advice, findings: Findings, wish: Wish) -> list[str]:
    """Say between which options the study cannot decide, and describe them."""
    choice, contenders = advice.choice, advice.contenders
    assert choice is not None
    if choice.chance is not None:
        target = shown_value(findings.metric, wish.target or 0)
        why = f"{named(choice)} reaches {target} in only {choice.chance:.0%} of the resamples"
        return [f"undecided: {why}", f"possible: {describe(choice, findings, wish)}"]
    names = [f"{named(each.option)} ({each.share:.0%})" for each in contenders]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    lines = [f"undecided: the study cannot decide between {listed}; in brackets, the share of resamples that each wins"]
    lines += [f"possible: {describe(each.option, findings, wish)}" for each in contenders]
    lines += cheapest_line([each.option for each in contenders])
    return lines


def _given_up(advice: Advice, findings: Findings) -> list[str]:
    """What the best measured choice of all would give more; as it was picked, all others are corrected for."""
    choice = advice.choice
    assert choice is not None
    measured = [(each, point) for each in findings.options for point in each.points]
    best = max(measured, key=lambda pair: pair[1].estimate.value)
    gap = best[1].estimate.value - choice.metric.value
    if (best[0].name, best[1].budget) == (choice.series, choice.labels) or gap <= 0:
        return ["given up: nothing; no measured choice has a higher metric"] if advice.decided else []
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
    series = next(each for each in findings.options if each.name == option.series)
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
        said = f"{named(choice)} beats {named(other)} in {chance}{_best_of_all(advice)}"
    if advice.sure:
        return [f"sure: {said}"]
    if point is not None and len(point.runs) == 1:
        said += ", but with one seed, so seed variance is not included"
    if point is not None and wish.target is None and len(point.runs) == 2:
        said += f", but not tested: two seeds; {requirement()}"
    return [f"not sure: {said}", f"to measure next: {_to_measure(choice, other, point, findings, wish)}"]


def _best_of_all(advice: Advice) -> str:
    """Return the share of resamples that the choice wins, for the end of a sentence; empty if it is not a contender."""
    share = next((each.share for each in advice.contenders if each.option == advice.choice), None)
    return "" if share is None else f"; it is the best of all in {share:.0%}"


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
    larger = [p for s in findings.options if s.name == choice.series for p in s.points if p.budget > point.budget]
    return f"nothing: {close}, and larger budgets are measured" if larger else f"a larger budget: {close}"
