"""Trainer: transformers.Trainer with batches of near-equal length, sharded models and sealed checkpoints."""

from __future__ import annotations

import math
import shutil
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import Trainer

from kit.data.batching import LengthSampler, SharedBatches, passes_of, split_batch, without_fillers
from kit.errors import DivergedError, OutputError
from kit.runtime.distributed import any_process, sharded_by
from kit.runtime.files import writing_to
from kit.runtime.signals import SAME_COMMAND, Stopped
from kit.training.cpu_kernels import fast_training
from kit.training.diagnosis import diagnose
from kit.training.hardware import coarse_float32, require_compiler
from kit.training.history import EXAMPLES, PARTS, evaluation_entries, evaluations_of, losses_by_step
from kit.training.interfaces import Fitting, Training
from kit.training.model_sharding import TrainedModel
from kit.training.padding_free import HOST_MASK, PaddingFree, keeping_mask, rows_of
from kit.training.recovery import StopBetweenSteps, drop_older, seal_checkpoint

# Padded tokens in one forward and backward pass. On a CPU, larger passes are not faster and take 0.17 MB per token for
# MiniLM; but with bfloat16 on a CPU, every pass rounds all weights again.
_PASS_TOKENS = {"cpu": 1_024, "mps": 16_384, "cuda": 65_536}
_PASS_TOKENS_BF16 = {**_PASS_TOKENS, "cpu": 4_096}


