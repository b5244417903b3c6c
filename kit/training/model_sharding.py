"""Sharded training (FSDP2, DeepSpeed ZeRO): each process trains a part of a copy of the model.

Only training steps are sharded. Predictions, averages and files need a whole model: every process has one, and the
weights of the copy are gathered into it before each use. If the launch does not shard, the model itself is trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DeepSpeedPlugin, DistributedType, FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel, Trainer
from transformers.integrations.deepspeed import propagate_args_to_deepspeed, unset_hf_deepspeed_config
from transformers.modeling_layers import GradientCheckpointingLayer

from kit.errors import LaunchError
from kit.runtime.distributed import largest, sharded_by
from kit.training.objective import Objective


class TrainedModel:
    """The model that training steps are taken on; here the model itself, without sharding.

    Args:
        model: Model to train.
        objective: Loss.
    """

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        self.model, self.objective = model, objective

    def set_up(self, trainer: Trainer) -> None:
        """Set up how the accelerator of a new trainer shards the model."""

    def gather(self) -> None:
        """Copy the trained weights into the whole model. All processes have to call this."""

    def scatter(self) -> None:
        """Copy the weights of the whole model into its shards."""

    def finish(self) -> None:
        """Gather the weights after the last step."""

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Make the whole model ready to compute, with the trained weights and on the device."""
        yield

    def pass_count(self, own: int) -> int:
        """Return the number of forward passes per batch, from the number that this process needs."""
        return own

    def accumulating(self, accelerator: Accelerator, model: nn.Module) -> AbstractContextManager[Any]:
        """Return a context for each backward pass except the last of a batch: it does not synchronize gradients."""
        context: AbstractContextManager[Any] = accelerator.no_sync(model)
        return context


class ShardedModel(TrainedModel, ABC):
    """A copy of the model that is sharded over the processes.

    Captured vectors and projections of the objective belong to modules of the model, so the copy gets an objective of
    its own. On a GPU, the whole model is in host memory during training steps.
    """

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        self.whole, self.device = model, model.device
        self._move(torch.device("cpu"))  # shards of the copy move to the device one by one
        shared = [value for value in vars(objective).values() if not isinstance(value, dict | nn.Module)]
        super().__init__(*deepcopy((model, objective), {id(value): value for value in shared}))

    @torch.no_grad()
    def gather(self) -> None:
        """Copy the trained weights into the whole model; only one parameter at a time is whole on the device."""
        for weight, shard in self._trained():
            weight.copy_(self._gathered_parameter(shard))

    @torch.no_grad()
    def scatter(self) -> None:
        """Copy the weights of the whole model, which is the same in every process, into its shards."""
        for weight, shard in self._trained():
            self._set_shard(shard, weight.to(self.device))

    def finish(self) -> None:
        """Gather the weights and move the whole model back to the device."""
        self.gather()
        self._move(self.device)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Gather the weights and keep the whole model on the device within the context."""
        self.gather()
        self._move(self.device)
        try:
            yield
        finally:
            self._move(torch.device("cpu"))

    def pass_count(self, own: int) -> int:
        """Return the largest number of any process: each pass needs the weights of all processes.

        The processes' shares of a batch differ by at most one example.
        """
        return largest(own)

    def _move(self, device: torch.device) -> None:
        self.whole.to(device)  # type: ignore[arg-type]

    def _trained(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Return the trained parameters as pairs (whole, shard), matched by order because names may differ."""
        pairs = zip(self.whole.parameters(), self.model.parameters(), strict=True)
        return ((weight, shard) for weight, shard in pairs if weight.requires_grad)

    @abstractmethod
    def _gathered_parameter(self, shard: nn.Parameter) -> torch.Tensor:
        """Return the whole parameter, gathered from all processes."""

    @abstractmethod
    def _set_shard(self, shard: nn.Parameter, whole: torch.Tensor) -> None:
        """Copy this process's part of a whole parameter into the shard."""


