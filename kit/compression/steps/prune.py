"""Structured pruning: remove the least important heads and neurons, and recover by distillation.

The importance of a head or neuron is the first-order change of the loss if it were masked (Michel et al. 2019,
arXiv:1905.10650; Molchanov et al. 2019, arXiv:1906.10771). The unpruned model is the teacher of the pruned model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from kit.compression.recover import recover
from kit.data.batching import EncodedDataset
from kit.data.padding import sorted_batches
from kit.distillation.teacher import checkpoint_of, resolve_teacher
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.methods.base import CheckpointJob
from kit.methods.encoders.encoder import EncodedBudget, encode_budget
from kit.models.architectures.blocks import Block, find_blocks
from kit.models.architectures.pooled import PooledClassifier, PooledConfig
from kit.models.checkpoints.loading import load_classifier
from kit.models.classifier import TransformerPredictor
from kit.models.kinds.form import Form
from kit.recipe.sections.compression import PruneStep
from kit.records.record import Record

_SCORED_EXAMPLES = 1_000  # of the budget, to compute importance scores on
_BATCH_TOKENS = 2_048  # padded tokens per batch of scoring
_NEURON_MULTIPLE = 8  # numbers of neurons per layer are rounded to this, for fast matrix products


class Prune:
    """Removal of attention heads and feed-forward neurons from encoders with BERT-like blocks."""

    takes = (Form.TORCH,)
    gives = Form.TORCH

    def require(self, step: PruneStep, source: Record | None) -> None:
        """Raise ModelError unless the model is a pooled encoder with BERT-like blocks.

        Only the configuration of pooled encoders can store a number of heads per layer.
        """
        if source is None:
            return
        model = load_classifier(source.model_folder)
        if not isinstance(model, PooledClassifier):
            raise ModelError(
                f"prune: {source.id} keeps the head of its architecture, whose file cannot describe a pruned model",
                "set model.pooling to mean or cls and train again, or distil a smaller student",
            )
        find_blocks(model)

    def variants(self, step: PruneStep) -> list[PruneStep]:
        """Return a variant that removes half as many heads and neurons."""
        return [step.model_copy(update={"heads": step.heads / 2, "neurons": step.neurons / 2})]

    def compress(self, step: PruneStep, source: Record, job: Job) -> Fitted:
        """Score heads and neurons on training examples, remove the lowest, and recover on budget and pool."""
        teacher = resolve_teacher(str(source.folder))
        start = CheckpointJob.starting_from(checkpoint_of(source), job)
        model = load_classifier(source.model_folder)
        model.to(PartialState().device)
        budget = encode_budget(start)
        blocks = find_blocks(model)
        before = sum(parameter.numel() for parameter in model.parameters())
        heads, neurons = _scores(model, blocks, budget, job)
        kept_heads = _kept(heads, step.heads, 1)
        kept_neurons = _kept(neurons, step.neurons, _NEURON_MULTIPLE)
        model.cpu()
        for block, head_rows, neuron_rows in zip(blocks, kept_heads, kept_neurons, strict=True):
            block.keep(head_rows, neuron_rows)
        assert isinstance(model.config, PooledConfig)
        model.config.kept_heads = [len(rows) for rows in kept_heads]
        model.config.kept_neurons = [len(rows) for rows in kept_neurons]
        training = recover(model, teacher, budget, start, step.epochs, step.learning_rate) if step.epochs else None
        settings: dict[str, Any] = {
            "device": job.hardware.device,
            "heads": model.config.kept_heads,
            "neurons": model.config.kept_neurons,
            "parameters_before": before,
        }
        return Fitted(TransformerPredictor(model, budget.tokenizer, job.recipe.data.max_length), training, settings)


def _scores(
    model: torch.nn.Module, blocks: list[Block], budget: EncodedBudget, job: Job
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the importance of every head and of every neuron, by layer: sum over examples of |d loss / d factor|.

    Each head and neuron is multiplied by a factor of 1, with a separate factor per example, so that one backward pass
    gives the derivative of each example. The scores of a layer are normalized to a norm of 1.
    """
    examples = budget.train.encoded.take(np.arange(min(_SCORED_EXAMPLES, len(budget.train.targets))))
    dataset = EncodedDataset.for_tokenizer(examples, budget.tokenizer, budget.train.targets)
    heads = [torch.zeros(block.heads) for block in blocks]
    neurons = [torch.zeros(block.neurons) for block in blocks]
    factors: dict[torch.nn.Module, torch.Tensor] = {}

    def multiply(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        (hidden,) = inputs
        factor = factors[layer]
        scaled = hidden.view(*hidden.shape[:2], factor.shape[-1], -1) * factor[:, None, :, None]
        return (scaled.reshape(hidden.shape),)

    hooks = [layer.register_forward_pre_hook(multiply) for block in blocks for layer in (block.joined, block.outer)]
    device = PartialState().device
    model.eval()
    try:
        for indices in sorted_batches(examples.lengths, _BATCH_TOKENS):
            batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
            labels = batch.pop("labels")
            for block in blocks:
                factors[block.joined] = torch.ones(len(labels), block.heads, device=device, requires_grad=True)
                factors[block.outer] = torch.ones(len(labels), block.neurons, device=device, requires_grad=True)
            loss = job.task.loss(model(**batch).logits, labels)
            gradients = dict(zip(factors, torch.autograd.grad(loss, list(factors.values())), strict=True))
            for number, block in enumerate(blocks):
                heads[number] += gradients[block.joined].abs().sum(0).cpu()
                neurons[number] += gradients[block.outer].abs().sum(0).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    # Normalized per layer (Molchanov et al.); otherwise the layers nearest to the loss would keep everything.
    return tuple([score / score.norm().clamp(min=1e-12) for score in scores] for scores in (heads, neurons))  # type: ignore[return-value]


def _kept(scores: list[torch.Tensor], share: float, multiple: int) -> list[torch.Tensor]:
    """Return the sorted indices of the units that each layer keeps; the units with the lowest scores are removed.

    Args:
        scores: Importance of the units of each layer.
        share: Share of the units of all layers to remove.
        multiple: Each layer keeps a multiple of this number, at least once; smaller layers keep all units.
    """
    flat = torch.cat(scores)
    removed = round(share * len(flat))
    least = flat.sort().values[removed - 1] if removed else flat.min() - 1
    kept = []
    for score in scores:
        step = min(multiple, len(score))
        count = max(step, round(int((score > least).sum()) / step) * step)
        kept.append(score.argsort(descending=True)[: min(count, len(score))].sort().values)
    return kept
