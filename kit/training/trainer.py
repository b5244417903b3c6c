"""The trainer: transformers' loop with batches of near-equal length and kit's one way to predict.

Knows models, lessons and the recipe's `train` section. Knows nothing of tasks, files' formats, budgets or Records.
"""

from __future__ import annotations

import gc
import math
import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer

from kit.data.batching import LengthSampler, SharedBatches, passes_of, split_batch, without_fillers
from kit.errors import DivergedError, OutputError, TrainingError
from kit.models.checkpoints.loading import quiet
from kit.runtime.distributed import any_says, sharded_by
from kit.runtime.files import writing_to
from kit.runtime.signals import SAME_COMMAND, Stopped, deferring
from kit.training.arguments import arguments_of
from kit.training.averaging import Averaging, averaged_steps
from kit.training.cpu_kernels import quick_on
from kit.training.diagnosis import Evaluation, diagnose
from kit.training.hardware import coarse_float32, require_compiler
from kit.training.interfaces import Fitting, Training
from kit.training.model_sharding import Whole, to_train
from kit.training.padding_free import HOST_MASK, PaddingFree, keeping_mask, rows_of
from kit.training.recovery import (
    Clock,
    Resumption,
    StopBetweenSteps,
    continued,
    drop_older,
    find_checkpoint,
    out_of_memory,
    seal_checkpoint,
)

# Padded tokens in one forward and backward pass. On a CPU more do not compute faster, and take 0.17 MB each for MiniLM;
# but where it computes in bfloat16, every pass rounds all weights again.
_PASS_TOKENS = {"cpu": 1_024, "mps": 16_384, "cuda": 65_536}
_PASS_TOKENS_BF16 = {**_PASS_TOKENS, "cpu": 4_096}

_EXAMPLES, _PARTS = "validation_examples", "validation_parts"  # keys of an evaluation in the trainer's state


def fit_model(fitting: Fitting) -> Training:
    """Train the model in place and say how it went.

    Out of memory halves the batch of one forward pass and doubles the accumulation, from the beginning. Ctrl-C or
    SIGTERM to any process of a stoppable command saves a checkpoint after the step that it came in, and raises Stopped.
    A checkpoint that is damaged is replaced by the newest one that is whole, else training starts from step 0.
    Raises DivergedError if the loss stops being a number, TrainingError if memory is short for a single example.
    """
    model, workdir, progress = fitting.model, fitting.workdir, fitting.progress
    start = fitting.start_file
    workdir.mkdir(parents=True, exist_ok=True)
    if PartialState().num_processes == 1:
        torch.save(model.state_dict(), start)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        progress.say(line)

    with deferring() as received:
        while True:
            start_at = find_checkpoint(workdir, fitting.plan)
            fitting = replace(fitting, plan=start_at.plan)
            for line in _words(start_at, fitting):
                note(line)
            trainer = _build(fitting, to_train(model, fitting.objective), StopBetweenSteps(received))
            if _train_until_end(trainer, start_at.checkpoint):
                break
            fitting = replace(fitting, plan=fitting.plan.halved())
            note(
                f"out of memory: batch {fitting.plan.device_batch} x accumulation {fitting.plan.accumulation} from here"
            )
            _let_go(trainer)
            model.load_state_dict(torch.load(start, weights_only=True))
            for folder in workdir.glob("checkpoint-*"):
                shutil.rmtree(folder)
    done = trainer.account(notes)
    trainer.learner.finish()
    _let_go(trainer)
    start.unlink(missing_ok=True)
    return done


def _words(start_at: Resumption, fitting: Fitting) -> list[str]:
    """Return lines on how a run goes on that was interrupted; none for a run that starts."""
    stage = f"{fitting.stage}: " if fitting.stage else ""
    if start_at.checkpoint is not None:
        return [f"{stage}{line}" for line in (*start_at.problems, continued(start_at, bool(stage)))]
    if not start_at.problems:
        return []
    return [f"{stage}{line}" for line in (*start_at.problems, "no checkpoint is whole: training starts from step 0")]


