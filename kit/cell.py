"""One cell of a study, in the process of a worker: a run like any other, or the timing of a model.

What a study's cells have in common is made once a process. Errors are results: nothing that goes wrong in a cell
reaches the worker.
"""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from kit.distill import taught_by
from kit.errors import BusyError, DataError, KitError, first_line
from kit.finetune import finetune
from kit.recipe import Recipe
from kit.record import Record
from kit.request import Shared
from kit.scheduling.base import JobData
from kit.scheduling.grid import Cell, cell_recipe
from kit.terminal import quiet_libraries


def run(context: JobData, job: JobData) -> JobData:
    """Do a job of a study. Returns {"record": id}, {"busy": true}, {"error": text} or {"speed": {...}}.

    context: {"recipe": of the study, "data": fingerprints of its splits, "checkpoints": content of each, "folder": that
    relative paths start at}.
    job: {"cell": {...}, "keep_model": bool} or {"time": id of a Record}.
    """
    quiet_libraries()
    os.chdir(context["folder"])
    recipe = Recipe.model_validate(context["recipe"])
    try:
        shared = _shared(json.dumps(context, sort_keys=True))
        _require_same_data(shared, recipe, context["data"])
        if "time" in job:
            return {"speed": _time_model(Path(recipe.runs) / job["time"], shared, recipe)}
        cell = Cell(**job["cell"])
        wanted = cell_recipe(recipe, cell)
        if cell.method == "distill" and wanted.distill.teacher is None:
            # The teacher is the study's own cell: found if it has finished, made now if not.
            teacher = finetune(cell_recipe(recipe, replace(cell, method="finetune")), quiet=True, shared=shared)
            wanted = taught_by(wanted, teacher)
        record = finetune(wanted, quiet=True, keep_model=job["keep_model"], shared=shared)
        return {"record": record.id}
    except BusyError:
        return {"busy": True}
    except KitError as error:
        return {"error": str(error)}
    except Exception as error:
        traceback.print_exc()  # goes to the worker's log
        return {"error": f"{type(error).__name__}: {first_line(error)}"}


@lru_cache(maxsize=1)
def _shared(context: str) -> Shared:
    """Made once for each study that this process works for."""
    return Shared()


def _require_same_data(shared: Shared, recipe: Recipe, expected: dict[str, str]) -> None:
    if shared.cleaned(recipe.data).audit.fingerprints != expected:
        raise DataError(f"data.source: {recipe.data.source} changed since the study began", "start the study again")


def _time_model(folder: Path, shared: Shared, recipe: Recipe) -> dict[str, Any]:
    """How many milliseconds a saved model takes for one text."""
    from kit.measurement.speed import latencies
    from kit.models.predictor import load_predictor
    from kit.training.hardware import set_up_hardware

    hardware = set_up_hardware(recipe.train.precision)
    predictor = load_predictor(Record.read(folder).model_folder, recipe.model.trust_remote_code)
    found = latencies([predictor.outputs], shared.cleaned(recipe.data).splits.test.texts)[0]
    return {"p50_ms": found.p50_ms, "p95_ms": found.p95_ms, "hardware": hardware.words}
