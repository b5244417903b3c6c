"""Sentences on the worth of pretraining, distillation and compression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kit.analysis.findings import Series
from kit.analysis.frontier import weight
from kit.analysis.points import ROUNDING
from kit.analysis.pretraining_value import Transfer
from kit.analysis.source_comparison import SourceComparison
from kit.analysis.wording import joined
from kit.measurement.intervals import Estimate
from kit.measurement.units import shown_difference
from kit.runtime.quantities import megabytes

CLOSE = 0.01  # of the metric: choices within 1 point count as close


def pretraining_sentences(worth: Sequence[Transfer], series: Sequence[Series]) -> list[str]:
    """Return the labels that scratch needs to match the best pretrained series.

    They are those at its smallest and at its largest budget.
    """
    if not worth:
        return []
    known = [transfer for transfer in worth if transfer.times is not None or transfer.low >= 1]
    if not known:
        return ["The labels that training from scratch needs are unknown: the intervals are too wide."]
    last = {one.name: one.points[-1].estimate.value for one in series if one.points}
    best = max(known, key=lambda transfer: last.get(transfer.series, -math.inf)).series
    of_best = [transfer for transfer in known if transfer.series == best]
    ends = of_best[:1] if len(of_best) == 1 else [of_best[0], of_best[-1]]
    parts = [f"{times(transfer)} at {transfer.budget:,}" for transfer in ends]
    text = f"Pretraining: to match {best}, training from scratch would take {joined(parts)} labels"
    off = scratch_backtest(series)
    return [f"{text}; {off}." if off else f"{text}."]


def source_sentences(
    compared: Sequence[SourceComparison], series: Sequence[Series], distilled: Sequence[Transfer]
) -> list[str]:
    """Return one sentence on the worth of distillation and one on that of compression.

    The result has neither if the study has no such models. Of several students or compressed models, each sentence is
    about the lightest one that is within 1 point of the model that it is made from; if there is none, about the one
    that loses least. Models of which the gate undid all steps are left out.
    """
    by_name = {one.name: one for one in series}
    largest: dict[str, SourceComparison] = {}
    for one in compared:
        if one.series not in largest or one.budget > largest[one.series].budget:
            largest[one.series] = one
    kept = [one for one in largest.values() if not _is_source(one, by_name)]
    sentences = []
    for kind, steps in (("Distillation", False), ("Compression", True)):
        of_kind = [one for one in kept if bool(by_name[one.series].steps) is steps]
        if of_kind:
            sentences.append(_sentence(kind, of_kind, by_name, distilled))
    return sentences


def _sentence(
    kind: str, compared: Sequence[SourceComparison], by_name: Mapping[str, Series], distilled: Sequence[Transfer]
) -> str:
    close = [one for one in compared if one.change.difference.value >= -CLOSE - ROUNDING]
    shown = (
        min(close, key=lambda one: _weight(by_name[one.series], one.budget))
        if close
        else max(compared, key=lambda one: one.change.difference.value)
    )
    chosen = f"the lightest of {len(close)} within 1 point" if len(close) > 1 else "the one that loses least"
    which = f" ({chosen})" if len(compared) > 1 else ""
    own, source = by_name[shown.series], by_name[shown.source]
    undone = f", undone by the gate for {shown.undone} of {shown.seeds} seeds" if shown.undone else ""
    saved = _saving_words(own, source, shown.budget)
    saved = f"{saved} against {source.name}" if saved else f"is compared with {source.name}"
    change = f"{shown.change.metric} changes by {shown.change.size} ({shown.change.judgement.words}{undone})"
    without = [
        f"without its teacher it would take {times(transfer)}"
        for transfer in distilled
        if (transfer.series, transfer.budget) == (own.name, shown.budget)
        and (transfer.times is not None or transfer.low >= 1)
    ]
    return f"{kind}: {own.name}{which} {saved} at {shown.budget:,} labels; {'; '.join([change, *without])}."


def _is_source(compared: SourceComparison, by_name: Mapping[str, Series]) -> bool:
    """Return whether the gate undid all steps of all seeds."""

    def records(name: str) -> set[str]:
        return {run.record for p in by_name[name].points if p.budget == compared.budget for run in p.runs}

    return compared.undone == compared.seeds and records(compared.series) <= records(compared.source)


def _weight(series: Series, budget: int) -> tuple[float, float]:
    size = next((point.model_bytes for point in series.points if point.budget == budget), None)
    return weight(series.speed.p50_ms if series.speed else None, size)


def saved_ms(series: Series, source: Series) -> Estimate | None:
    """Return the median time per text that a series saves; None if it is unknown.

    The 95 % interval combines the intervals of both medians as if they were independent (Zou & Donner 2008,
    doi:10.1002/sim.3095). The models were timed in the same rounds, which makes it too wide rather than too narrow.
    """
    if series.speed is None or source.speed is None:
        return None
    own, other = series.speed, source.speed
    (own_low, own_high), (low, high) = own.interval, other.interval
    saved = other.p50_ms - own.p50_ms
    below = math.hypot(other.p50_ms - low, own_high - own.p50_ms)
    above = math.hypot(high - other.p50_ms, own.p50_ms - own_low)
    return Estimate(saved, saved - below, saved + above)


def _saving_words(series: Series, source: Series, budget: int) -> str:
    """Return the time and size that a series saves against its source, as a phrase.

    The result is empty if both are unknown.
    """
    saved, others = list[str](), list[str]()
    milliseconds = saved_ms(series, source)
    if milliseconds is not None and source.speed is not None:
        low, high = milliseconds.low, milliseconds.high
        if low > 0:
            saved.append(
                f"{milliseconds.value:.3g} ms [{low:.3g}, {high:.3g}] of {source.speed.p50_ms:.3g} ms per text"
            )
        elif high < 0:
            others.append(f"takes {-milliseconds.value:.3g} ms [{-high:.3g}, {-low:.3g}] more per text")
        else:
            others.append(f"is not significantly faster ({milliseconds.value:.3g} ms [{low:.3g}, {high:.3g}])")
    sizes = [next((p.model_bytes for p in one.points if p.budget == budget), None) for one in (series, source)]
    if sizes[0] is not None and sizes[1] is not None:
        less = sizes[1] - sizes[0]
        if less > 0:
            saved.append(f"{megabytes(less)} of {megabytes(sizes[1])}")
        else:
            others.append(f"is {megabytes(-less)} larger" if less < 0 else "is as large")
    phrases = [f"saves {joined(saved)}"] if saved else []
    return joined([*phrases, *others]) if phrases or others else ""


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
    """Return the multiple of labels that a control needs, with its interval, in words."""
    if transfer.times is None:
        return f"more than {transfer.low:.3g} times the labels"
    text = f"{transfer.times:.3g} times"
    if transfer.low == 0 and transfer.high is None:
        return f"{text} the labels (too uncertain for an interval)"
    doubt = " (not significant)" if transfer.low <= 1 and (transfer.high is None or transfer.high >= 1) else ""
    if transfer.low == 0:
        return f"{text} (at most {transfer.high:.3g}) the labels{doubt}"
    if transfer.high is None:
        return f"{text} (at least {transfer.low:.3g}) the labels{doubt}"
    return f"{text} [{transfer.low:.3g}, {transfer.high:.3g}] the labels{doubt}"
