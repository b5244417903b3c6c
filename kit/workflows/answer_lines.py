"""Sentences of an answer: choice, certainty, costs, more labels, more time, dropped variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.analysis.advice_options import Option, Wish, latency_lines, named, series_of
from kit.analysis.curve import CurveRefused
from kit.analysis.points import metric_of
from kit.analysis.wording import joined
from kit.measurement.intervals import shown
from kit.measurement.units import shown_difference
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.advice import Advice
    from kit.analysis.findings import Findings
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
    )


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
    choice, cost = outcome.choice, outcome.wish.label_cost
    if choice is None:
        return []
    parts = [f"{choice.labels:,} labels"]
    if cost is not None:
        parts[0] += f" at {cost:g} each, {choice.labels * cost:,.2f} together"
    if choice.latency_ms is not None:
        parts.append(f"{choice.latency_ms:.3g} ms per text on this machine")
    if choice.model_bytes is not None:
        parts.append(megabytes(choice.model_bytes))
    return [f"costs: {'; '.join(parts)}"]


def _more_labels(outcome: Outcome) -> list[str]:
    """Return the predicted metric of the choice with more labels than the data have."""
    choice, findings = outcome.choice, outcome.findings
    if choice is None:
        return []
    series = series_of(choice, findings)
    largest = series.points[-1].budget
    if series.fit is None:
        return [f"more labels: no prediction: {series.refusal}"]
    ahead = _AHEAD * largest
    try:
        predicted = metric_of(series.fit.predict(ahead))
    except CurveRefused as refusal:
        return [f"more labels: no prediction: {refusal}"]
    if series.fit.form == "last":
        return [f"more labels: no gain is visible up to {largest:,} labels"]
    price = outcome.wish.label_cost
    cost = f" (another {(ahead - choice.labels) * price:,.2f})" if price is not None else ""
    off = shown_difference(findings.metric, -series.fit.backtest.error)
    at = f"{series.fit.backtest.budget:,} labels"
    return [
        f"more labels: with {ahead:,}{cost}, {series.name} is predicted to have {findings.metric} "
        f"{shown(findings.metric, predicted)}; such a prediction was off by {off} at {at}, where the truth is known"
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
        lines.append(f"more time: {joined(plan.without_time)} had none: `{outcome.replan}` measures them too")
    if lines:
        return lines
    reason = "the choice is sure" if look.sure else "the cells that are open cannot make the choice sure"
    return [f"more time: nothing to gain; {reason}"]


def dropped(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the variants that cannot be chosen, each with the reason."""
    known = outcome.plan.too_large if outcome.plan is not None else ()
    return list((dict(known) | dict(outcome.advice.excluded) | dict(outcome.look.dropped)).items())
