"""Sharding: steps of training on a model of which each process holds a part, and the whole model that comes of them.

Only the steps are sharded. Answers, averages and files need a whole model: each process has one, which takes over the
weights of the parts whenever it is asked for anything. Without a launch that shards, the whole model is trained.

Knows accelerate's launches, DTensors and engines. Knows nothing of what is trained, or on what.
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


class Whole:
    """What steps are taken on where nothing is sharded: the model itself.

    model: that is trained. objective: its loss.
    """

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        self.model, self.objective = model, objective

    def engage(self, trainer: Trainer) -> None:
        """Set up how a new trainer's accelerator divides the model."""

    def gather(self) -> None:
        """Give the whole model the weights that training has reached. All processes have to ask."""

    def spread(self) -> None:
        """Give the parts the weights of the whole model."""

    def finish(self) -> None:
        """`gather`, for the last time."""

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The whole model as training has reached it, where it can compute."""
        yield

    def passes(self, own: int) -> int:
        """How many passes a process makes of its share of a batch, which would take `own`."""
        return own

    def kept(self, accelerator: Accelerator, model: nn.Module) -> AbstractContextManager[Any]:
        """Around a backward pass that is not the last of its batch: its gradients stay in this process."""
        context: AbstractContextManager[Any] = accelerator.no_sync(model)
        return context


class Divided(Whole, ABC):
    """A copy of the model, of whose training each process holds a part.

    Captured vectors and projections of the objective belong to modules, so the copy has an objective of its own. On a
    GPU the whole model rests in the host's memory while steps are taken.
    """

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        self.whole, self.device = model, model.device
        self._move(torch.device("cpu"))  # the copy's parts go to the device one by one
        kept = [each for each in vars(objective).values() if not isinstance(each, dict | nn.Module)]
        super().__init__(*deepcopy((model, objective), {id(each): each for each in kept}))

    @torch.no_grad()
    def gather(self) -> None:
        """One parameter after the other is whole on the device."""
        for ours, theirs in self._trained():
            ours.copy_(self._whole_of(theirs))

    @torch.no_grad()
    def spread(self) -> None:
        """Each process takes its part: the whole models are the same."""
        for ours, theirs in self._trained():
            self._take(theirs, ours.to(self.device))

    def finish(self) -> None:
        """The whole model goes back to the device."""
        self.gather()
        self._move(self.device)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The whole model is on the device meanwhile."""
        self.gather()
        self._move(self.device)
        try:
            yield
        finally:
            self._move(torch.device("cpu"))

    def passes(self, own: int) -> int:
        """As many as any other, or one would wait for the others' weights: shares differ by an example at most."""
        return largest(own)

    def _move(self, device: torch.device) -> None:
        self.whole.to(device)  # type: ignore[arg-type]

    def _trained(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Trained parameters of the whole model, each with the copy's; names may differ, their order does not."""
        pairs = zip(self.whole.parameters(), self.model.parameters(), strict=True)
        return ((ours, theirs) for ours, theirs in pairs if ours.requires_grad)

    @abstractmethod
    def _whole_of(self, part: nn.Parameter) -> torch.Tensor:
        """A parameter of the copy as it is in all processes together."""

    @abstractmethod
    def _take(self, part: nn.Parameter, whole: torch.Tensor) -> None:
        """Give a parameter of the copy this process's part of a whole one."""


class Fsdp(Divided):
    """Weights, gradients and the optimizer's state divided by FSDP2."""

    def engage(self, trainer: Trainer) -> None:
        """Blocks of transformers are divided one by one, unless the launch names other layers."""
        state = trainer.accelerator.state
        if state.distributed_type == DistributedType.MULTI_CPU:  # accelerate leaves FSDP out there, torch does not
            state.fsdp_plugin = FullyShardedDataParallelPlugin()
            state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
            trainer.is_fsdp_enabled = True
        plugin = state.fsdp_plugin
        if plugin.transformer_cls_names_to_wrap is None:
            # What an architecture names itself (_no_split_modules) is nothing for many, and for BERT also what
            # accelerate divides apart from it; but blocks of transformers are all of this kind.
            blocks = [each for each in self.model.modules() if isinstance(each, GradientCheckpointingLayer)]
            plugin.transformer_cls_names_to_wrap = sorted({type(block).__name__ for block in blocks})
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        if len(names) > len(list(self.model.parameters())):
            # accelerate would divide tables of embeddings by themselves, and untie those whose weights others share.
            self.model.get_input_embeddings = self.model.get_output_embeddings = lambda: None  # type: ignore[assignment,method-assign]

    def kept(self, accelerator: Accelerator, model: nn.Module) -> AbstractContextManager[Any]:
        """Nothing stays: gradients that are not sent on are whole in each process."""
        return nullcontext()

    def _whole_of(self, part: nn.Parameter) -> torch.Tensor:
        return part.full_tensor() if isinstance(part, DTensor) else part

    def _take(self, part: nn.Parameter, whole: torch.Tensor) -> None:
        if isinstance(part, DTensor):
            whole = distribute_tensor(whole, part.device_mesh, part.placements, src_data_rank=None)
        part.copy_(whole)


class Zero(Divided):
    """Gradients and the optimizer's state divided by DeepSpeed ZeRO-2, by ZeRO-3 also the weights."""

    def __init__(self, model: PreTrainedModel, objective: Objective) -> None:
        super().__init__(model, objective)
        self._linear = nn.functional.linear

    def engage(self, trainer: Trainer) -> None:
        """Have DeepSpeed on a CPU too; models that are loaded meanwhile are whole."""
        import deepspeed  # type: ignore[import-not-found]

        state = trainer.accelerator.state
        if state.distributed_type == DistributedType.MULTI_CPU:  # accelerate leaves DeepSpeed out there
            plugin = DeepSpeedPlugin()
            plugin.set_mixed_precision(state.mixed_precision)
            plugin.select(_from_accelerator_state=True)
            state.deepspeed_plugins = plugin
            state.distributed_type = PartialState().distributed_type = DistributedType.DEEPSPEED
            trainer.accelerator.deepspeed_engine_wrapped = None
            trainer.is_deepspeed_enabled = True
            propagate_args_to_deepspeed(trainer.accelerator, trainer.args)  # type: ignore[no-untyped-call]
            # Code to share memory by would be compiled for minutes, and waited for for ever if that was once cut short.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]

    @contextmanager
    def kept(self, accelerator: Accelerator, model: nn.Module) -> Iterator[None]:
        """No step is taken after the pass."""
        last = accelerator.gradient_state.sync_gradients
        accelerator.gradient_state._set_sync_gradients(False)
        try:
            yield
        finally:
            accelerator.gradient_state._set_sync_gradients(last)

    def finish(self) -> None:
        """ZeRO-3 has put a function of its own in the place of torch's, which rounded weights cannot be given to."""
        super().finish()
        nn.functional.linear = self._linear

    def _whole_of(self, part: nn.Parameter) -> torch.Tensor:
        from deepspeed.utils import safe_get_full_fp32_param  # type: ignore[import-not-found]

        whole: torch.Tensor = safe_get_full_fp32_param(part)
        return whole

    def _take(self, part: nn.Parameter, whole: torch.Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(part, whole)


def to_train(model: PreTrainedModel, objective: Objective) -> Whole:
    """What a launch takes the steps on. Raises LaunchError for a model that it cannot divide."""
    kind = sharded_by()
    if kind is None:
        return Whole(model, objective)
    if not all(parameter.is_floating_point() for parameter in model.parameters()):
        raise LaunchError(
            f"this launch shards the model ({kind}), and weights in few bits (lora.load) cannot be divided",
            "set `lora.load: float32`, or use accelerate_config.yaml (DDP)",
        )
    return Fsdp(model, objective) if kind == "FSDP" else Zero(model, objective)
