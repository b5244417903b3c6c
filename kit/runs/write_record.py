"""Write a Record: fit a model in a draft, test it, save it, check the saved model, then seal and publish the Record."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import DivergedError, LaunchError, RecordError, VerificationError
from kit.records.content import RecordedSeconds, RunCosts, RunDescription
from kit.records.predictions import write_predictions
from kit.records.record import Record, seal
from kit.runs.description import describe
from kit.runs.draft import forced_marker, open_draft
from kit.runtime.file_types import MODEL_FOLDER
from kit.runtime.files import publish
from kit.runtime.signals import note_kept

if TYPE_CHECKING:
    import numpy as np

    from kit.methods import Fitted, Job
    from kit.models.predictor import Texts
    from kit.training.progress import Progress

RELOAD_SAMPLE = 32  # test examples for which fitted and saved model must predict the same
LOGIT_TOLERANCE = 1e-4  # of `Task.differences`; float32 rounding in batches of different shape is below 1e-5


def make_record(
    final: Path,
    job: Job,
    fit: Callable[[Job], Fitted],
    *,
    began: float,
    force: bool = False,
    keep_model: bool = True,
) -> Record:
    """Return the finished Record in a folder, or make a new one.

    Args:
        final: Folder of the Record.
        job: Job for `fit`; its `workdir` and `logs` are set here.
        fit: Function that fits the model.
        began: Start of the run on the clock of `time.perf_counter`, in seconds.
        force: Repeat a finished run.
        keep_model: Keep the saved model, see `kit.runs.execute.finetune`.

    Raises:
        LaunchError: The machines of a launch do not share the folder.
        KitError: Fitting, testing or writing failed.
    """
    from accelerate import PartialState

    state, progress = PartialState(), job.progress
    finished = None if force else _finished(final, keep_model, progress)
    if finished is not None:
        return finished
    for warning in job.data.audit.warnings():
        progress.say(f"data: {warning}")
    with open_draft(final, job.checkpoint, state.is_main_process, force) as draft:
        state.wait_for_everyone()
        if not draft.is_dir():
            raise LaunchError(
                f"{final.parent} is not the same folder for all machines: process {state.process_index} does not see "
                "the draft that process 0 created there",
                "set `runs:` to a folder on storage that all machines share",
            )
        # Another process may have finished the Record between the check above and the lock.
        unfinished = force and forced_marker(final).exists()
        finished = None if unfinished else _finished(final, keep_model, progress)
        if finished is None:
            placed = replace(job, workdir=draft / "checkpoints", logs=draft / "logs")
            with quick_collection():
                _fit_and_write(placed, fit, draft, final.name, began, keep_model)
            state.wait_for_everyone()
            if state.is_main_process:
                publish(draft, final)
                forced_marker(final).unlink(missing_ok=True)
        elif state.is_main_process:
            shutil.rmtree(draft)
        state.wait_for_everyone()
    return finished or Record.read(final)


def _finished(final: Path, needs_model: bool, progress: Progress) -> Record | None:
    """Return the finished Record in a folder; None if it has to be made (again).

    Args:
        final: Folder of the Record.
        needs_model: A Record without its model does not count.
        progress: Output for people.
    """
    if not final.exists():
        return None
    try:
        record = Record.load(final)
        if record.id != final.name:
            raise RecordError(f"{final} contains the Record of another run, {record.id}")
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
def quick_collection() -> Iterator[None]:
    """Exclude existing objects from garbage collection within the context.

    A run collects garbage several times to free its models, and each time a million objects of libraries would take
    half a second. Workers of a study have frozen these objects already.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()  # otherwise the next run would freeze the garbage of this one
        gc.unfreeze()