class KitTrainer(Trainer):
    """transformers.Trainer with kit's sampler, evaluation, loss scaling and checkpoints.

    Args:
        fitting: Everything that the training run is made from.
        trained: The model that steps are taken on, sharded or not.
        stop: Callback that stops training after a signal.
        settings: Further arguments of transformers.Trainer.
    """

    def __init__(self, fitting: Fitting, trained: TrainedModel, stop: StopBetweenSteps, **settings: Any) -> None:
        self.fitting, self.trained = fitting, trained
        self.began = time.perf_counter()
        self.earlier = 0.0  # seconds that an interrupted start of this run had trained
        self.last_save = time.monotonic()
        self.stop = stop
        self.compiled: torch.nn.Module | None = None
        if fitting.section.compile:
            require_compiler()
        self.padding_free = PaddingFree(trained.model) if fitting.section.padding_free else None
        lessons: Any = fitting.lessons
        collate = without_fillers(lessons.collate)
        super().__init__(
            model=trained.model,
            train_dataset=lessons,
            data_collator=keeping_mask(collate) if self.padding_free else collate,
            compute_loss_func=trained.objective,
            **settings,
        )
        # accelerate would run every later prediction of this model in bfloat16 too; see autocast below.
        self.accelerator.native_amp = False

    def create_accelerator_and_postprocess(self) -> None:
        """Create the accelerator and set up sharding if the launch shards models."""
        super().create_accelerator_and_postprocess()
        self.trained.set_up(self)

    def get_train_dataloader(self) -> DataLoader[int]:
        """Return this process's share of the batches, which are the same for any number of processes."""
        plan, accelerator = self.fitting.plan, self.accelerator
        order = LengthSampler(self.fitting.lessons.sizes, plan.batch_size, self.fitting.section.seed)
        loader: DataLoader[int] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=SharedBatches(
                order, plan.accumulation, accelerator.num_processes, index=accelerator.process_index
            ),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # Prepare as for one process: accelerate would split the batches again and pad the last one.
        prepared: DataLoader[int] = prepare_data_loader(
            loader,
            self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=self.accelerator.non_blocking,
        )
        return prepared

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Create the optimizer with parameter groups for `Fitting.rate_shares`."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        names = {parameter: name for name, parameter in self.trained.model.named_parameters()}
        for prefix, share in self.fitting.rate_shares.items():
            for group in list(optimizer.param_groups):
                matching = [parameter for parameter in group["params"] if names[parameter].startswith(prefix)]
                if matching:
                    group["params"] = [item for item in group["params"] if not names[item].startswith(prefix)]
                    optimizer.add_param_group({**group, "params": matching, "lr": group["lr"] * share})
        return optimizer

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the loss of one batch and add up its gradients, in passes that bound the memory of activations."""
        loss = torch.zeros((), device=self.args.device)
        compile_steps = self.fitting.section.compile  # compiled code has its own dropout and attention
        stepped = self._compiled(model) if compile_steps else model
        passes = self._passes(inputs)
        for index, part in enumerate(passes, start=1):
            with (
                coarse_float32(self.args.device.type),
                nullcontext() if compile_steps else fast_training(self.args.device),
                nullcontext() if self.padding_free is None else self.padding_free.steps(),
                nullcontext() if index == len(passes) else self.trained.accumulating(self.accelerator, model),
            ):
                loss += super().training_step(stepped, part, num_items_in_batch)
        return loss

    def _passes(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Split a batch into the inputs of its forward passes."""
        tokens = _PASS_TOKENS_BF16 if self.fitting.hardware.bf16 else _PASS_TOKENS
        mask = inputs.pop(HOST_MASK, None)
        count = self.trained.pass_count(passes_of(inputs, tokens[self.args.device.type]))
        parts: list[dict[str, Any]] = split_batch(inputs, count)
        if mask is None:
            return parts
        masks = np.array_split(mask, count)
        return [part | rows_of(part_mask, self.args.device) for part, part_mask in zip(parts, masks, strict=True)]

    def _compiled(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the compiled model; it is compiled once.

        Transformers' own setting is for the whole process.
        """
        if self.compiled is not None:
            return self.compiled
        self.fitting.progress.say(
            "the first step compiles the code of all steps: this takes minutes, counts in the times below, and "
            "starts over if it is interrupted"
        )
        compiled: torch.nn.Module = torch.compile(model, dynamic=True)  # type: ignore[assignment]
        self.compiled = compiled
        return compiled

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> torch.autocast:
        """Return autocast to bfloat16 for training steps if the hardware supports it; evaluations use the same."""
        return torch.autocast(self.args.device.type, torch.bfloat16, self.fitting.hardware.bf16, cache_enabled)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint if the recipe's interval has passed, training ends or a signal came.

        If a checkpoint that nothing depends on cannot be written, training continues without it.

        Raises:
            OutputError: A checkpoint that is needed cannot be written.
            Stopped: A signal came.
        """
        signal_number = self.stop.signal_number
        due = any_process(time.monotonic() - self.last_save >= self.fitting.section.checkpoint_seconds)
        needed = self._at_end or signal_number or self.args.load_best_model_at_end
        try:
            if needed or due:
                self._save_with_room(*args, **kwargs)
        except OutputError as error:
            if signal_number:
                raise Stopped(signal_number, f"{self._where}, which could not be saved ({error.message})") from error
            if needed or self.args.world_size > 1:  # the other processes would wait for this one
                raise
            self.last_save = time.monotonic()
            self.fitting.progress.say(f"no checkpoint after step {self.state.global_step}: {error.message}")
        if signal_number:
            raise Stopped(signal_number, self._where, SAME_COMMAND)

    @property
    def _where(self) -> str:
        """Words for the step that training has reached, for the message after a signal."""
        stage = f" of the {self.fitting.stage}" if self.fitting.stage else ""
        return f" after step {self.state.global_step} of {self.fitting.plan.steps}{stage}"

    def _save_with_room(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, or remove its parts and raise OutputError if it cannot be written."""
        if self._at_end or self.stop.signal_number:  # memory cannot run out any more: no restart from these weights
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
        """True after the last step; an interruption after it continues from these weights."""
        return bool(self.state.global_step >= self.fitting.plan.steps)

    def _save_whole(self, *args: Any, **kwargs: Any) -> None:
        # The state of a resumed run has the batch size of the launch that began it.
        self.state.train_batch_size = self.args.per_device_train_batch_size
        if self.args.should_save and not self.args.load_best_model_at_end:
            drop_older(self.fitting.workdir)
        super()._save_checkpoint(*args, **kwargs)
        PartialState().wait_for_everyone()  # every process has written its part
        if self.args.should_save:
            seal_checkpoint(self.fitting.workdir / f"checkpoint-{self.state.global_step}")
        PartialState().wait_for_everyone()
        self.last_save = time.monotonic()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Save the state that further steps need; after the last step only if the launch shards the model."""
        if not self._at_end or sharded_by():
            super()._save_optimizer_and_scheduler(output_dir)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return loss and metric on the validation examples and on a sample of training examples."""
        with self.trained.gathered():
            look = self.fitting.watch.look(self.fitting.model, self.fitting.hardware.bf16)
        metrics = dict(look.scores)
        if not all(math.isfinite(value) for value in metrics.values()):
            raise self._diverged("model's output")
        metrics["eval_loss"] = metrics["validation_loss"]
        self.log(metrics)
        # Saved with the checkpoint only: trackers take single numbers.
        entry: dict[str, Any] = self.state.log_history[-1]
        entry |= {EXAMPLES: look.validation_examples, PARTS: look.validation_parts}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Pass numbers on to the trackers.

        Raises DivergedError if the training loss is not a finite number.
        """
        if not math.isfinite(logs.get("loss", 0.0)) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise self._diverged("training loss")
        super().log({**logs, "seconds": round(self.seconds(), 3)}, *args, **kwargs)

    def seconds(self) -> float:
        """Return the training time so far, including that before an interruption."""
        return self.earlier + time.perf_counter() - self.began

    def summary(self, notes: list[str]) -> Training:
        """Return the description of the finished training run."""
        plan, seconds, log_history = self.fitting.plan, self.seconds(), self.state.log_history
        evaluations = evaluations_of(log_history, self.fitting.watch.metric)
        return Training(
            plan=plan,
            precision=self.fitting.hardware.precision,
            seconds=seconds,
            earlier_seconds=self.earlier,
            samples_per_second=plan.epochs * len(self.fitting.lessons) / seconds,
            history=losses_by_step(log_history),
            evaluations=evaluations,
            diagnosis=diagnose(evaluations, [entry.get(PARTS, []) for entry in evaluation_entries(log_history)]),
            notes=notes,
        )

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"the {what} is no longer a number (step {self.state.global_step} of {self.fitting.plan.steps}, "
            f"peak learning rate {self.fitting.plan.learning_rate:g})",
            "lower `train.learning_rate`, or set `train.precision: fp32`",
        )
