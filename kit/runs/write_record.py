"""How a Record is made: locked, in a hidden folder, fitted, tested, saved, proven, sealed, published.

Knows drafts, Records and predictors. Knows nothing of how models are fitted.
"""

from __future__ import annotations

import gc
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import DivergedError, KitError, LaunchError, OutputError, RecordError, VerificationError, WriteError
from kit.recipe.section import one_or_all
from kit.records.predictions import write_predictions
from kit.records.record import MODEL_FOLDER, Record, seal
from kit.runtime.files import folder_bytes, locked, publish, require_space, writing_to
from kit.runtime.leftovers import checkpoint_words, remove_drafts, saved_checkpoints
from kit.runtime.signals import Stopped, forget_earlier, note_kept
from kit.runtime.temporary import note_place

if TYPE_CHECKING:
    import numpy as np

    from kit.data import Prepared
    from kit.methods import Fitted, Job
    from kit.models.checkpoints.checkpoint import Checkpoint
    from kit.models.predictor import Texts
    from kit.training.progress import Progress

RELOAD_SAMPLE = 32  # test examples that the saved model must answer as the fitted one did
LOGIT_TOLERANCE = 1e-4  # float32 rounding between batches of different shape is below 1e-5


def make_record(
    final: Path,
    job: Job,
    fit: Callable[[Job], Fitted],
    *,
    began: float,
    force: bool = False,
    keep_model: bool = True,
) -> Record:
    """The Record in the folder `final`: the finished one that is there, or else a new one.

    job: what is to be fitted; its `workdir` and `logs` are set here. began: on the clock of `time.perf_counter`. See
    `kit.runs.execute.run` for the rest.
    """
    from accelerate import PartialState

    state, progress = PartialState(), job.progress
    finished = None if force else _finished(final, keep_model, progress)
    if finished is not None:
        return finished
    for warning in job.data.audit.warnings():
        progress.say(f"data: {warning}")
    with _draft(final, job.checkpoint, state.is_main_process, force) as draft:
        state.wait_for_everyone()
        if not draft.is_dir():
            raise LaunchError(
                f"{final.parent} is not the same folder for all machines: process {state.process_index} does not see "
                "what process 0 made there",
                "set `runs:` to a folder on storage that all machines share",
            )
        # Another process may have made the Record between the look above and the lock.
        unfinished = force and _forced_marker(final).exists()
        finished = None if unfinished else _finished(final, keep_model, progress)
        if finished is None:
            placed = replace(job, workdir=draft / "checkpoints", logs=draft / "logs")
            with quick_collection():
                _fit_and_write(placed, fit, draft, final.name, began, keep_model)
            state.wait_for_everyone()
            if state.is_main_process:
                publish(draft, final)
                _forced_marker(final).unlink(missing_ok=True)
        elif state.is_main_process:
            shutil.rmtree(draft)
        state.wait_for_everyone()
    return finished or Record.read(final)


def _finished(final: Path, needs_model: bool, progress: Progress) -> Record | None:
    """The Record in a folder, None if there is none that is whole."""
    if not final.exists():
        return None
    try:
        record = Record.load(final)
        if record.id != final.name:
            raise RecordError(f"{final} has the Record of another run, {record.id}")
    except RecordError as error:
        progress.say(f"{error.message}; it is run again")
        return None
    if needs_model and not record.model_folder.is_dir():
        progress.say(f"{final} kept no model; it is run again")
        return None
    progress.say(f"found the finished run {record.id} (--force repeats it)")
    note_kept(record.id, record.id)
    return record


@contextmanager
def _draft(final: Path, checkpoint: Checkpoint | None, main: bool, force: bool) -> Iterator[Path]:
    """Yield the hidden folder that a run is made in, locked so that two starts of one run do not mix.

    The finished run takes the folder's place. An interrupted or failed run leaves it with its checkpoints, from which
    the next start continues; it is removed if it holds none, or if the error says that they are useless.
    """
    draft = final.with_name(f".{final.name}.partial")
    if not main:
        yield draft
        return
    remove_drafts(final.parent)
    note_place(final.parent)
    weights = 0 if checkpoint is None else sum(f.stat().st_size for f in checkpoint.folder.glob("*.safetensors"))
    # Weights, and two checkpoints with the state of the optimizer; an earlier start has taken a part of it.
    require_space(final.parent, max(0, 6 * weights + 20_000_000 - folder_bytes(draft)))
    with locked(final.parent / ".locks" / f"{final.name}.lock", f"{final} is being made"):
        try:
            with writing_to(final):
                _prepare(draft, final, force)
            with writing_to(final, began=True), _folder_in_place(draft):
                yield draft
        except Stopped:
            _note_checkpoints(draft, final)
            raise
        except KitError as error:
            kept = [] if error.checkpoints_are_useless else saved_checkpoints(draft)
            if not kept:
                shutil.rmtree(draft, ignore_errors=True)
                _forced_marker(final).unlink(missing_ok=True)
            if kept or isinstance(error, OutputError):
                error.hint = "; ".join(filter(None, (error.hint, _words_on_kept(kept, final.name))))
            raise


