"""Arguments of transformers' trainer, from the recipe's `train` section and the plan."""

from __future__ import annotations

from transformers import TrainingArguments

from kit.runtime.distributed import sharded_by
from kit.training.interfaces import Fitting

_LOG_EVERY = 10  # steps between two logged training losses: catches NaN early, and its cost is negligible


def arguments_of(fitting: Fitting) -> TrainingArguments:
    """Return the arguments of transformers' trainer for a training run."""
    section, plan, hardware = fitting.section, fitting.plan, fitting.hardware
    validated = fitting.watch.validated
    select = validated and section.select == "best"
    on_gpu = hardware.device == "cuda"
    arguments = TrainingArguments(
        output_dir=str(fitting.workdir),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.device_batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(plan.steps * section.warmup),
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        optim="adamw_torch_fused",
        use_cpu=hardware.device == "cpu",
        seed=section.seed,
        logging_steps=_LOG_EVERY,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_on_start=validated,
        eval_strategy="steps" if validated else "no",
        eval_steps=plan.evaluate_every,
        save_strategy="steps",
        save_steps=plan.evaluate_every,
        save_total_limit=2,  # the older checkpoint is used if the newest is damaged
        load_best_model_at_end=select,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        report_to=[name for name in section.report_to if name != "tensorboard"] or "none",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=on_gpu,
        accelerator_config={
            "non_blocking": on_gpu,
            # Unsynchronized gradients are whole in each process, so a sharded model synchronizes every pass.
            "gradient_accumulation_kwargs": {"sync_each_batch": sharded_by() is not None},
        },
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
    )
    # A process uses one device: with several visible GPUs, transformers would split each batch among all of them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
