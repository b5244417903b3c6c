"""Advice: the cheapest choice that meets a user's needs, its certainty, and what to measure next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kit.analysis.advice_candidates import best_by_labels, options_of, refusals
from kit.analysis.advice_options import (
    Option,
    Wish,
    breaks,
    cheapest_line,
    describe,
    fits,
    latency_lines,
    named,
    ranked,
    undone_words,
)
from kit.analysis.certainty import Contender, certainty_of, contenders_of, measured_point
from kit.analysis.comparison import compare
from kit.analysis.findings import Findings
from kit.analysis.nearest import better_left_out, labels_missing, nothing_qualifies
from kit.analysis.points import Point, metric_range
from kit.analysis.sample_size import endless_evidence, more_evidence
from kit.analysis.significance import MIN_SEEDS
from kit.analysis.wording import joined
from kit.errors import DataError
from kit.measurement.units import OF_HUNDRED, shown_difference, shown_value
from kit.runtime.quantities import percent

SURE = 0.95  # certainty from which advice is sure
_MOST_LISTED = 4  # series without predictions, and reasons, that lines list
DECIDED = 0.8  # least share of resamples in which a decided choice wins or meets the target


@dataclass(frozen=True)
class Advice:
    """The choice for a wish, with its certainty and its alternatives.

    Attributes:
        choice: The first choice; None if nothing meets the wish.
        runner_up: The next best option of another series.
        safer: The cheapest option that meets the target with a probability of 95 %, was measured with at least two
            seeds and is better than the majority; None if the choice itself is such an option, or there is none.
        excluded: (series, reason) of each series that breaks a limit.
        sure: Whether a decided choice meets the target, or without a target beats the runner-up, with a probability of
            95 %. False for two seeds and no target, and without a runner-up.
        decided: Whether the choice meets the target, or without a target is the best option, in 80 % of the resamples,
            was measured with several seeds and is better than the majority. If False, the choice is only the first of
            the contenders.
        contenders: Options that win in the most resamples.
        commands: Commands to try if nothing meets the wish, or if the choice is unsure and a better option exceeds the
            limits.
        by_labels: The option with the highest metric within the limits for each number of labels that can be bought:
            the measured budgets, and beyond them numbers at which a prediction is best.
        refusals: (series, reason) of each series within the limits for which nothing is predicted.
        undone: (series, labels, reason) of each measured option with compression steps that the gate undid.
        wish: Target, limits and cost of a label.
        metric: Name of the main metric.
        unfinished: Number of finished cells in words; empty if no cell is open.
        lines: The whole advice in sentences.
    """

    choice: Option | None
    runner_up: Option | None
    safer: Option | None
    excluded: tuple[tuple[str, str], ...]
    sure: bool = False
    decided: bool = False
    contenders: tuple[Contender, ...] = ()
    commands: tuple[str, ...] = ()
    by_labels: tuple[tuple[int, Option], ...] = ()
    refusals: tuple[tuple[str, str], ...] = ()
    undone: tuple[tuple[str, int, str], ...] = ()
    wish: Wish = field(default_factory=Wish)
    metric: str = ""
    unfinished: str = ""
    lines: tuple[str, ...] = ()


def advise(findings: Findings, wish: Wish) -> Advice:
    """Choose the fewest labels that meet the target within the limits, or without a target the best metric.

    Among options with the same number of labels, measurements come before predictions, then the higher metric, the
    lower latency and the smaller model decide. Without a target, options of equal metric are ordered by labels, latency
    and size.

    Raises:
        DataError: If the metric cannot reach the target.
    """
    wish = checked_wish(wish, findings.metric)
    no_latency = findings.unfinished or findings.no_latency
    broken = {series.name: reason for series in findings.options if (reason := breaks(series, wish, no_latency))}
    allowed = [series for series in findings.options if series.points and series.name not in broken]
    within_limits = [option for series in allowed for option in options_of(series, wish)]
    options = [option for option in within_limits if fits(option, wish)]
    advice = _first_choice(ranked(options, wish), tuple(broken.items()), findings)
    choice = advice.choice
    if choice is None:
        nearest = nothing_qualifies(findings, wish, within_limits)
        advice, lines = replace(advice, commands=nearest.commands), list(nearest.lines)
    else:
        certainty = certainty_of(choice, advice.runner_up, findings)
        advice = _with_certainty(advice, choice, certainty, options, findings=findings, wish=wish)
        lines = _lines(advice, choice, certainty, findings=findings, wish=wish)
    lines += [f"to try: {command}" for command in advice.commands]
    advice = replace(
        advice,
        by_labels=best_by_labels(allowed, options, wish),
        refusals=refusals(allowed),
        undone=tuple((o.series, o.labels, words) for o in within_limits if (words := undone_words(o, findings))),
        wish=wish,
        metric=findings.metric,
    )
    lines = [*_needs_no_model(findings, wish), *_framed(lines, advice, findings), *latency_lines(findings)]
    return replace(advice, lines=(*lines, *findings.class_notes))


def _first_choice(order: Sequence[Option], excluded: tuple[tuple[str, str], ...], findings: Findings) -> Advice:
    """Return the first of the ranked options with the runner-up and the safer option."""
    choice = order[0] if order else None
    runner_up = next((o for o in order if choice and o.series != choice.series), None)
    safer = None
    if choice and choice.probability is not None and (choice.probability < SURE or _flaws(choice, findings)):
        safer = next((o for o in order if (o.probability or 0) >= SURE and not _flaws(o, findings)), None)
    return Advice(choice, runner_up, safer, excluded=excluded, unfinished=findings.unfinished)


def _with_certainty(
    advice: Advice, choice: Option, certainty: float, options: Sequence[Option], *, findings: Findings, wish: Wish
) -> Advice:
    """Return the advice with its contenders, certainty and commands that may give a better choice."""
    contenders = contenders_of(options, findings, wish)
    share = contenders[0].share if choice.probability is None else choice.probability
    decided = share >= DECIDED and not _flaws(choice, findings)
    # Two seeds are too few for a comparison, as in the report; for a target, their interval is wide enough.
    sure = decided and certainty >= SURE and choice.seeds >= (3 if wish.target is None else 2)
    doubtful = wish.max_latency_ms is not None and (choice.latency_doubt or choice.busy)
    commands = better_left_out(findings, wish, choice) if doubtful or not (decided and sure) else ()
    return replace(advice, contenders=tuple(contenders), decided=decided, sure=sure, commands=commands)


def checked_wish(wish: Wish, metric: str) -> Wish:
    """Return the wish with its target as a share.

    Raises:
        DataError: If the metric cannot reach the target.
    """
    least = metric_range(metric)[0]
    if metric in OF_HUNDRED and wish.target is not None and wish.target >= 1:
        wish = replace(wish, target=wish.target / 100)  # BLEU 30, as it is usually reported
    if wish.target is not None and not least < wish.target <= 1:
        hint = f"a target is above {least:g} and at most 1: 85 % is 0.85"
        raise DataError(f"--target {wish.target:g}: not a value that {metric} can have", hint)
    return wish


def _framed(lines: Sequence[str], advice: Advice, findings: Findings) -> list[str]:
    """Return the lines between a line about an unfinished study and lines about the series that were left out."""
    mentioned = any(line.startswith("cannot tell yet") for line in lines)
    command = findings.study_command
    continues = "" if command in advice.commands else f"; `{command}` continues"
    first = [f"{advice.unfinished} have finished{continues}"] if advice.unfinished and not mentioned else []
    untimed = [name for name, reason in advice.excluded if reason == advice.unfinished]
    others = [f"left out: {name}: {reason}" for name, reason in advice.excluded if reason != advice.unfinished]
    last = [f"left out: {', '.join(untimed)}: not timed, as the study is unfinished"] if untimed else []
    return [*first, *lines, *_refusal_lines(advice), *others, *last]


def _refusal_lines(advice: Advice) -> list[str]:
    """Return a line per reason for which nothing is predicted, at most a few."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in advice.refusals:
        by_reason.setdefault(reason, []).append(name)
    lines = []
    for reason, names in list(by_reason.items())[:_MOST_LISTED]:
        more = [f"{len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
        lines.append(f"no prediction for {joined([*names[:_MOST_LISTED], *more])}: {reason}")
    left = sum(map(len, list(by_reason.values())[_MOST_LISTED:]))
    return [*lines, f"no prediction for {left} more: --json has the reasons"] if left else lines


def _lines(advice: Advice, choice: Option, certainty: float, *, findings: Findings, wish: Wish) -> list[str]:
    """Return the sentences about the choice, its alternatives and its certainty."""
    if advice.decided:
        first = [f"choose {describe(choice, findings)}"]
        if advice.runner_up is not None:
            first.append(f"runner-up: {describe(advice.runner_up, findings)}")
    else:
        first = _undecided(advice, choice, findings, wish=wish)
    if advice.safer is not None:
        first.append(f"safer: {describe(advice.safer, findings)}")
    return [
        *first,
        *_given_up(advice, choice, findings),
        *_certainty_lines(advice, choice, certainty, findings=findings, wish=wish),
    ]


def _undecided(advice: Advice, choice: Option, findings: Findings, *, wish: Wish) -> list[str]:
    """Return the reason why the choice is not decided, and describe the options that may be the choice."""
    contenders, flaws = advice.contenders, []
    if choice.probability is not None and choice.probability < DECIDED:
        target = shown_value(findings.metric, wish.target or 0)
        flaws = [f"reaches {target} in only {percent(choice.probability)} of the resamples"]
    flaws += _flaws(choice, findings)
    if choice.probability is not None or contenders[0].share >= DECIDED:
        lines = [f"undecided: {named(choice)} {joined(flaws)}", f"possible: {describe(choice, findings)}"]
        other = advice.runner_up if choice.probability is None else None
        return [*lines, f"runner-up: {describe(other, findings)}"] if other is not None else lines
    options = [contender.option for contender in contenders]
    listed = joined([f"{named(contender.option)} ({percent(contender.share)})" for contender in contenders])
    lines = [f"undecided: the study cannot decide between {listed}; in brackets, the share of resamples that each wins"]
    lines += [f"{named(choice)} {joined(flaws)}"] if flaws else []
    lines += [f"possible: {describe(option, findings)}" for option in options]
    return lines + cheapest_line(options)


def _flaws(choice: Option, findings: Findings) -> list[str]:
    """Return the reasons that keep a choice undecided at any share of resamples, as verb phrases; empty if none."""
    weak = findings.baselines.not_beaten(findings.metric, choice.metric)
    seed = "was measured with 1 seed, which does not show how much seeds differ"
    return [*([seed] if choice.seeds == 1 else []), *([f"is {weak}"] if weak else [])]


def _needs_no_model(findings: Findings, wish: Wish) -> list[str]:
    """Return one line if the majority rule meets the target; otherwise none."""
    majority = findings.baselines.majority.get(findings.metric)
    if wish.target is None or majority is None or wish.target > majority:
        return []
    target, value = (shown_value(findings.metric, number) for number in (wish.target, majority))
    return [f"the target of {target} needs no model: {findings.baselines.always} has {findings.metric} {value}"]


def _given_up(advice: Advice, choice: Option, findings: Findings) -> list[str]:
    """Return the gap to the best measured option, tested with a correction for all options."""
    measured = [(series.name, point) for series in findings.options for point in series.points]
    best_series, best = max(measured, key=lambda pair: pair[1].estimate.value)
    gap = best.estimate.value - choice.metric.value
    if (best_series, best.budget) == (choice.series, choice.labels) or gap <= 0:
        return ["given up: nothing; no measured choice has a higher metric"] if advice.decided else []
    line = f"given up: {shown_difference(findings.metric, gap)} against {best_series} with {best.budget:,} labels"
    own_point = measured_point(choice, findings)
    if own_point is not None:
        others = [pair for pair in measured if pair[1] is not own_point]
        # compare() requires equal budgets; options with different labels are compared here.
        comparisons = compare(
            [(name, replace(p, budget=own_point.budget), choice.series, own_point) for name, p in others]
        )
        against_best = comparisons[next(index for index, pair in enumerate(others) if pair[1] is best)]
        tested = against_best.verdict if against_best.tested else against_best.judgement.words
        line += f" {against_best.interval} ({tested})"
    return [line]


def _certainty_lines(advice: Advice, choice: Option, certainty: float, *, findings: Findings, wish: Wish) -> list[str]:
    """Return the certainty of the choice in words, and the next measurement if it is not sure."""
    other = advice.runner_up
    point, rival = measured_point(choice, findings), other and measured_point(other, findings)
    if wish.target is not None:
        reason = f"{percent(certainty)} of the resamples reach {shown_value(findings.metric, wish.target)}"
    elif other is None:
        return ["there is no other series within the limits to compare with"]
    elif point and rival and not np.ptp(point.replicates - rival.replicates):
        same = "the runner-up is as good in all of the resamples, and no lighter"
        return [f"not sure: {same}", "to measure next: more test examples, on which the two may differ"]
    else:
        reason = f"{named(choice)} beats {named(other)} in {percent(certainty)} of the resamples"
    if advice.sure:
        return [f"sure: {reason}"]
    # Undecided advice on a single option begins with its reasons.
    begun = not advice.decided and (wish.target is not None or advice.contenders[0].share >= DECIDED)
    unsure = [] if begun else [f"not sure: {'; '.join([reason, *_few_seeds(point, wish)])}"]
    return [*unsure, f"to measure next: {_to_measure(choice, other, point, findings=findings, wish=wish)}"]


def _few_seeds(point: Point | None, wish: Wish) -> list[str]:
    """Return that two seeds are too few for a test; advice on a single seed is undecided for that reason."""
    if point is not None and len(point.runs) == 2 and wish.target is None:
        return [f"two seeds are too few for a test, which needs {MIN_SEEDS} that both have"]
    return []


def _to_measure(choice: Option, other: Option | None, point: Point | None, findings: Findings, wish: Wish) -> str:
    """Return the measurement that would make the choice sure; `point` is None if the choice is a prediction."""
    if wish.target == 1:
        return "nothing; no test set can show that there will be no error"
    if point is None:
        note = labels_missing(choice.labels, findings) or " (add it to study.budgets)"
        return f"{choice.series} with {choice.labels:,} labels{note}"
    at = f"at {point.budget:,} labels"
    if wish.target is None and len(point.runs) == 2:
        return f"{MIN_SEEDS} more seeds {at}"
    if len(point.runs) == 1 and any(choice.series == candidate.name for candidate in findings.candidates):
        return f"the same steps from runs of 4 more seeds {at}: one seed does not show how much seeds differ"
    goal, close = _goal(choice, other, findings, wish=wish)
    is_no_better = choice.metric.value <= findings.baselines.majority.get(findings.metric, -np.inf) + 1e-9
    missing = None if is_no_better else more_evidence(point, goal)
    if missing is not None:
        return missing
    close = (
        f"{at} it is no better than the majority" if is_no_better else f"{at} {close}: {endless_evidence(point, goal)}"
    )
    larger = [p for s in findings.options if s.name == choice.series for p in s.points if p.budget > point.budget]
    return f"nothing; {close}, and larger budgets are measured" if larger else f"a larger budget; {close}"


def _goal(choice: Option, other: Option | None, findings: Findings, wish: Wish) -> tuple[float, str]:
    """Return the metric that the choice should exceed, and in words that the two are close."""
    if findings.baselines.not_beaten(findings.metric, choice.metric):
        return findings.baselines.majority[findings.metric], "it is too close to the majority"
    if wish.target is not None:
        return wish.target, "it is too close to the target"
    return other.metric.value if other is not None else 0.0, "the two are too close"