def _prepare(draft: Path, final: Path, force: bool) -> None:
    """Publish a draft that is complete, or make it and clear it of everything that is no checkpoint.

    A forced run that was interrupted continues like any other: a marker file tells it from one that starts anew.
    """
    marker = _forced_marker(final)
    if draft.is_symlink():  # whatever it leads to is not kit's to clear
        draft.unlink()
    from_scratch = force and not marker.exists()
    if not from_scratch and _is_complete(draft, final.name):
        publish(draft, final)
        marker.unlink(missing_ok=True)
        draft.mkdir()
        return
    draft.mkdir(parents=True, exist_ok=True)
    for path in draft.iterdir():
        if from_scratch or path.name not in ("checkpoints", "logs"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if force:
        marker.touch()


def _forced_marker(final: Path) -> Path:
    """Return the path of an empty file that exists while a finished run is being repeated."""
    return final.parent / ".locks" / f"{final.name}.forced"


def _is_complete(draft: Path, run_id: str) -> bool:
    """Return whether an earlier start was ended between writing the whole Record and publishing it."""
    try:
        return Record.load(draft).id == run_id
    except RecordError:
        return False


@contextmanager
def _folder_in_place(draft: Path) -> Iterator[None]:
    """Raise WriteError in the place of whatever error follows from the folder being deleted by someone else."""
    try:
        yield
    except Exception as error:
        if isinstance(error, KitError) or draft.is_dir():
            raise
        raise WriteError(
            f"cannot write to {draft}: the folder was removed while the run was going on", "start it again"
        ) from error


def _words_on_kept(checkpoints: list[Path], run_id: str) -> str:
    """Return what a failed run leaves to the next start."""
    if not checkpoints:
        return f"nothing of {run_id} was saved: the next start begins anew"
    return f"saved: {checkpoint_words(checkpoints[-1])} of {run_id}; the next start continues from there"


def _note_checkpoints(draft: Path, final: Path) -> None:
    """Report the newest checkpoint of an interrupted run, or that there is none."""
    forget_earlier()
    for folder in saved_checkpoints(draft)[-1:]:
        note_kept(final.name, f"{checkpoint_words(folder)} of {final.name}")


@contextmanager
def quick_collection() -> Iterator[None]:
    """Let garbage collection leave out what is there already: a million objects of libraries, half a second each time.

    A run collects several times, to free its models. Workers of a study have frozen the libraries for good.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()  # or what the run leaves behind would be frozen by the next
        gc.unfreeze()


def _fit_and_write(
    job: Job, fit: Callable[[Job], Fitted], draft: Path, run_id: str, began: float, keep_model: bool
) -> None:
    """Fit, test, save, prove that what was saved answers alike, and complete the Record in `draft`."""
    import numpy as np
    from accelerate import PartialState

    from kit.models.checkpoints.origin import forget_origin
    from kit.runtime.versions import peak_gpu_memory_bytes, peak_memory_bytes

    state = PartialState()
    data = job.data
    job.progress.say(
        f"{run_id}: {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test examples"
    )
    fitting = time.perf_counter()
    fitted = fit(job)
    testing = time.perf_counter()
    outputs = fitted.predictor.outputs(data.test.texts)
    done = time.perf_counter()
    if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        raise DivergedError(
            "the model's answers to the test examples are no longer numbers",
            "lower `train.learning_rate`, or set `train.precision: fp32`",
        )
    content: dict[str, Any] = {}
    earlier = fitted.training.earlier_seconds if fitted.training else 0.0
    if state.is_main_process:
        fitted.predictor.save(draft / MODEL_FOLDER)
        forget_origin(draft / MODEL_FOLDER, job.checkpoint)
        content = {"id": run_id, **_describe(job, fitted, outputs)}
    sample = data.test.texts[:RELOAD_SAMPLE]
    expected = fitted.predictor.outputs(sample) if fitted.predictor.depends_on_batch else outputs[: len(sample)]
    del fitted  # the saved model takes its place in memory
    gc.collect()
    state.wait_for_everyone()
    if keep_model:  # nobody loads one that is thrown away
        _verify_reload(draft / MODEL_FOLDER, job, sample, expected)
    if state.is_main_process:
        job.logs.mkdir(exist_ok=True)
        write_predictions(draft, data.test, outputs)
        content["seconds"] = {
            "fit": testing - fitting + earlier,
            "test": done - testing,
            "total": time.perf_counter() - began + earlier,
        }
        content["peak_memory_bytes"] = peak_memory_bytes()
        content["peak_gpu_memory_bytes"] = peak_gpu_memory_bytes()
        content["model_bytes"] = sum(file.stat().st_size for file in _files(draft / MODEL_FOLDER))
        if not keep_model:
            shutil.rmtree(draft / MODEL_FOLDER)
        seal(draft, content)
        shutil.rmtree(job.workdir, ignore_errors=True)  # last: until here, a failure may cost the steps since then


def _files(folder: Path) -> list[Path]:
    """What a model is used with; an adapter that it was merged from is not."""
    return [path for path in [*folder.glob("*"), *folder.glob("target/*")] if path.is_file()]


def _verify_reload(folder: Path, job: Job, texts: Texts, expected: np.ndarray) -> None:
    """Load what was saved and compare its answers with those of the model in memory. Every process takes part."""
    from kit.models.predictor import label_names, load_predictor

    reloaded = load_predictor(folder, job.recipe.model.trust_remote_code)
    change = float(job.task.differences(reloaded.outputs(texts), expected).max())
    if label_names(folder) != job.data.labels or not change <= LOGIT_TOLERANCE:
        raise VerificationError(
            "the saved model does not answer as it did before saving: "
            + job.task.describe_difference("a test example", change)
        )


def _describe(job: Job, fitted: Fitted, outputs: np.ndarray) -> dict[str, Any]:
    from kit.runtime.versions import provenance

    recipe, task, checkpoint = job.recipe, job.task, job.checkpoint
    targets = task.targets(job.data.test.labels)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": recipe.method,
        "task": recipe.task,
        "main_metric": task.main_metric,
        "labels": list(task.labels),
        "recipe": recipe.model_dump(mode="json"),
        "seeds": {"train": recipe.train.seed, "split": recipe.data.split_seed},
        "data": _describe_data(job.data, fitted),
        "checkpoint": checkpoint and _describe_checkpoint(checkpoint),
        "settings": fitted.settings,
        "parameters": fitted.predictor.parameters,
        "training": fitted.training and _plain(asdict(fitted.training)),
        "metrics": {name: asdict(estimate) for name, estimate in task.estimates(outputs, targets).items()},
        "details": task.details(outputs, targets),
        "provenance": provenance(),
    }


def _describe_data(data: Prepared, fitted: Fitted) -> dict[str, Any]:
    sizes = {
        "train": len(data.train),
        "validation": len(data.validation),
        "pool": len(data.pool),
        "test": len(data.test),
    }
    return {
        "description": data.splits.description,
        "revision": data.splits.revision,
        "text_columns": list(data.splits.text_columns),
        "label_column": one_or_all(data.splits.label_columns),
        "sizes": {"budget": sizes["train"] + sizes["validation"], **sizes},
        "fingerprints": data.fingerprints,
        "most_frequent_labels": _most_frequent([*data.train.labels, *data.validation.labels]) if data.labels else None,
        "audit": _plain(asdict(data.audit)),
        "truncation": fitted.truncation,
    }


def _most_frequent(label_sets: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the most frequent set of labels; of equally frequent ones the first in alphabetical order."""
    counts = Counter(tuple(sorted(labels)) for labels in label_sets)
    most = max(counts.values())
    return list(min(labels for labels, count in counts.items() if count == most))


def _describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "sha256": checkpoint.sha256,
        "tokenizer_sha256": checkpoint.tokenizer_sha256,
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN and no numpy: numbers become Python's, what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
