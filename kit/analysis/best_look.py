"""A look at a study without a target: whether the best series is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kit.analysis.looks import INDIFFERENCE, Candidate, Evidence, Judged, Look, Open, Verdict, next_seeds
from kit.analysis.mean_bounds import Mean, means_of
from kit.analysis.points import Point, Run
from kit.analysis.significance import MIN_SEEDS
from kit.measurement.units import shown_difference


def look_for_best(evidence: Evidence) -> Look:
    """Return the look whose choice has the highest metric at its largest budget.

    Args:
        evidence: Measurements; every series has its largest budget.
    """
    out = {one.series for one in evidence.earlier.options if one.verdict is Verdict.FAILS}
    tops = {one.series: one.points[-1] for one in evidence.candidates}
    left = [one for one in evidence.candidates if one.series not in out]
    choice = max(left, key=lambda one: tops[one.series].estimate.value)
    rivals = [one for one in left if one is not choice]
    gaps = dict(zip((one.series for one in rivals), _gaps(rivals, tops, tops[choice.series]), strict=True))
    worse = {series for series, gap in gaps.items() if _tested(gap) and gap.value + gap.width(evidence.level) < 0}
    undecided = {series: gap for series, gap in gaps.items() if series not in worse and not _within(gap, evidence)}
    own = evidence.mean(choice, tops[choice.series].budget)
    beats = _tested(own) and own.bounds(evidence.level, evidence.metric)[0] > evidence.floor
    sure = not undecided and beats
    judged = [option for one in evidence.candidates for option in _judged(one, gaps, evidence, failed=out | worse)]
    chosen = next(one for one in judged if (one.series, one.labels) == (choice.series, tops[choice.series].budget))
    certain = replace(chosen, verdict=Verdict.MEETS) if sure else chosen
    wanted = [] if sure else _wanted(left, choice, gaps, undecided=undecided, evidence=evidence)
    return Look(
        evidence.number,
        tuple(certain if one is chosen else one for one in judged),
        choice=certain,
        sure=sure,
        claim=_claim(chosen, sure, undecided, metric=evidence.metric),
        open=tuple(wanted),
        dropped={series: f"certain to be worse than {choice.series}" for series in (*sorted(out), *sorted(worse))},
    )


def _gaps(rivals: Sequence[Candidate], tops: Mapping[str, Point], best: Point) -> list[Mean]:
    """Return the differences of rivals to the choice, paired by seed and test example."""
    of_best = {run.seed: run for run in best.runs}
    runs = []
    for one in rivals:
        own = tops[one.series].runs
        shared = [(run, of_best[run.seed]) for run in own if run.seed in of_best] or [(own[0], best.runs[0])]
        runs.append(
            [Run("", a.seed, a.value - b.value, correct=a.correct, samples=a.samples - b.samples) for a, b in shared]
        )
    return means_of(runs)


def _tested(mean: Mean) -> bool:
    return mean.seeds >= MIN_SEEDS


def _within(gap: Mean, evidence: Evidence) -> bool:
    """Return whether a rival is certainly not better by a difference that matters."""
    return _tested(gap) and gap.value + gap.width(evidence.level) < INDIFFERENCE


def _judged(candidate: Candidate, gaps: Mapping[str, Mean], evidence: Evidence, failed: set[str]) -> list[Judged]:
    """Return the options of a series; its largest budget has bounds of the difference to the choice."""
    series, options = candidate.series, []
    for point in candidate.points:
        low = high = None
        if series in gaps and point is candidate.points[-1] and _tested(gaps[series]):
            width = gaps[series].width(evidence.level)
            low, high = gaps[series].value - width, gaps[series].value + width
        mean = evidence.means[series, point.budget]
        verdict = Verdict.FAILS if series in failed else Verdict.OPEN
        options.append(Judged(series, point.budget, mean.seeds, value=mean.value, low=low, high=high, verdict=verdict))
    return options


def _wanted(
    left: Sequence[Candidate],
    choice: Candidate,
    gaps: Mapping[str, Mean],
    *,
    undecided: Mapping[str, Mean],
    evidence: Evidence,
) -> list[Open]:
    """Return the choice, and the rivals that more seeds may show to be worse or as good."""
    most = {one.series: one.seeds[one.points[-1].budget] for one in left}
    hopeful = [
        one
        for one in left
        if one.series in undecided and _can_end(undecided[one.series], most[one.series], evidence.next_level)
    ]
    seeds = {one.series: len(one.points[-1].runs) for one in left}
    if not hopeful and seeds[choice.series] >= MIN_SEEDS:
        return []
    fewest = min([seeds[choice.series], *(gaps[one.series].seeds for one in hopeful)])
    wanted = [
        Open(one.series, one.points[-1].budget, max(seeds[one.series], next_seeds(fewest, most[one.series])))
        for one in (choice, *hopeful)
    ]
    return [one for one in wanted if one.seeds > seeds[one.series]]


def _can_end(gap: Mean, most: int, level: float) -> bool:
    """Return whether all seeds of the grid could show that a rival is not better."""
    optimistic = gap.value - gap.error() * (2 if gap.seeds < MIN_SEEDS else 1)
    return gap.seeds < most and optimistic + gap.width(level, most) < INDIFFERENCE


def _claim(choice: Judged, sure: bool, undecided: Mapping[str, Mean], metric: str) -> str:
    """Return the claim in words, or the reason why there is none."""
    name, margin = f"{choice.series} with {choice.labels:,} labels", shown_difference(metric, INDIFFERENCE)
    if sure:
        return f"{name} is within {margin} of the best choice within the limits"
    if choice.seeds < MIN_SEEDS:
        return f"{name} has the highest {metric}, but fewer than {MIN_SEEDS} seeds"
    if not undecided:
        return f"{name} has the highest {metric}, but may be no better than the majority rule"
    rivals = ", ".join(undecided)
    return f"{name} has the highest {metric}, but may be worse than {rivals} by more than {margin}"