def _fit_and_write(
    job: Job, fit: Callable[[Job], Fitted], draft: Path, run_id: str, began: float, keep_model: bool
) -> None:
    """Fit and test a model, save it, check that the saved model predicts the same, and seal the Record in `draft`.

    Args:
        job: Job for `fit`.
        fit: Function that fits the model.
        draft: Folder of the draft.
        run_id: Id of the run.
        began: Start of the run on the clock of `time.perf_counter`, in seconds.
        keep_model: Keep the saved model. Without it, the saved model is not checked.

    Raises:
        DivergedError: Predictions for the test examples are not finite.
        VerificationError: The saved model predicts differently.
    """
    from accelerate import PartialState

    from kit.methods.calibration import calibrated
    from kit.models.checkpoints.origin import forget_origin
    from kit.runtime.versions import peak_gpu_memory_bytes, peak_memory_bytes

    state = PartialState()
    data = job.data
    job.progress.say(
        f"{run_id}: {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test examples"
    )
    fit_start = time.perf_counter()
    fitted = calibrated(fit(job), job)
    test_start = time.perf_counter()
    outputs = fitted.predictor.outputs(data.test.texts)
    test_end = time.perf_counter()
    _require_finite(outputs)
    description: RunDescription | None = None
    earlier = fitted.training.earlier_seconds if fitted.training else 0.0
    if state.is_main_process:
        fitted.predictor.save(draft / MODEL_FOLDER)
        forget_origin(draft / MODEL_FOLDER, job.checkpoint)
        description = describe(run_id, job, fitted, outputs)
    sample = data.test.texts[:RELOAD_SAMPLE]
    expected = fitted.predictor.outputs(sample) if fitted.predictor.depends_on_batch else outputs[: len(sample)]
    del fitted  # the saved model takes its place in memory
    gc.collect()
    state.wait_for_everyone()
    if keep_model:
        _verify_reload(draft / MODEL_FOLDER, job, sample, expected)
    if description is not None:
        job.logs.mkdir(exist_ok=True)
        write_predictions(draft, data.test, outputs, job.recipe.rules.output_column)
        costs = RunCosts(
            seconds=RecordedSeconds(
                fit=test_start - fit_start + earlier,
                test=test_end - test_start,
                total=time.perf_counter() - began + earlier,
            ),
            peak_memory_bytes=peak_memory_bytes(),
            peak_gpu_memory_bytes=peak_gpu_memory_bytes(),
            model_bytes=sum(file.stat().st_size for file in _inference_files(draft / MODEL_FOLDER)),
        )
        if not keep_model:
            shutil.rmtree(draft / MODEL_FOLDER)
        seal(draft, {**description.to_dict(), **costs.to_dict()})
        shutil.rmtree(job.workdir, ignore_errors=True)  # last: a failure before this line loses no training steps


def _require_finite(outputs: np.ndarray) -> None:
    import numpy as np

    if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        raise DivergedError(
            "the model's predictions for the test examples are not finite numbers",
            "lower `train.learning_rate`, or set `train.precision: fp32`",
        )


def _inference_files(folder: Path) -> list[Path]:
    """Return the files needed for inference, without the adapter that was merged into the model."""
    return [path for path in [*folder.glob("*"), *folder.glob("target/*")] if path.is_file()]


def _verify_reload(folder: Path, job: Job, texts: Texts, expected: np.ndarray) -> None:
    """Load the saved model and compare its predictions with those of the fitted model. All processes call this.

    Args:
        folder: Folder of the saved model.
        job: Job of the run.
        texts: Texts to compare on.
        expected: Outputs of the fitted model for these texts.

    Raises:
        VerificationError: The predictions or the label names differ.
    """
    from kit.models.load import label_names, load_predictor

    reloaded = load_predictor(folder, job.recipe.model.trust_remote_code)
    change = float(job.task.differences(reloaded.outputs(texts), expected).max())
    if label_names(folder) != job.data.labels or not change <= LOGIT_TOLERANCE:
        raise VerificationError(
            "the saved model does not predict as it did before saving: "
            + job.task.describe_difference("a test example", change)
        )
