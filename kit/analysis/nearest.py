"""What comes nearest where nothing that a study knows meets a wish, and which command to try next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from kit.analysis.findings import Findings, Series
from kit.analysis.options import Option, Wish, describe, fits, options_of, ranked
from kit.measurement.units import shown_difference, shown_value

FINISH = "kit study RECIPE"  # the command that continues an unfinished study


@dataclass(frozen=True)
class Nearest:
    """lines: what comes nearest and why it does not qualify. commands: what may give a model that qualifies."""

    lines: tuple[str, ...]
    commands: tuple[str, ...]


def nothing_qualifies(findings: Findings, wish: Wish, allowed: Sequence[Option]) -> Nearest:
    """Return what comes nearest to a wish that nothing meets.

    Args:
        findings: The study with its candidates.
        wish: What is needed.
        allowed: Options of all series that break no limit at some number of labels.
    """
    within = [option for option in allowed if fits(option, wish)]
    every = [option for each in findings.options if each.points for option in options_of(each, wish)]
    outside = [option for option in ranked(every, wish) if option not in within]
    if untimed := _untimed(findings, wish):
        finished = findings.unfinished.removeprefix("unfinished: ")
        return Nearest((f"cannot tell yet: the study is unfinished ({finished}) and {untimed}",), (FINISH,))
    yet = " yet" if findings.unfinished else ""
    lines = [f"nothing qualifies{yet}: no choice, measured or predicted, {_wanted(findings, wish)}"]
    near = max(within, key=lambda option: option.metric.value, default=None)
    over = min(outside, key=lambda option: _excess(option, wish), default=None)
    if near is not None:
        lines.append(f"nearest within the limits: {describe(near, findings, wish)}")
    if over is not None:
        lines.append(f"nearest beyond the limits: {describe(over, findings, wish)}; {_over(over, wish)}")
        return Nearest(tuple(lines), tuple(_smaller(over, findings)))
    if near is None:
        best = max(every, key=lambda option: option.metric.value, default=None)
        lines += [f"highest {findings.metric}: {describe(best, findings, wish)}"] if best is not None else []
        return Nearest(tuple(lines), tuple(_smaller(best, findings) if best is not None else ()))
    names = {each.name for each in findings.series}
    studied = [option for option in within if option.series in names] or within
    series = _series(max(studied, key=lambda option: option.metric.value), findings)
    lines.append(_why_not(series, findings.metric, wish.target or 0))
    if findings.unfinished:
        return Nearest(tuple(lines), (FINISH,))
    labels = 2 * series.points[-1].budget
    more = labels - findings.training_examples
    beyond = f" ({more:,} more than the data have)" if more > 0 else ""
    lines.append(f"to measure next: {series.name} with {labels:,} labels or more{beyond}")
    return Nearest(tuple(lines), tuple(_larger(findings)))


def _untimed(findings: Findings, wish: Wish) -> str:
    """Say how many models of an unfinished study a latency limit cannot be checked for; empty if none."""
    if not findings.unfinished or wish.max_latency_ms is None:
        return ""
    models = [each for each in findings.options if each.points]
    missing = sum(each.speed is None for each in models)
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
    """Return how many times the limits an option takes, the worse of latency and size; then its metric, negated."""
    ratios = [1.0]
    if wish.max_latency_ms is not None:
        ratios.append(math.inf if option.latency_ms is None else option.latency_ms / max(wish.max_latency_ms, 1e-9))
    if wish.max_size_bytes is not None:
        ratios.append(math.inf if option.model_bytes is None else option.model_bytes / max(wish.max_size_bytes, 1e-9))
    return max(ratios), -option.metric.value


def _over(option: Option, wish: Wish) -> str:
    """Say which limits an option breaks; its latency and size stand in its description."""
    reasons = []
    if wish.max_latency_ms is not None and option.latency_ms is None:
        reasons.append("its latency was not measured")
    elif wish.max_latency_ms is not None and (option.latency_ms or 0) > wish.max_latency_ms:
        reasons.append(f"above {wish.max_latency_ms:g} ms")
    if wish.max_size_bytes is not None and option.model_bytes is None:
        reasons.append("its size is not known")
    elif wish.max_size_bytes is not None and (option.model_bytes or 0) > wish.max_size_bytes:
        reasons.append(f"above {wish.max_size_bytes / 1e6:g} MB")
    return " and ".join(reasons)


def better_left_out(findings: Findings, wish: Wish, choice: Option) -> tuple[str, ...]:
    """Return the command for the best measured option that only latency or size leave out; none if it is no better.

    Args:
        findings: The study with its candidates.
        wish: What is needed.
        choice: The first choice within the limits.
    """
    measured = [option for each in findings.options for option in options_of(each, wish) if option.measured]
    better = [o for o in measured if o.metric.value > choice.metric.value and _exceeds(o, wish)]
    ordered = sorted(better, key=lambda option: -option.metric.value)
    return next((tuple(commands[:1]) for each in ordered if (commands := _smaller(each, findings))), ())


def _exceeds(option: Option, wish: Wish) -> bool:
    """Whether a known latency or size of an option is above its limit."""
    slow = wish.max_latency_ms is not None and (option.latency_ms or 0) > wish.max_latency_ms
    return slow or not fits(option, wish)


def _smaller(option: Option, findings: Findings) -> list[str]:
    """Return the commands that make a smaller and faster model of the one that an option was measured with."""
    series = _series(option, findings)
    if series.method == "tfidf" or not series.points:
        return []
    compressed = next((each for each in findings.candidates if each.name == series.name), None)
    root = series
    if compressed is not None:
        root = max((e for e in findings.series if series.name.startswith(f"{e.name} + ")), key=lambda e: len(e.name))
    at = min(root.points, key=lambda point: abs(point.budget - option.labels))
    kept = next((run for run in at.runs if run.model_bytes is not None), at.runs[0])
    run = shlex.quote(f"{findings.runs}/{kept.record}")
    student = "" if findings.task == "translation" else " --student layers:3"
    distil = f"kit distill --teacher {run}{student}"
    names = [each.name for each in findings.candidates if each.name.startswith(f"{root.name} + ")]
    compressed_before = any(not name.startswith(f"{root.name} + distill") for name in names)
    return [distil] if compressed is not None or compressed_before else [f"kit compress {run}", distil]


def _larger(findings: Findings) -> list[str]:
    """Return the command that measures the study with more labels, if the data have more."""
    measured = {point.budget for each in findings.series for point in each.points}
    budgets = sorted(measured | {cell.budget for cell in findings.cells})
    more = min(2 * budgets[-1], findings.training_examples)
    if more <= budgets[-1]:
        return ["a study with a larger checkpoint (study.checkpoints), or more labelled data"]
    return [f"kit study RECIPE --set 'study.budgets=[{', '.join(map(str, [*budgets, more]))}]'"]


def _series(option: Option, findings: Findings) -> Series:
    return next(each for each in findings.options if each.name == option.series)


def _why_not(series: Series, metric: str, target: float) -> str:
    """Say why a series is not predicted to reach a target."""
    if series.fit is None:
        return f"no prediction for {series.name}: {series.refusal}"
    fit, largest = series.fit, series.points[-1].budget
    if fit.form == "last":
        return "the labels needed are not known: no curve predicts the largest budget better than the budget before it"
    needed = fit.labels_for(1 - target)
    if needed.value is not None:
        return f"its curve gets there with {needed.value:,.0f} labels, but {largest:,} were measured to give less"
    off = shown_difference(metric, fit.backtest.error)
    return (
        f"its curve does not get there by {fit.largest:,} labels (interval: from {needed.low:,.0f} on); such a "
        f"prediction was off by {off} at {fit.backtest.budget:,} labels, where the truth is known"
    )
