"""One cell of a study in a worker process: a run like any other, or the timing of models.

Data shared by a study's cells are loaded once per process. Errors are returned as results: no error of a cell reaches
the worker. If the study has a storage, Records are written to a folder of the worker and then copied there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import torch

import kit.methods  # noqa: F401  import the libraries of every cell before the first one
from kit.compression.chain import compress_chain
from kit.errors import BusyError, DataError, RecordError
from kit.measurement.speed import speeds_to_json
from kit.recipe import Recipe
from kit.records.record import Record
from kit.runs.derived_recipes import taught_by
from kit.runs.execute import finetune
from kit.runs.request import LoadedInputs, make_request
from kit.runtime.cache_folders import cache_root
from kit.runtime.files import locked
from kit.runtime.json_files import json_sha256
from kit.runtime.quiet_libraries import quiet_libraries
from kit.runtime.versions import versions
from kit.studies.engines.base import JobData
from kit.studies.error_words import error_words
from kit.studies.grid import Cell, Grid
from kit.studies.record_storage import Storage
from kit.studies.timing import time_models


def run(context: JobData, job: JobData) -> JobData:
    """Run a job of a study.

    Args:
        context: {"recipe": of the study, "data": fingerprints of its splits, "checkpoints": hash of each, "folder":
            base of relative paths, "versions": see `runtime.versions.versions`, "storage": URL or null}.
        job: {"cell": {...}, "keep_model": bool, "source": id of the Record that it is made from, or null} or
            {"time": [ids of Records], "memory": {id: peak memory that was measured before}}.

    Returns:
        {"record": id, "found": whether the Record was finished before, "undone": steps that the gate undid},
        {"busy": true} or {"error": text} for a cell;
        {"speeds": content of speed.json, "no_speed": {id: reason}, "no_memory": {id: reason}} for a timing;
        {"refused": text} from a worker that must not run any cell.
    """
    quiet_libraries()
    began = datetime.now(UTC).isoformat(timespec="seconds")  # as Records note when they were created
    different = _differences(context["versions"], versions())
    if different:
        return {"refused": f"the worker on {socket.gethostname()} has other versions: {'; '.join(different)}"}
    if Path(context["folder"]).is_dir():  # otherwise the cluster unpacked it and started the worker in it
        os.chdir(context["folder"])
    storage = Storage(context["storage"]) if context["storage"] else None
    try:
        with _own_runs(Recipe.model_validate(context["recipe"]), storage, job) as recipe:
            shared = _shared(json.dumps(context, sort_keys=True))
            _require_same_data(shared, recipe, context["data"])
            if "time" in job:
                return _timed(job, shared, recipe, storage)
            record, undone = _cell(recipe, job, shared, storage)
            return {"record": record.id, "found": record.content.created < began, "undone": undone}
    except BusyError:
        return {"busy": True}
    except Exception as error:
        return {"error": error_words(error)}
    finally:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # leave the memory to other workers on the same GPU


def _cell(recipe: Recipe, job: JobData, shared: LoadedInputs, storage: Storage | None) -> tuple[Record, list[str]]:
    """Return the cell's Record, and the compression steps that were undone, in words."""
    cell, grid, source = Cell(**job["cell"]), Grid(recipe), None
    requested = grid.recipe_of(cell)
    if job["source"] is not None:
        source = Record.load(_record_folder(job["source"], Path(recipe.runs), storage))
    if source is not None and grid.variants[cell.variant].steps is not None:
        return _compressed(requested, source, shared, storage)
    if source is not None:
        requested = taught_by(requested, source)
    return _finished_record(requested, job["keep_model"], shared, storage), []


def _compressed(
    requested: Recipe, source: Record, shared: LoadedInputs, storage: Storage | None
) -> tuple[Record, list[str]]:
    """Return the last Record of a chain, and the undone steps in words."""
    done = compress_chain(requested.compress, source, quiet=True, shared=shared, timed=False)
    if storage is not None:
        for link in done.links:
            storage.keep(link.record)
    # A step that was undone may have been kept with other settings.
    kept = {link.technique for link in done.links if link.gate.passed}
    undone = {link.technique: link.gate.broken for link in done.links if link.technique not in kept}
    return done.record, [f"{technique}: {' and '.join(broken)}" for technique, broken in undone.items()]


def _finished_record(requested: Recipe, keep_model: bool, shared: LoadedInputs, storage: Storage | None) -> Record:
    """Return the finished Record of a recipe, run if necessary, and keep it in the storage if there is one."""
    if storage is not None:
        storage.fetch(make_request(requested, shared).id, Path(requested.runs))
    record = finetune(requested, quiet=True, keep_model=keep_model, shared=shared)
    if storage is not None:
        storage.keep(record)
    return record


def _timed(job: JobData, shared: LoadedInputs, recipe: Recipe, storage: Storage | None) -> JobData:
    """Return the speeds of models as the result of a job, see `run`."""

    def model_of(run_id: str) -> Path:
        return Record.load(_record_folder(run_id, Path(recipe.runs), storage)).model_folder

    texts = shared.cleaned(recipe.data).splits.test.texts
    timing = time_models(job["time"], model_of, texts, recipe, memory=job["memory"])
    return {"speeds": speeds_to_json(timing.speeds), "no_speed": timing.no_speed, "no_memory": timing.no_memory}


def _record_folder(run_id: str, runs: Path, storage: Storage | None) -> Path:
    """Return the folder of a finished Record. Raises RecordError if the storage has lost it."""
    if storage is not None and not storage.fetch(run_id, runs):
        raise RecordError(
            f"{storage.url}/{run_id} is not a Record any more", "start the study again: it repeats the cell"
        )
    return runs / run_id


@contextmanager
def _own_runs(recipe: Recipe, storage: Storage | None, job: JobData) -> Iterator[Recipe]:
    """Yield the recipe; with a storage, runs go to a temporary folder of this job.

    The folder stays if the process dies, so that the next attempt on this machine continues. Raises BusyError while
    another process works on the same job.
    """
    if storage is None:
        yield recipe
        return
    content = [storage.url, recipe.model_dump(mode="json"), job]
    name = json_sha256(content)[:16]
    folder = cache_root() / "cells" / name
    with locked(folder.with_name(f".{name}.lock"), f"{folder} is in use"):
        try:
            yield recipe.model_copy(update={"runs": str(folder)})
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _differences(expected: dict[str, str | None], actual: dict[str, str | None]) -> list[str]:
    """Return the versions in which a worker differs from the start of the study, in words."""
    return [
        f"{name} {actual.get(name) or 'not installed'} there, {version or 'not installed'} where the study was started"
        for name, version in expected.items()
        if actual.get(name) != version
    ]


@lru_cache(maxsize=1)
def _shared(context: str) -> LoadedInputs:
    """Return the data shared by the cells of a study, one object per study and process."""
    return LoadedInputs()


def _require_same_data(shared: LoadedInputs, recipe: Recipe, expected: dict[str, str]) -> None:
    if shared.cleaned(recipe.data).audit.fingerprints != expected:
        raise DataError(
            f"{recipe.data.source} changed since the study began", "start the study again", key="data.source"
        )
