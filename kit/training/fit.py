"""One training run: start or resume it, shrink its batches if memory runs out, and describe the result."""

from __future__ import annotations

import gc
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PrinterCallback

from kit.errors import TrainingError
from kit.models.checkpoints.head_scale import standardized
from kit.models.checkpoints.tokenizers import quiet
from kit.runtime.signals import deferring
from kit.training.arguments import arguments_of
from kit.training.averaging import Averaging, averaged_steps
from kit.training.interfaces import Fitting, Training
from kit.training.model_sharding import TrainedModel, trained_model
from kit.training.progress_bar import trainer_callbacks
from kit.training.recovery import (
    Clock,
    Resumption,
    StopBetweenSteps,
    continued,
    find_checkpoint,
    out_of_memory,
)
from kit.training.trainer import KitTrainer


def fit_model(fitting: Fitting) -> Training:
    """Train the model in place and return a description of the run.

    If memory runs out, training starts again with half the batch per forward pass and twice the accumulation. Ctrl-C
    or SIGTERM to any process of a stoppable command saves a checkpoint after the current step and raises Stopped. A
    damaged checkpoint is replaced by the newest whole one; without any, training starts from step 0.

    Raises:
        DivergedError: The loss is no longer a finite number.
        TrainingError: Memory is too small for a single example.
    """
    with standardized(fitting.model, fitting.scale):
        return _fit(fitting)


def _fit(fitting: Fitting) -> Training:
    """Train the model, see `fit_model`."""
    model, workdir, progress = fitting.model, fitting.workdir, fitting.progress
    start_file = fitting.start_file
    workdir.mkdir(parents=True, exist_ok=True)
    if PartialState().num_processes == 1:
        torch.save(model.state_dict(), start_file)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        progress.say(line)

    with deferring() as received:
        while True:
            resumption = find_checkpoint(workdir, fitting.plan)
            fitting = replace(fitting, plan=resumption.plan)
            for line in _resumption_notes(resumption, fitting):
                note(line)
            trainer = build_trainer(fitting, trained_model(model, fitting.objective), StopBetweenSteps(received))
            if _train_until_end(trainer, resumption.checkpoint):
                break
            fitting = replace(fitting, plan=fitting.plan.halved())
            note(
                f"out of memory: batch {fitting.plan.device_batch} x accumulation {fitting.plan.accumulation} from here"
            )
            _release(trainer)
            model.load_state_dict(torch.load(start_file, weights_only=True))
            for folder in workdir.glob("checkpoint-*"):
                shutil.rmtree(folder)
    training = trainer.summary(notes)
    trainer.trained.finish()
    _release(trainer)
    start_file.unlink(missing_ok=True)
    return training


def build_trainer(fitting: Fitting, trained: TrainedModel, stop: StopBetweenSteps) -> KitTrainer:
    """Return a trainer with kit's callbacks, ready to start."""
    lessons: Any = fitting.lessons
    # The objective divides by the number of items; with True, transformers would expect the model to divide.
    trained.model.accepts_loss_kwargs = False  # type: ignore[assignment]
    trainer = KitTrainer(
        fitting,
        trained,
        stop,
        args=arguments_of(fitting),
        eval_dataset=lessons if fitting.watch.validated else None,
        callbacks=trainer_callbacks(fitting.progress, fitting.section, fitting.logs, fitting.watch.metric),
    )
    trainer.add_callback(Clock(trainer))
    trainer.add_callback(stop)
    if (count := fitting.section.average) > 1:
        steps = averaged_steps(fitting.plan, count)
        trainer.add_callback(Averaging(fitting.model, trained, fitting.workdir, steps, fitting.watch.validated))
    trainer.remove_callback(PrinterCallback)  # kit prints its own lines
    return trainer


def _resumption_notes(resumption: Resumption, fitting: Fitting) -> list[str]:
    """Return lines on how an interrupted run continues; none for a new run."""
    stage = f"{fitting.stage}: " if fitting.stage else ""
    if resumption.checkpoint is not None:
        return [
            f"{stage}{line}"
            for line in (*resumption.problems, continued(resumption.checkpoint, resumption, bool(stage)))
        ]
    if not resumption.problems:
        return []
    return [f"{stage}{line}" for line in (*resumption.problems, "no checkpoint is whole: training starts from step 0")]


def _release(trainer: KitTrainer) -> None:
    """Free the optimizer's state, which is twice the weights and part of a reference cycle; keep the model."""
    if trainer.padding_free is not None:
        trainer.padding_free.end()
    trainer.accelerator.free_memory()
    trainer.optimizer = trainer.lr_scheduler = None
    gc.collect()


def _train_until_end(trainer: KitTrainer, checkpoint: Path | None) -> bool:
    """Train from the checkpoint or from step 0.

    Returns:
        False if memory ran out and smaller batches may fit.
    """
    try:
        with quiet():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Exception as error:
        if not out_of_memory(error):
            raise
        if trainer.args.world_size > 1:  # all processes would have to shrink their batches together
            raise TrainingError("out of memory", "raise `train.accumulation`, or lower `train.batch_size`") from error
        if trainer.fitting.plan.device_batch == 1:
            raise TrainingError(
                "out of memory with a single example in the batch",
                "shorten `data.max_length` or use a smaller model",
            ) from error
        return False
    return True
