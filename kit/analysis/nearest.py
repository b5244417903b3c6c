"""The nearest options if nothing meets a wish, and the commands to try next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.analysis.advice_candidates import options_of, refusal_of
from kit.analysis.advice_options import Option, Wish, describe, fits, ranked, series_of
from kit.analysis.findings import Findings, Series
from kit.measurement.units import shown_difference, shown_value


@dataclass(frozen=True)
class Nearest:
    """The nearest options to a wish that nothing meets.

    Attributes:
        lines: The nearest options in words, and the reasons why they do not qualify.
        commands: Commands that may produce a model that qualifies.
    """

    lines: tuple[str, ...]
    commands: tuple[str, ...]


def nothing_qualifies(findings: Findings, wish: Wish, allowed: Sequence[Option]) -> Nearest:
    """Return the nearest options to a wish that nothing meets; if the study is unfinished, the command to finish it.

    Args:
        findings: The study with its candidates.
        wish: Target and limits.
        allowed: Options of all series that are within the limits at some number of labels.
    """
    if untimed := _untimed(findings, wish):
        finished = findings.unfinished.removeprefix("unfinished: ")
        line = f"cannot tell yet: the study is unfinished ({finished}) and {untimed}"
        return Nearest((line,), (findings.study_command,))
    nearest = _nearest(findings, wish, allowed)
    return replace(nearest, commands=(findings.study_command,)) if findings.unfinished else nearest


def _nearest(findings: Findings, wish: Wish, allowed: Sequence[Option]) -> Nearest:
    """Return the nearest options within and beyond the limits; without a limit, the highest metric."""
    yet = " yet" if findings.unfinished else ""
    lines = [f"nothing qualifies{yet}: no choice, measured or predicted, {_wanted(findings, wish)}"]
    within = [option for option in allowed if fits(option, wish)]
    all_options = [option for series in findings.options if series.points for option in options_of(series, wish)]
    outside = [option for option in ranked(all_options, wish) if option not in within]
    near = max(within, key=_metric, default=None)
    over = min(outside, key=lambda option: _excess(option, wish), default=None)
    if near is not None:
        lines.append(f"nearest within the limits: {describe(near, findings)}")
    if over is not None:
        lines.append(f"nearest beyond the limits: {describe(over, findings)}; {_over(over, wish)}")
        return Nearest(tuple(lines), tuple(_smaller(over, findings)))
    if near is not None:
        below, commands = _below_target(within, findings, wish)
        return Nearest((*lines, *below), commands)
    if not all_options:
        return Nearest(tuple(lines), ())
    best = max(all_options, key=_metric)
    lines.append(f"highest {findings.metric}: {describe(best, findings)}")
    return Nearest(tuple(lines), tuple(_smaller(best, findings)))


def _metric(option: Option) -> float:
    return option.metric.value


def _below_target(within: Sequence[Option], findings: Findings, wish: Wish) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return lines and commands for options that are all within the limits but below the target."""
    names = {series.name for series in findings.series}
    studied = [option for option in within if option.series in names] or within
    series = series_of(max(studied, key=_metric), findings)
    reason = _why_not(series, findings.metric, wish.target or 0)
    reasons = (reason,) if reason else ()
    if findings.unfinished:
        return reasons, ()
    labels = 2 * series.points[-1].budget
    next_line = f"to measure next: {series.name} with {labels:,} labels or more{labels_missing(labels, findings)}"
    return (*reasons, next_line), tuple(_larger(findings))


def labels_missing(labels: int, findings: Findings) -> str:
    """Return the number of labels that the data lack, as the end of a sentence.

    The result is empty if they have enough.
    """
    more = labels - findings.training_examples
    return f"; the data have {findings.training_examples:,} labels: {more:,} more are needed" if more > 0 else ""


def _untimed(findings: Findings, wish: Wish) -> str:
    """Return the number of models without a latency in an unfinished study, in words.

    The result is empty if irrelevant.
    """
    if not findings.unfinished or wish.max_latency_ms is None:
        return ""
    models = [series for series in findings.options if series.points]
    missing = sum(series.speed is None for series in models)
    if missing == len(models):
        return "no model was timed"
    return f"{missing} of its {len(models)} models were not timed" if missing else ""


def _wanted(findings: Findings, wish: Wish) -> str:
    """Return the wish in words, as the end of a sentence."""
    limits = []
    if wish.max_latency_ms is not None:
        limits.append(f"{wish.max_latency_ms:g} ms per text")
    if wish.max_size_bytes is not None:
        limits.append(f"{wish.max_size_bytes / 1e6:g} MB")
    inside = f"within {' and '.join(limits)}" if limits else ""
    if wish.target is None:
        return f"is {inside}"
    return f"reaches {findings.metric} {shown_value(findings.metric, wish.target)} {inside}".rstrip()


