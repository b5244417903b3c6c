"""Output of results per class."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kit.cli.tables import print_table
from kit.runtime.console import echo

if TYPE_CHECKING:
    from kit.measurement.intervals import Estimate
    from kit.workflows.evaluate import Evaluation

_SHOWN_CONFUSIONS = 10


def print_classes(evaluation: Evaluation) -> None:
    """Print a table of the classes, lowest F1 first, and a table of the most frequent confusions."""
    rows = [
        (row.label, str(row.support), _words(row.f1), _words(row.precision), _words(row.recall))
        for row in evaluation.classes
    ]
    print_table(["class", "support", "F1 [95 % interval]", "precision", "recall"], rows)
    shown = evaluation.confusions[:_SHOWN_CONFUSIONS]
    if shown:
        print_table(["true", "predicted", "count"], [(pair.true, pair.predicted, str(pair.count)) for pair in shown])
    if left := len(evaluation.confusions) - len(shown):
        echo(f"{left} less frequent confusion{'s' if left > 1 else ''} not shown: see --json")


def classes_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the results per class and the confusions for JSON: [value, low, high] per score, or null."""
    classes = [
        {
            "label": row.label,
            "support": row.support,
            **{name: _numbers(getattr(row, name)) for name in ("precision", "recall", "f1")},
        }
        for row in evaluation.classes
    ]
    return {"classes": classes, "confusions": [asdict(pair) for pair in evaluation.confusions]}


def _words(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate.format(percent=True)


def _numbers(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]
