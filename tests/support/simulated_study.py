"""A finished study of any size from one real Record, with drawn predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kit.measurement.speed import Speed
from kit.records.predictions import PREDICTIONS_FILE, Predictions
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.files import file_sha256
from kit.runtime.seals import sealed
from kit.studies.grid import Cell, Grid, plan_cells
from kit.studies.ledger import Ledger, Outcome

TRAINED = ("finetune", "probe", "lora", "scratch")


def simulated_study(folder: Path, like: Record, *, variants: int, checkpoints: int, budgets: int, seeds: int) -> int:
    """Write a finished study and return its number of cells.

    Every second variant is a compressed form of the one before. Accuracy rises with labels and with checkpoints.
    """
    recipe = like.recipe.model_copy(update={"runs": str(folder.parent), "method": "finetune"})
    content = recipe.model_dump(mode="json", exclude_unset=True)
    content["study"] = {
        "variants": [_variant(index) for index in range(variants)],
        "checkpoints": [f"simulated/size-{index}" for index in range(checkpoints)],
        "budgets": [20 * 2**index for index in range(budgets)],
        "seeds": seeds,
    }
    content["model"] = {"checkpoint": "simulated/size-0"}
    content["data"]["budget"] = None
    study = type(recipe).model_validate(content)
    cells = dict.fromkeys(plan_cells(Grid(study), 100_000, 2), "key")
    facts = {"description": "simulated", "training_examples": 100_000, "test_examples": 1, "warnings": []}
    prints = {"train": "0", "test": "0"}
    ledger = Ledger.start(folder, study, cells, {**facts, "labels": list(like.labels), "fingerprints": prints})
    truth, speeds = like.predictions(), {}
    random = np.random.default_rng(0)
    hardness = random.random(len(truth.ids))
    for cell in cells:
        record = _write_record(folder.parent, like, cell, _outputs(cell, truth, like.labels, hardness, random))
        ledger.write(Outcome(cell, "key", "finished", record))
        speeds[record] = Speed(*_latency(cell), "simulated")
    ledger.write_speeds(speeds)
    return len(cells)


def _variant(index: int) -> dict[str, Any]:
    base = index // 2 * 2
    if index % 2:
        return {"name": f"int8 {base // 2}", "of": f"{TRAINED[base // 2 % 4]} {base // 2}", "steps": ["int8-onnx"]}
    method = TRAINED[base // 2 % 4]
    return {"name": f"{method} {base // 2}", "method": method, "set": {"train.epochs": 1 + base // 2}}


def _rank(cell: Cell) -> tuple[int, bool]:
    """Return the place of the checkpoint among the sizes, and whether the variant is compressed."""
    return int((cell.checkpoint or "0").split("-")[-1]), cell.variant.startswith("int8")


def _latency(cell: Cell) -> tuple[float, float]:
    size, compressed = _rank(cell)
    median = 2.0 ** (size + 1) * (0.4 if compressed else 1.0)
    return median, 1.5 * median


def _outputs(
    cell: Cell, truth: Predictions, labels: tuple[str, ...], hardness: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return (n, labels) logits that are right on the examples that are not too hard."""
    size, compressed = _rank(cell)
    skill = 1 - 0.45 * (cell.budget / 20) ** -(0.15 + 0.02 * size) - 0.01 * compressed
    right = hardness + random.normal(0, 0.15, len(hardness)) < skill
    targets = np.array([labels.index(names[0]) for names in truth.labels])
    chosen = np.where(right, targets, (targets + 1) % len(labels))
    return np.eye(len(labels), dtype=np.float32)[chosen]


def _write_record(runs: Path, like: Record, cell: Cell, outputs: np.ndarray) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, compressed = _rank(cell)
    name = cell.name
    target = runs / name
    target.mkdir(parents=True)
    table = pq.read_table(like.folder / PREDICTIONS_FILE)
    column = like.recipe.rules.output_column
    place = table.column_names.index(column)
    table = table.set_column(place, column, pa.array(list(outputs), pa.list_(pa.float32())))
    pq.write_table(table, target / PREDICTIONS_FILE)
    content = like.to_dict() | {
        "id": name,
        "files": {PREDICTIONS_FILE: file_sha256(target / PREDICTIONS_FILE)},
        "model_bytes": int(20e6 * 2**size * (0.26 if compressed else 1)),
    }
    (target / RECORD_FILE).write_text(json.dumps(sealed(content)), "utf-8")
    return name
