"""One cell of a study, in the process of a worker: a run like any other, or the timing of a model.

What a study's cells have in common is made once a process. Errors are results: nothing that goes wrong in a cell
reaches the worker.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

from kit.errors import BusyError, DataError, KitError, first_line
from kit.finetune import finetune
from kit.recipe import Recipe
from kit.record import Record
from kit.request import Shared
from kit.scheduling.base import JobData
from kit.scheduling.grid import Cell, cell_recipe
from kit.terminal import quiet_libraries

TIMED_TEXTS, WARM_UP = 60, 10


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
        wanted = cell_recipe(recipe, Cell(**job["cell"]))
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
    """How many milliseconds a saved model takes for one text: test texts one by one, after some to warm up."""
    import numpy as np

    from kit.models.predictor import load_predictor
    from kit.training.hardware import set_up_hardware

    hardware = set_up_hardware(recipe.train.precision)
    predictor = load_predictor(Record.read(folder).model_folder)
    texts = shared.cleaned(recipe.data).splits.test.texts[:TIMED_TEXTS]
    for text in texts[:WARM_UP]:
        predictor.logits([text])
    times = []
    for text in texts:
        began = time.perf_counter()
        predictor.logits([text])
        times.append(1_000 * (time.perf_counter() - began))
    where = f"{hardware.device}, {hardware.threads} threads" if hardware.device == "cpu" else hardware.device
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95)), "hardware": where}
