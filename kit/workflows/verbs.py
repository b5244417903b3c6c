"""Functions of the package for the verbs `report`, `advise`, `list` and `schema` of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RecordError

if TYPE_CHECKING:
    from kit.analysis.advice import Advice
    from kit.records.record import Record


def report(study: str | Path) -> list[Path]:
    """Write what a study found: one HTML page, Markdown, CSV files and the charts as PNG.

    Args:
        study: Folder of the study, such as `runs/study-sentiment`.

    Returns:
        The files that were written, in the study's folder.

    Raises:
        RecordError: The folder is not a study, or none of its cells has finished.
        OutputError: The folder cannot be written to.
    """
    from kit.reporting.write import write_report
    from kit.studies.analyse import analyse

    return write_report(Path(study), analyse(study))


def advise(
    study: str | Path,
    *,
    target: float | None = None,
    label_cost: float | None = None,
    max_latency_ms: float | None = None,
    max_size_mb: float | None = None,
) -> Advice:
    """Choose checkpoint, method and number of labels from what a study measured.

    Args:
        study: Folder of the study.
        target: Least value of the main metric, 0.85 or a BLEU of 30; None chooses the best.
        label_cost: Cost of one label, for the sentences of the advice.
        max_latency_ms: Longest time for one text (median), in milliseconds.
        max_size_mb: Largest saved model, in megabytes.

    Returns:
        The choice (None if nothing meets the limits), how sure it is, and all of it in sentences (`lines`).

    Raises:
        RecordError: The folder is not a study, or none of its cells has finished.
        DataError: The target is not a value that the metric can have.
    """
    from kit.analysis.advice import advise as choose
    from kit.analysis.advice_options import Wish
    from kit.studies.analyse import analyse

    largest = None if max_size_mb is None else 1e6 * max_size_mb
    return choose(analyse(study, derived=True), Wish(target, label_cost, max_latency_ms, largest))


def list_runs(runs: str | Path = "runs") -> list[Record]:
    """Return the finished runs in a folder, oldest first; runs that cannot be read are left out.

    The function of `kit list`; its name does not hide Python's `list`.

    Args:
        runs: Folder of the runs.

    Returns:
        Their Records.

    Raises:
        RecordError: There is no such folder.
    """
    from kit.records.record import list_records

    if not Path(runs).is_dir():
        raise RecordError(f"there is no folder {runs}", "`kit finetune RECIPE` makes the first run")
    return list_records(Path(runs))[0]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes, with a description of every key.

    Returns:
        Plain data, as `kit schema` prints it.
    """
    from kit.recipe.load import recipe_schema

    return recipe_schema()
