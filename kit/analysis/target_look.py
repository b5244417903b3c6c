"""A look at a study with a target: which options certainly reach it or miss it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.analysis.looks import Candidate, Evidence, Judged, Look, Open, Verdict, next_seeds
from kit.analysis.mean_bounds import Mean
from kit.analysis.significance import MIN_SEEDS
from kit.measurement.units import shown_value

_POSSIBLE = 2.0  # standard errors below the target from which an option is no longer measured


@dataclass(frozen=True)
class _Option:
    """A series at a budget, measured or interpolated, with its verdict."""

    candidate: Candidate
    labels: int
    mean: Mean
    judged: Judged

    @property
    def name(self) -> str:
        return f"{self.judged.series} with {self.labels:,} labels"

    @property
    def most(self) -> int:
        return self.candidate.seeds[self.labels]


def look_for_target(evidence: Evidence, target: float) -> Look:
    """Return the look at a study whose choice has the fewest labels that reach the target.

    Args:
        evidence: Measurements; every series has its smallest and its largest budget.
        target: Least value of the main metric. A target below the majority rule is replaced by the rule's metric.
    """
    goal = max(target, evidence.floor)
    options = [option for candidate in evidence.candidates for option in _options(evidence, candidate, goal)]
    options.sort(key=lambda option: (option.labels, -option.mean.value))
    measured = [option for option in options if option.mean.seeds]
    choice = next((option for option in measured if option.judged.verdict is Verdict.MEETS), None)
    before = options if choice is None else [option for option in options if option.labels < choice.labels]
    undecided = [option for option in before if option.judged.verdict is Verdict.OPEN]
    sure = choice is not None or not undecided
    guess = choice or next((option for option in undecided if option.mean.seeds and option.mean.value >= goal), None)
    wanted = _wanted(undecided, evidence, goal)
    if choice is None and not wanted:
        wanted = _doubtful(undecided, evidence, goal)
    if guess is not None:  # first, because time may be over before the others
        wanted.sort(key=lambda one: (one.series, one.labels) != (guess.judged.series, guess.labels))
    cheapest = choice is not None and not undecided
    return Look(
        evidence.number,
        tuple(option.judged for option in measured),
        choice=None if guess is None else guess.judged,
        sure=sure,
        claim=_claim(guess, sure, cheapest, evidence=evidence, target=target, largest=options[-1].labels),
        cheapest=cheapest,
        open=tuple(wanted),
        dropped=_dropped(options, choice, wanted, evidence=evidence, target=target),
    )


def _options(evidence: Evidence, candidate: Candidate, goal: float) -> list[_Option]:
    """Return the options of a series with their verdicts, smallest budget first."""
    tested = evidence.measured(candidate, MIN_SEEDS)
    bounds = {labels: _bounds(evidence, candidate, labels) for labels in tested}
    meets = _in_order(list(reversed(tested)), lambda labels: bounds[labels][0] > goal)
    fails = _in_order(tested, lambda labels: bounds[labels][1] < goal)
    options = []
    for labels in sorted(candidate.seeds):
        mean = evidence.mean(candidate, labels)
        # Fewer labels than a budget that fails are not enough either.
        failed = labels <= max(fails, default=0)
        verdict = Verdict.FAILS if failed else Verdict.MEETS if labels in meets else Verdict.OPEN
        low, high = bounds.get(labels, (None, None))
        judged = Judged(candidate.series, labels, mean.seeds, value=mean.value, low=low, high=high, verdict=verdict)
        options.append(_Option(candidate, labels, mean, judged=judged))
    return options


def _in_order(budgets: Sequence[int], holds: Callable[[int], bool]) -> list[int]:
    """Return the budgets before the first one that does not hold."""
    end = next((index for index, labels in enumerate(budgets) if not holds(labels)), len(budgets))
    return list(budgets[:end])


def _bounds(evidence: Evidence, candidate: Candidate, labels: int) -> tuple[float, float]:
    """Return the bounds of an option, the tightest of all looks.

    Bounds that contradict those of earlier looks replace them.
    """
    low, high = evidence.means[candidate.series, labels].bounds(evidence.level, evidence.metric)
    for earlier in evidence.earlier.options:
        if (earlier.series, earlier.labels) == (candidate.series, labels) and earlier.low is not None:
            least, most = max(low, earlier.low), min(high, earlier.high or high)
            return (least, most) if least <= most else (low, high)
    return low, high


def _wanted(undecided: Sequence[_Option], evidence: Evidence, goal: float) -> list[Open]:
    """Return the options to measure, up to the first that more seeds probably show to qualify."""
    wanted = []
    for option in undecided:
        mean, level = option.mean, evidence.next_level
        optimistic = mean.value + mean.error() * (_POSSIBLE if mean.seeds < MIN_SEEDS else 1)
        if mean.seeds >= option.most or optimistic - mean.width(level, option.most) <= goal:
            continue
        seeds = next_seeds(mean.seeds, option.most)
        wanted.append(Open(option.judged.series, option.labels, seeds))
        if seeds >= MIN_SEEDS and mean.value - mean.width(level, seeds) > goal:
            break
    return wanted


def _doubtful(undecided: Sequence[_Option], evidence: Evidence, goal: float) -> list[Open]:
    """Return the largest budgets, if more seeds may show that none reaches the goal."""
    last = list({option.judged.series: option for option in undecided}.values())
    level, wanted = evidence.next_level, []
    for option in last:
        mean = option.mean
        if mean.seeds >= option.most or mean.value - mean.error() + mean.width(level, option.most) >= goal:
            return []
        wanted.append(Open(option.judged.series, option.labels, next_seeds(mean.seeds, option.most)))
    return wanted


def _claim(
    guess: _Option | None, sure: bool, cheapest: bool, *, evidence: Evidence, target: float, largest: int
) -> str:
    """Return the claim in words, or the reason why there is none."""
    shown = shown_value(evidence.metric, target)
    if guess is None:
        no_choice = f"no variant reaches {evidence.metric} {shown} with up to {largest:,} labels"
        return no_choice if sure else f"no measured choice reaches {evidence.metric} {shown}, but this is not certain"
    low = guess.judged.low
    if not sure:
        few = f"fewer than {MIN_SEEDS} seeds" if low is None else f"at least {shown_value(evidence.metric, low)}"
        mean = shown_value(evidence.metric, guess.mean.value)
        return f"{guess.name} has a mean {evidence.metric} of {mean}, but may miss {_goal(evidence, target)} ({few})"
    fewer = "no choice with fewer labels does" if cheapest else "fewer labels may be enough, which is not certain"
    at_least = "" if low is None else f" (at least {shown_value(evidence.metric, low)})"
    return f"{guess.name} reaches {evidence.metric} {shown}{at_least}; {fewer}"


def _goal(evidence: Evidence, target: float) -> str:
    """Return the value that a choice must reach, in words: the target, or the majority rule's if that is higher."""
    if evidence.floor > target:
        return f"the {shown_value(evidence.metric, evidence.floor)} of the majority rule"
    return shown_value(evidence.metric, target)


def _dropped(
    options: Sequence[_Option], choice: _Option | None, wanted: Sequence[Open], *, evidence: Evidence, target: float
) -> dict[str, str]:
    """Return the series that cannot be chosen any more, with the reason."""
    dropped, open_series = {}, {one.series for one in wanted}
    shown = shown_value(evidence.metric, target)
    for candidate in evidence.candidates:
        own = [option for option in options if option.candidate is candidate]
        last = own[-1].judged
        if last.verdict is Verdict.FAILS:
            most = "" if last.high is None else f": at most {shown_value(evidence.metric, last.high)}"
            dropped[candidate.series] = f"certain to miss {_goal(evidence, target)} with {last.labels:,} labels{most}"
        elif choice is not None and choice.candidate is not candidate and candidate.series not in open_series:
            fewer = [option for option in own if option.labels < choice.labels]
            sure = all(option.judged.verdict is Verdict.FAILS for option in fewer)
            needs = f"needs at least as many labels as {choice.name}"
            unlikely = f"no further seed can show that it reaches {shown} with fewer labels than {choice.name}"
            dropped[candidate.series] = needs if sure else unlikely
    return dropped
