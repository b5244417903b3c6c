"""Choice of the run of a study to export: the one that the advice chooses, or that of a named variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RecordError, StudyChoiceError

if TYPE_CHECKING:
    from kit.analysis.advice_options import Option, Wish
    from kit.analysis.findings import Findings, Series
    from kit.analysis.points import Point
    from kit.records.record import Record

_ALTERNATIVES = 5  # other series on the model card, the best first


@dataclass(frozen=True)
class StudyChoice:
    """A run of a study to export.

    Attributes:
        run: Its folder.
        lines: The reason for the choice and the other series, for the terminal and the model card.
    """

    run: Path
    lines: tuple[str, ...]


def choose_run(study: str | Path, wish: Wish, *, variant: str | None = None, budget: int | None = None) -> StudyChoice:
    """Return the run of a study that meets a wish, or a run of a named variant.

    Of several seeds, the first one with a saved model is taken: the test examples do not choose between seeds.

    Args:
        study: Folder of the study.
        wish: Target and limits, as for `advise`; not used with a variant.
        variant: Name of a series in the report of the study.
        budget: Number of labels; None for the largest budget of the variant.

    Raises:
        StudyChoiceError: Nothing meets the wish, the choice was not measured, or there is no such variant or budget.
        RecordError: The folder is not a study, or the chosen cells kept no model.
    """
    from kit.analysis.advice import advise
    from kit.studies.analyse import analyse

    findings = analyse(study, derived=True)
    if variant is not None:
        series = _series(findings, variant)
        reason = "named by the command"
        point = _point(series, budget)
    else:
        advice = advise(findings, wish)
        if advice.choice is None:
            raise StudyChoiceError("no model of the study meets the target and the limits", "; ".join(advice.lines[:2]))
        series, point = _measured(advice.choice, findings)
        reason = "decided by its advice" if advice.decided else f"not decided by its advice: {advice.lines[0]}"
    record = _with_model(findings, series, point)
    return StudyChoice(record.folder, _lines(findings, series, point, reason))


def _series(findings: Findings, variant: str) -> Series:
    from kit.recipe.problems import nearest

    names = [series.name for series in findings.options]
    if variant in names:
        return findings.options[names.index(variant)]
    close = nearest(variant, names)
    remedy = f"did you mean {close}?" if close else f"variants are {', '.join(names)}"
    raise StudyChoiceError(f"--variant: the study has no variant {variant}", remedy)


def _point(series: Series, budget: int | None) -> Point:
    if budget is None:
        return series.points[-1]
    for point in series.points:
        if point.budget == budget:
            return point
    measured = ", ".join(f"{point.budget:,}" for point in series.points)
    raise StudyChoiceError(
        f"--budget: {series.name} has no cells with {budget:,} labels", f"its budgets are {measured}"
    )


def _measured(choice: Option, findings: Findings) -> tuple[Series, Point]:
    series = _series(findings, choice.series)
    if not choice.measured:
        raise StudyChoiceError(
            f"the choice, {choice.series} with {choice.labels:,} labels, is a prediction: the study has no such model",
            f"add {choice.labels} to study.budgets and start the study again, or name a measured model with --variant",
        )
    return series, _point(series, choice.labels)


def _with_model(findings: Findings, series: Series, point: Point) -> Record:
    """Return the Record of the first seed with a saved model."""
    from kit.records.record import Record

    for run in sorted(point.runs, key=lambda run: run.seed):
        try:
            record = Record.read(Path(findings.runs) / run.record)
        except RecordError:
            continue
        if record.model_folder.is_dir():
            return record
    raise RecordError(
        f"the cells of {series.name} with {point.budget:,} labels kept no model",
        f"{findings.study_command} --set study.keep_models=true, which trains them again, then export",
    )


def _lines(findings: Findings, series: Series, point: Point, reason: str) -> tuple[str, ...]:
    """Return the reason for the choice, its metric, and the other series with the same number of labels."""
    from kit.measurement.intervals import shown

    def words(one: Series, at: Point) -> str:
        latency = f", {one.speed.p50_ms:.3g} ms per text" if one.speed is not None else ""
        size = f", {at.model_bytes / 1e6:.1f} MB" if at.model_bytes else ""
        value = f"{findings.metric} {shown(findings.metric, at.estimate)}"
        return f"{one.name} with {at.budget:,} labels: {value}{latency}{size}"

    others = [
        (one, at) for one in findings.options if one is not series for at in one.points if at.budget == point.budget
    ]
    others.sort(key=lambda pair: -pair[1].estimate.value)
    return (
        f"chosen in the study {findings.study} ({reason}): {words(series, point)}",
        *(f"compared with {words(one, at)}" for one, at in others[:_ALTERNATIVES]),
    )