class Fsdp(ShardedModel):
    """Weights, gradients and optimizer state sharded by FSDP2."""

    def set_up(self, trainer: Trainer) -> None:
        """Wrap each transformer block on its own, unless the launch names other layers."""
        state = trainer.accelerator.state
        if state.distributed_type == DistributedType.MULTI_CPU:  # torch has FSDP on CPUs, accelerate does not
            state.fsdp_plugin = FullyShardedDataParallelPlugin()
            state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
            trainer.is_fsdp_enabled = True
        plugin = state.fsdp_plugin
        if plugin.transformer_cls_names_to_wrap is None:
            # _no_split_modules is empty for many architectures, and for BERT it also names modules that accelerate
            # wraps separately; but all transformer blocks have this base class.
            blocks = [module for module in self.model.modules() if isinstance(module, GradientCheckpointingLayer)]
            plugin.transformer_cls_names_to_wrap = sorted({type(block).__name__ for block in blocks})
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        if len(names) > len(list(self.model.parameters())):
            # accelerate would wrap embedding tables separately, which unties shared weights.
            self.model.get_input_embeddings = self.model.get_output_embeddings = lambda: None  # type: ignore[assignment,method-assign]

    def accumulating(self, accelerator: Accelerator, model: nn.Module) -> AbstractContextManager[Any]:
        """Return a context that still synchronizes: unsynchronized gradients would be whole in each process."""
        return nullcontext()

    def _gathered_parameter(self, shard: nn.Parameter) -> torch.Tensor:
        return shard.full_tensor() if isinstance(shard, DTensor) else shard

    def _set_shard(self, shard: nn.Parameter, whole: torch.Tensor) -> None:
        if isinstance(shard, DTensor):
            whole = distribute_tensor(whole, shard.device_mesh, shard.placements, src_data_rank=None)
        shard.copy_(whole)


class Zero(ShardedModel):
    """Gradients and optimizer state sharded by DeepSpeed ZeRO-2, with ZeRO-3 also the weights."""

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        super().__init__(model, objective)
        self._linear = nn.functional.linear

    def set_up(self, trainer: Trainer) -> None:
        """Enable DeepSpeed on a CPU too; models that are loaded during training stay whole."""
        import deepspeed  # type: ignore[import-not-found]

        state = trainer.accelerator.state
        if state.distributed_type == DistributedType.MULTI_CPU:  # accelerate has no DeepSpeed on CPUs
            plugin = DeepSpeedPlugin()
            plugin.set_mixed_precision(state.mixed_precision)
            plugin.select(_from_accelerator_state=True)
            state.deepspeed_plugins = plugin
            state.distributed_type = PartialState().distributed_type = DistributedType.DEEPSPEED
            trainer.accelerator.deepspeed_engine_wrapped = None
            trainer.is_deepspeed_enabled = True
            propagate_args_to_deepspeed(trainer.accelerator, trainer.args)  # type: ignore[no-untyped-call]
            # This extension compiles for minutes, and after an interrupted compilation, later runs wait for it forever.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]

    @contextmanager
    def accumulating(self, accelerator: Accelerator, model: nn.Module) -> Iterator[None]:
        """Keep the engine from taking an optimizer step after the backward pass."""
        before = accelerator.gradient_state.sync_gradients
        accelerator.gradient_state._set_sync_gradients(False)
        try:
            yield
        finally:
            accelerator.gradient_state._set_sync_gradients(before)

    def finish(self) -> None:
        """Gather the weights and restore torch's `linear`: that of ZeRO-3 fails on quantized weights."""
        super().finish()
        nn.functional.linear = self._linear

    def _gathered_parameter(self, shard: nn.Parameter) -> torch.Tensor:
        from deepspeed.utils import safe_get_full_fp32_param  # type: ignore[import-not-found]

        whole: torch.Tensor = safe_get_full_fp32_param(shard)
        return whole

    def _set_shard(self, shard: nn.Parameter, whole: torch.Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(shard, whole)


def trained_model(model: PreTrainedModel, objective: Objective) -> TrainedModel:
    """Return the model that this launch takes steps on.

    Raises:
        LaunchError: The launch shards models, and this one has quantized weights.
    """
    kind = sharded_by()
    if kind is None:
        return TrainedModel(model, objective)
    if not all(parameter.is_floating_point() for parameter in model.parameters()):
        raise LaunchError(
            f"this launch shards the model ({kind}), and quantized weights (lora.load) cannot be sharded",
            "set `lora.load: float32`, or use accelerate_config.yaml (DDP)",
        )
    return Fsdp(model, objective) if kind == "FSDP" else Zero(model, objective)
