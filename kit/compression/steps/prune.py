"""Structured pruning: heads and neurons that matter least are taken out for good, and the model recovers.

What matters is how much the loss would change, to first order, if a head or neuron were silenced (Michel et al. 2019,
arXiv:1905.10650; Molchanov et al. 2019, arXiv:1906.10771). The unpruned model then teaches the pruned one.

Knows models and the budget. Knows nothing of other techniques.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from kit.compression.recover import recover
from kit.data.batching import EncodedDataset, sorted_batches
from kit.distillation.teacher import resolve_teacher
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.methods.classification.encoder import EncodedBudget, encode_budget
from kit.models.architectures.blocks import Block, find_blocks
from kit.models.architectures.pooled import PooledClassifier, PooledConfig
from kit.models.checkpoints.loading import load_classifier
from kit.models.predictor import TransformerPredictor
from kit.models.saved_kind import Kind
from kit.recipe.sections.compression import PruneStep
from kit.records.record import Record

_SCORED = 1_000  # examples of the budget that scores are taken on
_TOKENS = 2_048  # padded tokens in one pass of scoring
_ROUND = 8  # neurons of a layer are a multiple of this, which processors like


class Prune:
    """Take heads and neurons out of a model of BERT's kind."""

    takes = (Kind.TORCH,)
    gives = Kind.TORCH

    def require(self, step: PruneStep, source: Record | None) -> None:
        """A pooled encoder with blocks like BERT's: only its file can say how many heads each layer has."""
        if source is None:
            return
        model = load_classifier(source.model_folder)
        if not isinstance(model, PooledClassifier):
            raise ModelError(
                f"prune: {source.id} keeps the head of its architecture, whose file cannot say what was taken out",
                "set model.pooling to mean or cls and train again, or distil a smaller student",
            )
        find_blocks(model)

    def variants(self, step: PruneStep) -> list[PruneStep]:
        """Half as much."""
        return [step.model_copy(update={"heads": step.heads / 2, "neurons": step.neurons / 2})]

    def compress(self, step: PruneStep, source: Record, job: Job) -> Fitted:
        """Score on the budget's training examples, take out, recover on budget and pool."""
        teacher = resolve_teacher(str(source.folder))
        assert teacher.checkpoint is not None
        job = replace(job, checkpoint=teacher.checkpoint)
        model = load_classifier(source.model_folder)
        model.to(PartialState().device)
        budget = encode_budget(job)
        blocks = find_blocks(model)
        before = sum(parameter.numel() for parameter in model.parameters())
        heads, neurons = _scores(model, blocks, budget, job)
        kept_heads = _kept(heads, step.heads, 1)
        kept_neurons = _kept(neurons, step.neurons, _ROUND)
        model.cpu()
        for block, some, others in zip(blocks, kept_heads, kept_neurons, strict=True):
            block.keep(some, others)
        assert isinstance(model.config, PooledConfig)
        model.config.kept_heads = [len(some) for some in kept_heads]
        model.config.kept_neurons = [len(some) for some in kept_neurons]
        training = recover(model, teacher, budget, job, step.epochs, step.learning_rate) if step.epochs else None
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
    """Of every head and every neuron, by layer: mean over examples of |d loss / d (a factor that silences it)|.

    The factors are a tensor of their own for every example, so that one backward pass gives each example's derivative.
    """
    examples = budget.train.encoded.take(np.arange(min(_SCORED, len(budget.train.targets))))
    dataset = EncodedDataset(
        examples, budget.train.targets, budget.tokenizer.pad_token_id or 0, budget.tokenizer.padding_side == "left"
    )
    heads = [torch.zeros(block.heads) for block in blocks]
    neurons = [torch.zeros(block.neurons) for block in blocks]
    factors: dict[torch.nn.Module, torch.Tensor] = {}

    def silence(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        (hidden,) = inputs
        factor = factors[layer]
        cut = hidden.view(*hidden.shape[:2], factor.shape[-1], -1) * factor[:, None, :, None]
        return (cut.reshape(hidden.shape),)

    hooks = [layer.register_forward_pre_hook(silence) for block in blocks for layer in (block.joined, block.outer)]
    device = PartialState().device
    model.eval()
    try:
        for indices in sorted_batches(examples.lengths, _TOKENS):
            batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
            labels = batch.pop("labels")
            for block in blocks:
                factors[block.joined] = torch.ones(len(labels), block.heads, device=device, requires_grad=True)
                factors[block.outer] = torch.ones(len(labels), block.neurons, device=device, requires_grad=True)
            loss = job.task.loss(model(**batch).logits, labels)
            gradients = torch.autograd.grad(loss, list(factors.values()))
            found = dict(zip(factors, gradients, strict=True))
            for number, block in enumerate(blocks):
                heads[number] += found[block.joined].abs().sum(0).cpu()
                neurons[number] += found[block.outer].abs().sum(0).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    # Each layer's scores by their own length (Molchanov et al.), or the layers nearest the loss would keep everything.
    return tuple([score / score.norm().clamp(min=1e-12) for score in scores] for scores in (heads, neurons))  # type: ignore[return-value]


def _kept(scores: list[torch.Tensor], share: float, multiple: int) -> list[torch.Tensor]:
    """Numbers, in order, of what stays in each layer when this share of all goes: the lowest scores of all layers.

    Every layer keeps a multiple, and at least one of it; where a layer has less than that, it keeps all.
    """
    flat = torch.cat(scores)
    gone = round(share * len(flat))
    least = flat.sort().values[gone - 1] if gone else flat.min() - 1
    kept = []
    for score in scores:
        step = min(multiple, len(score))
        count = max(step, round(int((score > least).sum()) / step) * step)
        kept.append(score.argsort(descending=True)[: min(count, len(score))].sort().values)
    return kept