def _excess(option: Option, wish: Wish) -> tuple[float, float]:
    """Return the larger ratio of latency and size to their limits, at least 1, and the negated metric."""
    ratios = [1.0]
    for value, limit in ((option.latency_ms, wish.max_latency_ms), (option.model_bytes, wish.max_size_bytes)):
        if limit is not None:
            ratios.append(math.inf if value is None else value / max(limit, 1e-9))
    return max(ratios), -option.metric.value


def _over(option: Option, wish: Wish) -> str:
    """Return the limits that an option exceeds, in words; `describe` has its latency and size."""
    reasons = []
    if wish.max_latency_ms is not None and option.latency_ms is None:
        reasons.append("its latency is not known")
    elif wish.max_latency_ms is not None and (option.latency_ms or 0) > wish.max_latency_ms:
        reasons.append(f"above {wish.max_latency_ms:g} ms")
    if wish.max_size_bytes is not None and option.model_bytes is None:
        reasons.append("its size is not known")
    elif wish.max_size_bytes is not None and (option.model_bytes or 0) > wish.max_size_bytes:
        reasons.append(f"above {wish.max_size_bytes / 1e6:g} MB")
    return " and ".join(reasons)


def better_left_out(findings: Findings, wish: Wish, choice: Option) -> tuple[str, ...]:
    """Return the command for the best measured option that only exceeds latency or size.

    The result is empty if none is better.

    For an unfinished study, the command that continues it is returned instead.

    Args:
        findings: The study with its candidates.
        wish: Target and limits.
        choice: The first choice within the limits.
    """
    measured = [option for series in findings.options for option in options_of(series, wish) if option.measured]
    better = [o for o in measured if o.metric.value > choice.metric.value and _exceeds(o, wish)]
    ordered = sorted(better, key=_metric, reverse=True)
    commands = next((commands[:1] for option in ordered if (commands := _smaller(option, findings))), [])
    return (findings.study_command,) if commands and findings.unfinished else tuple(commands)


def _exceeds(option: Option, wish: Wish) -> bool:
    """Return whether a known latency or size of an option is above its limit."""
    slow = wish.max_latency_ms is not None and (option.latency_ms or 0) > wish.max_latency_ms
    return slow or not fits(option, wish)


def _smaller(option: Option, findings: Findings) -> list[str]:
    """Return the commands that derive a smaller and faster model from the model of an option.

    A student of a study is not distilled again: the suggested student would be as large.
    """
    series = series_of(option, findings)
    if series.method == "tfidf" or not series.points:
        return []
    is_derived = bool(series.steps) or any(series is candidate for candidate in findings.candidates)
    root = _root(series, findings) if is_derived else series
    point = min(root.points, key=lambda point: abs(point.budget - option.labels))
    saved = next((run for run in point.runs if run.model_bytes is not None), point.runs[0])
    run = shlex.quote(f"{findings.runs}/{saved.record}")
    student = "" if findings.student is None else f" --student {findings.student}"
    distil = [] if root.method == "distill" else [f"kit distill --teacher {run}{student}"]
    derived = [candidate.name for candidate in findings.candidates if candidate.name.startswith(f"{root.name} + ")]
    compressed_before = any(not name.startswith(f"{root.name} + distill") for name in derived) or any(
        one.steps and one.source == root.name for one in findings.series
    )
    return distil if is_derived or compressed_before else [f"kit compress {run}", *distil]


def _root(derived: Series, findings: Findings) -> Series:
    """Return the trained series that a compressed variant or a candidate was derived from."""
    if derived.steps:
        source = next(series for series in findings.series if series.name == derived.source)
        return _root(source, findings) if source.steps else source
    # The longest name that the name of the candidate begins with.
    roots = [series for series in findings.series if derived.name.startswith(f"{series.name} + ")]
    return max(roots, key=lambda series: len(series.name))


def _larger(findings: Findings) -> list[str]:
    """Return the command that repeats the study with more labels, if the data have more."""
    measured = {point.budget for series in findings.series for point in series.points}
    budgets = sorted(measured | {cell.budget for cell in findings.cells})
    more = min(2 * budgets[-1], findings.training_examples)
    if more <= budgets[-1]:
        return ["a study with a larger checkpoint (study.checkpoints), or more labelled data"]
    return [f"{findings.study_command} --set 'study.budgets=[{', '.join(map(str, [*budgets, more]))}]'"]


def _why_not(series: Series, metric: str, target: float) -> str:
    """Return the reason why a series is not predicted to reach a target.

    The result is empty if nothing is predicted for it: the advice has a line about refusals.
    """
    if series.fit is None or refusal_of(series):
        return ""
    fit, largest = series.fit, series.points[-1].budget
    needed = fit.labels_for(1 - target)
    if needed.value is not None:
        return f"its curve reaches it with {needed.value:,.0f} labels, but the measurement at {largest:,} is lower"
    off = shown_difference(metric, fit.backtest.error)
    return (
        f"its curve does not reach it by {fit.largest:,} labels (interval: from {needed.low:,.0f} on); such a "
        f"prediction was off by {off} at {fit.backtest.budget:,} labels, where the truth is known"
    )
