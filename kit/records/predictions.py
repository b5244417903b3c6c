"""predictions.parquet of a Record: predictions for the test examples, with their true labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import MAKE_AGAIN, RecordError, first_line

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

    from kit.data import Examples

PREDICTIONS_FILE = "predictions.parquet"


@dataclass(frozen=True)
class Predictions:
    """Predictions for n test examples.

    Attributes:
        ids: (n,) row of each example in its source.
        labels: n tuples of true label names, or with the number or the reference translation.
        outputs: (n, labels) float32 logits, (n, 1) predicted numbers, or (n,) translations.
    """

    ids: np.ndarray
    labels: list[tuple[str, ...]]
    outputs: np.ndarray


def read_predictions(file: Path, labels: tuple[str, ...], column: str) -> Predictions:
    """Return the content of a predictions.parquet.

    Args:
        file: The file.
        labels: Label names of the Record; empty if the labels are not names.
        column: Name of the column with the outputs.

    Raises:
        RecordError: The file cannot be read or has other labels.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            table = parquet.read(use_threads=False)
        names = [tuple(row) for row in table["labels"].to_pylist()]
        if labels and not {name for row in names for name in row} <= {*labels}:
            raise ValueError("it has labels that record.json does not list")
        return Predictions(np.asarray(table["id"].to_pylist(), np.int64), names, _outputs(table[column]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:  # pyarrow raises these
        problem = f"{file.name} cannot be read ({first_line(error)})"
        raise RecordError(f"{file.parent} is damaged: {problem}", MAKE_AGAIN) from error


def _outputs(column: ChunkedArray) -> np.ndarray:
    """Return texts, or rows of numbers. Raises ValueError for rows of different lengths."""
    cells = column.combine_chunks()
    if not hasattr(cells, "flatten") or not len(cells):
        return np.asarray(cells.to_pylist(), object if len(cells) else np.float32)
    return np.asarray(cells.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(cells), -1)


def write_predictions(folder: Path, examples: Examples, outputs: np.ndarray, column: str) -> None:
    """Write predictions.parquet: id (int64), labels (list of names), and outputs (str, or list of float32).

    Args:
        folder: Folder of the Record.
        examples: Test examples.
        outputs: (n,) texts, or (n, outputs) numbers.
        column: Name of the column with the outputs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array(examples.ids, pa.int64()),
        "labels": pa.array([list(names) for names in examples.labels], pa.list_(pa.string())),
    }
    if outputs.dtype.kind == "f":
        columns[column] = pa.array(list(outputs.astype(np.float32)), pa.list_(pa.float32()))
    else:
        columns[column] = pa.array(list(outputs), pa.string())
    pq.write_table(pa.table(columns), folder / PREDICTIONS_FILE)
