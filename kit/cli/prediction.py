"""The command `kit predict`: predictions on standard output or in a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any

from kit.cli.tables import print_predictions, warn
from kit.data.reading import reading_of
from kit.errors import DataError
from kit.publishing.saved_model import Served, find_served
from kit.records.record import is_exported
from kit.runtime.characters import require_utf8
from kit.runtime.console import echo
from kit.workflows.predict import predict_with, prediction_columns
from kit.workflows.prediction.arguments import sort_arguments
from kit.workflows.prediction.decisions import Decisions, decisions_of
from kit.workflows.prediction.output import check_output, kept_columns, table_writer
from kit.workflows.prediction.rows import FORMATS, PredictionInput, Row, from_files, from_standard_input, from_texts
from kit.workflows.prediction.warnings import TextWarnings, as_columns

_ROWS_PER_WRITE = 1_024


@dataclass(frozen=True)
class Request:
    """Arguments of the command."""

    run: Path
    arguments: list[str]
    files: list[Path]
    format: str | None
    out: Path | None
    keep: list[str]
    trust_remote_code: bool
    min_confidence: float | None = None
    coverage: float | None = None


def run_prediction(request: Request) -> None:
    """Predict all rows of the input, in order.

    Raises:
        DataError: If the input is ambiguous or cannot be read. Nothing is printed before, unless it is a stream.
        OutputError: If the table cannot be written.
    """
    if request.keep and request.out is None:
        raise DataError("--keep goes with --out", "kit predict RUN tickets.csv --out predictions.csv --keep ticket_id")
    require_utf8([str(request.run), *request.keep, request.format or "", str(request.out or "")])
    served = find_served(request.run)
    decisions = decisions_of(served, request.min_confidence, request.coverage)
    source = _read_input(request, served)
    for note in source.notes:
        warn(note)
    warnings = TextWarnings()
    if request.out is None:
        predicted = warnings.watch(*_predictions(source.rows(), served, request, decisions=decisions))
        print_predictions(prediction for _, prediction in predicted)
    else:
        _write_table(request, request.out, source, served=served, decisions=decisions, warnings=warnings)
    if decisions is not None and decisions.note:
        echo(decisions.note, err=True)
    for line in warnings.lines():
        warn(line)


def _read_input(request: Request, served: Served) -> PredictionInput:
    if request.format is not None and request.format not in FORMATS:
        raise DataError(f"--format {request.format}: not a format", f"one of {', '.join(FORMATS)}")
    arguments, files = request.arguments, request.files
    if files and arguments:
        raise DataError("texts and --file exclude each other", "use one of them")
    columns = served.text_columns
    reading = reading_of(served.recipe.data)
    if files and files != [Path("-")]:
        return from_files([path.expanduser() for path in files], columns, reading, format=request.format)
    if arguments and arguments != ["-"]:
        sorted_arguments = sort_arguments(arguments)
        if sorted_arguments.files:
            return from_files(sorted_arguments.files, columns, reading, format=request.format)
        for note in sorted_arguments.notes:
            warn(note)
        return from_texts(sorted_arguments.texts, columns)
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "no text to predict", 'kit predict RUN "a text", kit predict RUN --file texts.txt, or pipe texts in'
        )
    return from_standard_input(columns, reading, request.format)


def _predictions(
    rows: Iterator[Row], served: Served, request: Request, *, decisions: Decisions | None
) -> tuple[Iterable[Row], Iterator[dict[str, Any]]]:
    """Return the rows and an iterator over their predictions."""
    rows, texts = tee(rows)
    predictions = predict_with(
        served,
        (row.texts for row in texts),
        trust_remote_code=request.trust_remote_code,
        decisions=decisions,
        warn=warn,
    )
    return rows, predictions


def _write_table(
    request: Request,
    path: Path,
    source: PredictionInput,
    *,
    served: Served,
    decisions: Decisions | None,
    warnings: TextWarnings,
) -> None:
    """Write kept columns and predictions; without --keep, the text columns are kept."""
    from kit.training.progress import Progress

    run = request.run
    check_output(path, source.files, run.parent if is_exported(run.parent) else run)
    example = prediction_columns(served, decisions)
    partial = source.partial_columns
    keep = kept_columns(request.keep or source.text_columns, source.columns, list(example), partial=partial)
    if "all" in request.keep and partial:
        left_out = ", ".join(f"{column!r} (not in {name})" for column, name in partial.items())
        warn(f"--keep all: columns that only some files have are left out: {left_out}")
    values = {name: source.values(column) for column, name in keep.items()}
    predicted = warnings.watch(*_predictions(source.rows(list(keep)), served, request, decisions=decisions))
    progress = nullcontext() if source.count is None else Progress().counting("predicting", source.count, "texts")
    with table_writer(path, values, example) as writer, progress as advance:
        while rows := list(islice(predicted, _ROWS_PER_WRITE)):
            writer.write([_table_row(row, prediction, keep, example=example) for row, prediction in rows])
            if advance:
                advance(len(rows))


def _table_row(row: Row, prediction: dict[str, Any], keep: dict[str, str], example: dict[str, Any]) -> dict[str, Any]:
    return {**{name: row.kept[column] for column, name in keep.items()}, **as_columns(prediction, example)}
