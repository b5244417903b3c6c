"""Prediction with a finished run or an exported model: one prediction per text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import DataError
from kit.publishing.saved_model import Served, find_served
from kit.runtime.characters import without_surrogates

if TYPE_CHECKING:
    from kit.workflows.prediction.decisions import Decisions

_CHUNK = 1_024  # texts per call of the model, which bounds the memory for a stream and lets progress be shown
_SHOWN = 60  # characters

Texts = tuple[str, ...]


def predict(
    folder: str | Path,
    texts: str | Iterable[str | Sequence[str]],
    *,
    trust_remote_code: bool = False,
    min_confidence: float | None = None,
    coverage: float | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one prediction per text, in order.

    Every prediction has `text`, then `label`, `score` and `scores`; for multi-label `labels` and `scores`; for
    translation `translation`, `loops` if it repeats itself, and `copied` if it equals the source text; for regression
    `prediction`. `cut` is true if the text has more tokens than the model reads. `undecided` is true, and `label` None,
    if the confidence is too low to decide.

    Args:
        folder: A run, an exported model, or one format of it.
        texts: Strings, or sequences of two strings for a model of text pairs. A single string is one text. Lone
            surrogates are read as U+FFFD.
        trust_remote_code: Allow the model to run code from its checkpoint.
        min_confidence: Least score of a decided prediction.
        coverage: Share of the decided predictions that must be right, with 95 % certainty. The least score is chosen on
            examples of the budget that the model was not trained on.
        warn: Called once if texts to translate appear to be in the target language, or are returned unchanged.

    Raises:
        DataError: If a text is missing, is not a string, or has the wrong number of parts; the message has its
            position. All texts of a list are checked before the first prediction.
        RecordError: If the folder is not a run or an exported model, or is damaged.
        ModelError: If the model cannot be loaded.
    """
    from kit.workflows.prediction.decisions import decisions_of

    served = find_served(folder)
    decisions = decisions_of(served, min_confidence, coverage)
    yield from predict_with(served, texts, trust_remote_code=trust_remote_code, decisions=decisions, warn=warn)


def predict_with(
    served: Served,
    texts: str | Iterable[str | Sequence[str]],
    *,
    trust_remote_code: bool = False,
    decisions: Decisions | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one prediction per text, like `predict`, for a model that is already located."""
    from kit.models.load import load_predictor, require_labels
    from kit.tasks import task_for

    rows = _checked(texts, served)
    task = task_for(served.recipe, served.labels)
    require_labels(served.model_folder, served.labels, served.backend)
    predictor = load_predictor(served.model_folder, trust_remote_code, served.backend)
    while chunk := list(islice(rows, _CHUNK)):
        outputs = predictor.outputs(chunk)
        warning = task.warning(chunk, outputs, served.name) if warn else None
        if warn and warning:
            warn(warning)
            warn = None
        for row, prediction, cut in zip(chunk, task.predictions(chunk, outputs), predictor.cut(chunk), strict=True):
            if decisions is not None:
                prediction = decisions.decided(prediction)  # noqa: PLW2901
            yield {"text": row[0] if len(row) == 1 else list(row), **prediction, **({"cut": True} if cut else {})}


def prediction_columns(served: Served, decisions: Decisions | None = None) -> dict[str, Any]:
    """Return an example of every field that a prediction of a model can have, by name, without the text."""
    from kit.tasks import task_for

    flags = {"cut": False} if decisions is None else {"undecided": False, "cut": False}
    return {**task_for(served.recipe, served.labels).example_prediction, **flags}


def _checked(texts: object, served: Served) -> Iterator[Texts]:
    """Return the rows as tuples of strings; the rows of a list are all checked first."""
    if isinstance(texts, str):
        texts = [texts]
    is_table = hasattr(texts, "iloc") and hasattr(texts, "columns")  # iterating over a pandas table yields column names
    if is_table or isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise DataError(
            f"texts: expected strings, got {_described(texts)}",
            "pass a list of strings, for example the column of a table: frame['text'].tolist()",
        )
    rows = (_row(value, number, served) for number, value in enumerate(texts, start=1))
    return iter(list(rows)) if isinstance(texts, Sized) else rows


def _row(value: object, number: int, served: Served) -> Texts:
    """Return the texts of one row. Raises DataError with the row's number."""
    columns = served.text_columns
    row = (value,) if isinstance(value, str) else value
    if not isinstance(row, (tuple, list)):
        raise DataError(f"text {number} is {_described(value)}, not a string", _row_hint(value, columns))
    for part in row:
        if not isinstance(part, str):
            raise DataError(f"text {number} holds {_described(part)}, not a string", _row_hint(part, columns))
    if len(row) != len(columns):
        raise DataError(
            f"text {number}: {served.name} takes {len(columns)} per row ({', '.join(columns)}), got {len(row)}",
            _shape_hint(columns),
        )
    return tuple(map(without_surrogates, row))


def _row_hint(value: object, columns: Sequence[str]) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "leave missing values out, or replace them by an empty string"
    return _shape_hint(columns) if isinstance(value, Mapping) or len(columns) > 1 else "convert it with str()"


def _shape_hint(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return f"pass the strings of {columns[0]!r}, one per row"
    pair = ", ".join(f'"{column}": "..."' for column in columns)
    return f"from Python pass tuples ({', '.join(columns)}); in files use these columns, or JSON lines {{{pair}}}"


def _described(value: object) -> str:
    """Return a value and its type, for messages."""
    if value is None:
        return "None"
    shown = repr(value)
    return f"{shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'} ({type(value).__name__})"