def _let_go(trainer: KitTrainer) -> None:
    """Free the optimizer's state, which is twice the weights and held in a cycle; leave the model as it was."""
    if trainer.padding_free is not None:
        trainer.padding_free.end()
    trainer.accelerator.free_memory()
    trainer.optimizer = trainer.lr_scheduler = None
    gc.collect()


def _train_until_end(trainer: KitTrainer, checkpoint: Path | None) -> bool:
    """Train from the checkpoint or the beginning; False if memory ran out and smaller passes may do."""
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


class KitTrainer(Trainer):
    """transformers.Trainer with kit's sampler, prediction and loss scaling."""

    def __init__(self, fitting: Fitting, learner: Whole, stop: StopBetweenSteps, **settings: Any) -> None:
        self.fitting, self.learner = fitting, learner
        self.began = time.perf_counter()
        self.earlier = 0.0  # seconds that an interrupted start of this run had trained
        self.last_save = time.monotonic()
        self.stop = stop
        self.stepped: torch.nn.Module | None = None
        if fitting.section.compile:
            require_compiler()
        self.padding_free = PaddingFree(learner.model) if fitting.section.padding_free else None
        lessons: Any = fitting.lessons
        collate = without_fillers(lessons.collate)
        super().__init__(
            model=learner.model,
            train_dataset=lessons,
            data_collator=keeping_mask(collate) if self.padding_free else collate,
            compute_loss_func=learner.objective,
            **settings,
        )
        # accelerate would compute every later answer of this model in bfloat16 too; see autocast below.
        self.accelerator.native_amp = False

    def create_accelerator_and_postprocess(self) -> None:
        """Transformers' own, which has the launch divide the model if it is one that does."""
        super().create_accelerator_and_postprocess()
        self.learner.engage(self)

    def get_train_dataloader(self) -> DataLoader[int]:
        """This process's share of the batches, which are the same on any number of processes."""
        plan, accelerator = self.fitting.plan, self.accelerator
        order = LengthSampler(self.fitting.lessons.sizes, plan.batch_size, self.fitting.section.seed)
        loader: DataLoader[int] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=SharedBatches(order, plan.accumulation, accelerator.num_processes, accelerator.process_index),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # As for one process: accelerate would divide what is divided, and fill the last batch up.
        shared: DataLoader[int] = prepare_data_loader(
            loader,
            self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=self.accelerator.non_blocking,
        )
        return shared

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Transformers' own, with groups of parameters that have a share of the learning rate."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        shares = self.fitting.rate_shares
        names = {parameter: name for name, parameter in self.learner.model.named_parameters()}
        for prefix, share in shares.items():
            for group in list(optimizer.param_groups):
                slow = [each for each in group["params"] if names[each].startswith(prefix)]
                if slow:
                    group["params"] = [each for each in group["params"] if not names[each].startswith(prefix)]
                    optimizer.add_param_group({**group, "params": slow, "lr": group["lr"] * share})
        return optimizer

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Loss and gradients of one batch, in passes that bound the memory of what backward needs."""
        loss = torch.zeros((), device=self.args.device)
        compiled = self.fitting.section.compile  # code that draws by itself
        stepped = self._compiled(model) if compiled else model
        passes = self._passes(inputs)
        for index, part in enumerate(passes, start=1):
            with (
                coarse_float32(self.args.device.type),
                nullcontext() if compiled else quick_on(self.args.device),
                nullcontext() if self.padding_free is None else self.padding_free.steps(),
                nullcontext() if index == len(passes) else self.learner.kept(self.accelerator, model),
            ):
                loss += super().training_step(stepped, part, num_items_in_batch)
        return loss

    def _passes(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """A batch in parts, each as the model takes it."""
        tokens = _PASS_TOKENS_BF16 if self.fitting.hardware.bf16 else _PASS_TOKENS
        mask = inputs.pop(HOST_MASK, None)
        count = self.learner.passes(passes_of(inputs, tokens[self.args.device.type]))
        parts: list[dict[str, Any]] = split_batch(inputs, count)
        if mask is None:
            return parts
        masks = np.array_split(mask, count)
        return [part | rows_of(each, self.args.device) for part, each in zip(parts, masks, strict=True)]

    def _compiled(self, model: torch.nn.Module) -> torch.nn.Module:
        """The same weights behind compiled code. Transformers' own way to it would be that of the whole process."""
        if self.stepped is None:
            self.fitting.progress.say(
                "the first step compiles the code of all: that takes minutes, counts in the times below, and cannot be "
                "stopped and kept"
            )
            self.stepped = torch.compile(model, dynamic=True)  # type: ignore[assignment]
        assert self.stepped is not None
        return self.stepped

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> torch.autocast:
        """Bfloat16 for the steps of training, where the hardware computes in it; looks at the model do likewise."""
        return torch.autocast(self.args.device.type, torch.bfloat16, self.fitting.hardware.bf16, cache_enabled)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save if the recipe's interval has passed or training ends; raise Stopped after a signal.

        Training goes on without a checkpoint that cannot be written, if nothing depends on it. Raises OutputError if
        the last one cannot be written.
        """
        number = self.stop.signal_number
        due = any_says(time.monotonic() - self.last_save >= self.fitting.section.checkpoint_seconds)
        needed = self._at_end or number or self.args.load_best_model_at_end
        try:
            if needed or due:
                self._save_with_room(*args, **kwargs)
        except OutputError as error:
            if number:
                raise Stopped(number, f"{self._where}, which could not be saved ({error.message})") from error
            if needed or self.args.world_size > 1:  # the other processes would wait for this one
                raise
            self.last_save = time.monotonic()
            self.fitting.progress.say(f"no checkpoint after step {self.state.global_step}: {error.message}")
        if number:
            raise Stopped(number, self._where, SAME_COMMAND)

    @property
    def _where(self) -> str:
        """How far training is, for the message of a signal."""
        of_stage = f" of the {self.fitting.stage}" if self.fitting.stage else ""
        return f" after step {self.state.global_step} of {self.fitting.plan.steps}{of_stage}"

    def _save_with_room(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint. Raises OutputError, and leaves no part of it, if it cannot be written."""
        if self._at_end or self.stop.signal_number:  # memory cannot run out any more: the start is not needed
            self.fitting.start_file.unlink(missing_ok=True)
        try:
            with writing_to(self.fitting.workdir, began=True):
                self._save_whole(*args, **kwargs)
        except OutputError:
            if self.args.should_save:
                shutil.rmtree(self.fitting.workdir / f"checkpoint-{self.state.global_step}", ignore_errors=True)
            raise

    @property
    def _at_end(self) -> bool:
        """Whether the last step was taken: what follows may be interrupted, and continues from these weights."""
        return bool(self.state.global_step >= self.fitting.plan.steps)

    def _save_whole(self, *args: Any, **kwargs: Any) -> None:
        # A state that was continued has the batch of the processes that began it.
        self.state.train_batch_size = self.args.per_device_train_batch_size
        if self.args.should_save and not self.args.load_best_model_at_end:
            drop_older(self.fitting.workdir)
        super()._save_checkpoint(*args, **kwargs)
        PartialState().wait_for_everyone()  # until each process has written its part
        if self.args.should_save:
            seal_checkpoint(self.fitting.workdir / f"checkpoint-{self.state.global_step}")
        PartialState().wait_for_everyone()
        self.last_save = time.monotonic()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Save what further steps need; after the last one only where a launch divides the model."""
        if not self._at_end or sharded_by():
            super()._save_optimizer_and_scheduler(output_dir)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Loss and metric on the validation examples and on a sample of training examples."""
        with self.learner.answering():
            look = self.fitting.watch.look(self.fitting.model, self.fitting.hardware.bf16)
        metrics = dict(look.scores)
        if not all(math.isfinite(value) for value in metrics.values()):
            raise self._not_a_number("model's output")
        metrics["eval_loss"] = metrics["validation_loss"]
        self.log(metrics)
        # Kept with the checkpoint, and not for trackers, which take single numbers.
        entry: dict[str, Any] = self.state.log_history[-1]
        entry |= {_EXAMPLES: look.validation_examples, _PARTS: look.validation_parts}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def evaluations(self) -> list[Evaluation]:
        """Return the evaluations so far, those before an interruption included, each step once."""
        metric = self.fitting.watch.metric
        return [
            Evaluation(
                int(entry["step"]),
                entry["train_loss"],
                entry[f"train_{metric}"],
                entry["validation_loss"],
                entry[f"validation_{metric}"],
                entry.get(_EXAMPLES, 0),
            )
            for entry in self._looks()
        ]

    def _looks(self) -> list[dict[str, Any]]:
        """Return what was logged by each evaluation, in the order of steps; the last one where a step has several."""
        found = {
            int(entry["step"]): dict(entry)
            for entry in self.state.log_history
            if "validation_loss" in entry and "train_loss" in entry
        }
        return [found[step] for step in sorted(found)]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Pass on to the trackers. Raises TrainingError if the training loss is no longer a finite number."""
        if not math.isfinite(logs.get("loss", 0.0)) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise self._not_a_number("training loss")
        super().log({**logs, "seconds": round(self.seconds(), 3)}, *args, **kwargs)

    def seconds(self) -> float:
        """Training time so far, that of an interrupted start included."""
        return self.earlier + time.perf_counter() - self.began

    def account(self, notes: list[str]) -> Training:
        """What the finished training did."""
        plan, seconds, evaluations = self.fitting.plan, self.seconds(), self.evaluations()
        return Training(
            plan=plan,
            precision=self.fitting.hardware.precision,
            seconds=seconds,
            earlier_seconds=self.earlier,
            samples_per_second=plan.epochs * len(self.fitting.lessons) / seconds,
            history=self._history(),
            evaluations=evaluations,
            diagnosis=diagnose(evaluations, [entry.get(_PARTS, []) for entry in self._looks()]),
            notes=notes,
        )

    def _history(self) -> list[dict[str, float]]:
        """What was logged, each thing once a step: a run that is continued logs some of it again."""
        entries = {
            (entry["step"], *sorted(entry)): {k: v for k, v in entry.items() if k not in (_EXAMPLES, _PARTS)}
            for entry in self.state.log_history
            if "train_runtime" not in entry
        }
        return list(entries.values())

    def _not_a_number(self, what: str) -> DivergedError:
        return DivergedError(
            f"the {what} is no longer a number (step {self.state.global_step} of {self.fitting.plan.steps}, "
            f"peak learning rate {self.fitting.plan.learning_rate:g})",
            "lower `train.learning_rate`, or set `train.precision: fp32`",
        )


def _build(fitting: Fitting, learner: Whole, stop: StopBetweenSteps) -> KitTrainer:
    lessons: Any = fitting.lessons
    # compute_loss_func divides by the number of items; these models would be believed to do it themselves.
    learner.model.accepts_loss_kwargs = False  # type: ignore[assignment]
    trainer = KitTrainer(
        fitting,
        learner,
        stop,
        args=arguments_of(fitting),
        eval_dataset=lessons if fitting.watch.validated else None,
        callbacks=fitting.progress.callbacks(fitting.section, fitting.logs, fitting.watch.metric),
    )
    trainer.add_callback(Clock(trainer))
    trainer.add_callback(stop)
    if (count := fitting.section.average or 1) > 1:
        steps = averaged_steps(fitting.plan, count)
        trainer.add_callback(Averaging(fitting.model, learner, fitting.workdir, steps, fitting.watch.validated))
    trainer.remove_callback(PrinterCallback)  # kit prints its own lines
    return trainer
