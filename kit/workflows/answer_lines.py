"""Sentences of an answer: choice, certainty, costs, more labels, more time, dropped variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.analysis.advice_candidates import refusal_of
from kit.analysis.advice_options import Option, Wish, latency_lines, named, series_of, undone_words
from kit.analysis.points import metric_of
from kit.analysis.wording import joined
from kit.measurement.intervals import shown
from kit.measurement.units import shown_difference
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.advice import Advice
    from kit.analysis.findings import CellRow, Findings
    from kit.analysis.sequential import Look
    from kit.workflows.answer_plan import AnswerPlan

_AHEAD = 2  # more labels are predicted at this multiple of the largest measured number
_MOST_OPEN = 3  # open options to name


@dataclass(frozen=True)
class Outcome:
    """Result of a study that was run for an answer.

    Attributes:
        findings: Findings of the study.
        wish: Target and limits.
        advice: Advice of the study.
        look: Certain and open questions.
        choice: The choice; None if nothing meets the wish.
        again: Command that continues with more minutes.
        plan: Plan of the study; None if its recipe is used as it stands.
        replan: Command that plans everything that had no time; empty if nothing was left out for lack of time.
    """

    findings: Findings
    wish: Wish
    advice: Advice
    look: Look
    choice: Option | None
    again: str
    plan: AnswerPlan | None
    replan: str


def answer_lines(outcome: Outcome) -> tuple[str, ...]:
    """Return the answer in sentences."""
    return (
        *_choice_lines(outcome),
        f"{'sure' if outcome.look.sure else 'not sure'}: {outcome.look.claim}",
        *_cost_lines(outcome),
        *latency_lines(outcome.findings),
        *_more_labels(outcome),
        *_more_time(outcome),
        *(f"dropped: {name}: {reason}" for name, reason in dropped(outcome)),
        *(f"failed: {cell.series} {cell.budget:,} seed {cell.seed}: {cell.error}" for cell in _failed(outcome)),
    )


def _failed(outcome: Outcome) -> list[CellRow]:
    return [cell for cell in outcome.findings.cells if cell.state == "failed"]


def _choice_lines(outcome: Outcome) -> list[str]:
    """Return the choice with its metric; without one, the nearest options as in the advice."""
    choice, findings = outcome.choice, outcome.findings
    if choice is None:
        return [line for line in outcome.advice.lines if not line.startswith(("left out: ", "to try: "))]
    kind = findings.metric if choice.measured else f"predicted {findings.metric}"
    seeds = f"mean of {choice.seeds} seeds" if choice.seeds > 1 else "1 seed"
    words = seeds if choice.measured else "not measured"
    return [f"choose {named(choice)}: {kind} {shown(findings.metric, choice.metric)} ({words})"]


def _cost_lines(outcome: Outcome) -> list[str]:
    choice, price = outcome.choice, outcome.wish.label_cost
    if choice is None:
        return []
    parts = [f"{choice.labels:,} labels"]
    if choice.cost is not None:
        parts[0] += f" at {price:,.2f} each, {choice.cost:,.2f} together"
    if choice.latency_ms is not None:
        doubt = f" ({choice.latency_doubt})" if choice.latency_doubt else ""
        parts.append(f"{choice.latency_ms:.3g} ms per text on this machine{doubt}")
    if choice.model_bytes is not None:
        parts.append(megabytes(choice.model_bytes))
    undone = undone_words(choice, outcome.findings)
    return [f"costs: {'; '.join(parts)}", *([f"note: {undone}"] if undone else [])]


def _more_labels(outcome: Outcome) -> list[str]:
    """Return the predicted metric of the choice with more labels than were measured."""
    choice, findings = outcome.choice, outcome.findings
    if choice is None:
        return []
    series = series_of(choice, findings)
    ahead, fit = _AHEAD * series.points[-1].budget, series.fit
    if fit is None or (reason := refusal_of(series)):
        return [f"more labels: no prediction for {series.name}: {series.refusal if fit is None else reason}"]
    predicted = shown(findings.metric, metric_of(fit.predict(ahead)))
    price = outcome.wish.label_cost
    cost = f", for another {(ahead - choice.labels) * price:,.2f}" if price is not None else ""
    off = shown_difference(findings.metric, -fit.backtest.error)
    return [
        f"more labels: {series.name} with {ahead:,} labels{cost}: predicted {findings.metric} {predicted}; such a "
        f"prediction was off by {off} where the truth is known"
    ]


def _more_time(outcome: Outcome) -> list[str]:
    """Return whether more minutes could change the choice, and the commands that use them."""
    look, plan = outcome.look, outcome.plan
    lines = []
    if look.open:
        options = [f"{one.series} with {one.labels:,} labels" for one in look.open[:_MOST_OPEN]]
        options += [f"{len(look.open) - _MOST_OPEN} more"] if len(look.open) > _MOST_OPEN else []
        lines.append(f"more time: {joined(options)} can still change the choice: `{outcome.again}` continues")
    if plan is not None and plan.without_time:
        lines.append(f"not measured for lack of time: {joined(plan.without_time)}: `{outcome.replan}` includes them")
    if lines:
        return lines
    reason = "the choice is sure" if look.sure else "no further cell of this plan could make the choice sure"
    to_measure = [] if look.sure else [line for line in outcome.advice.lines if line.startswith("to measure next: ")]
    return [f"more time: nothing to gain; {reason}", *to_measure]


def dropped(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the variants that cannot be chosen, each with the reason."""
    known = outcome.plan.too_large if outcome.plan is not None else ()
    return list((dict(known) | dict(outcome.advice.excluded) | dict(outcome.look.dropped)).items())
