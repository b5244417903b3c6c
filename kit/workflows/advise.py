"""Advice on checkpoint, method and number of labels, from the findings of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.analysis.advice import Advice


def advise(
    study: str | Path,
    *,
    target: float | None = None,
    label_cost: float | None = None,
    max_latency_ms: float | None = None,
    max_size_mb: float | None = None,
) -> Advice:
    """Choose checkpoint, method and number of labels from the measurements of a study.

    Args:
        study: Folder of the study.
        target: Least value of the main metric, such as 0.85 or a BLEU of 30; None chooses the best.
        label_cost: Cost of one label, for the sentences of the advice.
        max_latency_ms: Largest median time per text, in milliseconds.
        max_size_mb: Largest size of the saved model, in megabytes.

    Returns:
        The choice (None if nothing meets the limits), its certainty, and the advice in sentences (`lines`).

    Raises:
        RecordError: If the folder is not a study, or none of its cells has finished.
        DataError: If the metric cannot have the target value.
    """
    from kit.analysis.advice import advise as choose
    from kit.analysis.advice_options import Wish
    from kit.studies.analyse import analyse

    max_size_bytes = None if max_size_mb is None else 1e6 * max_size_mb
    return choose(analyse(study, derived=True), Wish(target, label_cost, max_latency_ms, max_size_bytes=max_size_bytes))
