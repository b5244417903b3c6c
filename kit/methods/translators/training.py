"""Training of translators from a translation checkpoint, from an encoder, or from random weights.

`finetune` trains all weights of a translation checkpoint, or of an encoder with a fresh decoder (see
`kit.models.translation.seq2seq`). `lora` trains adapters of pretrained weights, and all fresh weights. `scratch` trains
a small Transformer with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.batching import PairDataset
from kit.data.examples import Examples
from kit.errors import VerificationError
from kit.methods.base import FinetuneJob, Fitted, Job, TrainingJob
from kit.methods.encoders.lora import MERGE_TOLERANCE, with_adapters
from kit.methods.translators.writing import Pairs, PairWatch, Writer, dataset_of, encode_pairs
from kit.models.checkpoints.loading import require_positions
from kit.models.checkpoints.tokenizers import load_tokenizer, quiet
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import apply_route, set_search
from kit.models.translation.languages import Route
from kit.models.translation.lengths import LEAST_RATIO
from kit.models.translation.seq2seq import (
    TokenizerPair,
    load_tokenizer_pair,
    pretrained_translator,
    scratch_translator,
    start_of,
    warm_translator,
)
from kit.models.translation.translator import Translator
from kit.recipe.sections.translation import DECODER_DROPOUT, ENCODER_RATE
from kit.runtime.quantities import percent
from kit.training.interfaces import Fitting
from kit.training.objective import LabelObjective, Objective
from kit.training.plan import make_plan

_MERGE_SAMPLE = 16  # training pairs to compare logits on before and after merging adapters
_MAX_TRUNCATED = 0.01  # warn if a larger share of the references is truncated
# Limit of the length of a translation: this quantile of the length ratios of training pairs, times the margin.
_RATIO_QUANTILE, _RATIO_MARGIN = 0.99, 1.5


JobT = TypeVar("JobT", bound=TrainingJob)


@dataclass(frozen=True)
class Translate(Generic[JobT]):
    """Training on the budget's pairs.

    Attributes:
        name: Name of the method.
        build: Returns the model that training starts from, for the training pairs.
        needs_checkpoint: True if the model starts from `model.checkpoint`.
    """

    name: str
    build: Callable[[JobT, Examples], Writer]
    needs_checkpoint: bool = True

    def fit(self, job: JobT) -> Fitted:
        """Train all weights, except token embeddings that the recipe freezes."""
        writer = self.build(job, job.data.train)
        return fit_writer(job, writer, pairs_of(job, writer, job.data.train))


@dataclass(frozen=True)
class TranslateLora:
    """Training of adapters of pretrained weights (Hu et al. 2021, arXiv:2106.09685), and of all fresh weights."""

    name: str = "lora"
    needs_checkpoint: bool = True

    def fit(self, job: FinetuneJob) -> Fitted:
        """Train adapters and merge them. Raises VerificationError if merging changes the logits."""
        writer = writer_of(job, job.data.train)
        wrapped = _with_adapters(job, writer.model)
        pairs = pairs_of(job, writer, job.data.train)
        return fit_writer(job, writer, pairs, wrapped, finish=lambda: _merged(wrapped, writer, pairs))


def scratch_writer(job: TrainingJob, examples: Examples) -> Writer:
    """Build a model with random weights.

    Args:
        job: Job of the method.
        examples: Training pairs, on which a joint tokenizer is trained.
    """
    recipe, max_length = job.recipe, job.recipe.data.max_length
    torch.manual_seed(recipe.train.seed)
    texts = [texts[0] for texts in examples.texts] + [labels[0] for labels in examples.labels]
    joint = train_bpe(texts, recipe.translation.vocabulary or 0, max_length)
    return Writer(scratch_translator(joint, max_length, recipe.train.dropout), TokenizerPair(joint, joint), "", None)


def writer_of(job: FinetuneJob, examples: Examples) -> Writer:
    """Build the model that training starts from.

    Args:
        job: Job of the method.
        examples: Training pairs, on which a missing tokenizer of the target language is trained.
    """
    recipe, max_length = job.recipe, job.recipe.data.max_length
    torch.manual_seed(recipe.train.seed)
    dropout, key = recipe.train.dropout, job.checkpoint.tokenizer_sha256
    if start_of(job.checkpoint.folder) == "encoder":
        section = recipe.translation
        tokenizer = load_tokenizer(job.checkpoint.folder, job.checkpoint.trusted)
        target = train_bpe([labels[0] for labels in examples.labels], section.vocabulary or 0, max_length)
        decoder_dropout = DECODER_DROPOUT if section.decoder_dropout is None else section.decoder_dropout
        model = warm_translator(job.checkpoint, target, section.decoder_layers, dropout, decoder_dropout)
        shares = {} if recipe.method == "lora" else {"encoder.": section.encoder_rate or ENCODER_RATE}
        return Writer(model, TokenizerPair(tokenizer, target), "", None, key, shares)
    tokenizer_pair, route = load_tokenizer_pair(job.checkpoint.folder, job.checkpoint.trusted), route_of(job)
    model = pretrained_translator(job.checkpoint, dropout)
    first = apply_route(model, tokenizer_pair.source, route)
    key = f"{key} {route.codes}"  # tokens depend on the language
    return Writer(model, tokenizer_pair, recipe.translation.prefix or "", first, key)


def route_of(job: Job) -> Route:
    """Return the language codes and the prefix of a resolved recipe."""
    section = job.recipe.translation
    return Route((section.codes[0], section.codes[1]) if section.codes else None, section.prefix or "")


def pairs_of(job: Job, writer: Writer, examples: Examples) -> Pairs:
    """Tokenize examples, truncated to the recipe's maximum length."""
    return encode_pairs(examples, writer, job.recipe.data.max_length)


def fit_writer(
    job: TrainingJob,
    writer: Writer,
    pairs: Pairs,
    wrapped: PreTrainedModel | None = None,
    *,
    finish: Callable[[], PreTrainedModel] | None = None,
    lessons: PairDataset | None = None,
    objective: Objective | None = None,
) -> Fitted:
    """Train a model on pairs.

    Args:
        job: Job of the method.
        writer: Model with its tokenizers.
        pairs: Tokenized training pairs.
        wrapped: Model to train if it is not the writer's model itself, such as the model with adapters.
        finish: Returns the final model after training; by default the writer's model.
        lessons: Training pairs with labels for `objective`; by default the pairs with their target tokens.
        objective: Loss of training; by default the cross-entropy of the target tokens.
    """
    from kit.training.fit import fit_model  # transformers' Trainer takes seconds to import

    recipe = job.recipe
    model = wrapped or writer.model
    model.to(PartialState().device)
    require_positions(writer.model, recipe.data.max_length)
    if recipe.train.freeze_embeddings:
        freeze_source_embeddings(writer.model)
    validation, test = (pairs_of(job, writer, split) for split in (job.data.validation, job.data.test))
    plan = make_plan(recipe.train, len(pairs), PartialState().num_processes)
    _warn_of_truncation(job, pairs)
    settings: dict[str, Any] = {
        "device": job.hardware.device,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "target_tokens": len(writer.tokenizer_pair.target),
    }
    watch = PairWatch(writer, pairs, validation)
    training = fit_model(
        Fitting(
            model=model,
            objective=objective or LabelObjective(job.task, 0.0),
            lessons=lessons or dataset_of(pairs, writer),
            watch=watch,
            section=recipe.train,
            plan=plan,
            hardware=job.hardware,
            workdir=job.workdir,
            logs=job.logs,
            progress=job.progress,
            rate_shares=writer.rate_shares,
        )
    )
    final = finish() if finish is not None else writer.model
    # Computed with the final weights, which may be a mean, or those of an earlier step.
    settings["loss_on_references"] = {"validation": watch.loss(final, validation), "test": watch.loss(final, test)}
    truncation = _truncated_shares(pairs, validation, test)
    return Fitted(predictor_of(job, replace(writer, model=final), pairs), training, settings, truncation)


def _truncated_shares(pairs: Pairs, validation: Pairs, test: Pairs) -> dict[str, float]:
    return {
        "train": _share(pairs.source.truncated | pairs.target.truncated),
        "validation": _share(validation.source.truncated | validation.target.truncated),
        "test": _share(test.source.truncated),
        "references": _share(pairs.target.truncated),
    }


def _warn_of_truncation(job: Job, pairs: Pairs) -> None:
    truncated = _share(pairs.target.truncated)
    if truncated > _MAX_TRUNCATED:
        job.progress.say(
            f"data: {percent(truncated, 1)} of the references have more than {job.recipe.data.max_length} tokens "
            "(data.max_length) and are cut: a translator learns to stop there"
        )


def predictor_of(job: Job, writer: Writer, pairs: Pairs) -> Translator:
    """Return the translator of a fitted model, with the decoding settings of the recipe.

    Args:
        job: Job of the method.
        writer: Fitted model with its tokenizers.
        pairs: Training pairs, whose lengths limit the length of translations.
    """
    section, max_length = job.recipe.translation, job.recipe.data.max_length
    ratio = float(np.quantile(pairs.target.lengths / pairs.source.lengths, _RATIO_QUANTILE)) * _RATIO_MARGIN
    set_search(writer.model, section.beams, section.length_penalty, max_length, writer.first, max(ratio, LEAST_RATIO))
    return Translator(writer.model, writer.tokenizer_pair, max_length, writer.prefix, writer.tokenizer_key)


def freeze_source_embeddings(model: PreTrainedModel) -> None:
    """Freeze the encoder's embedding layer, or the embedding matrix that both sides share."""
    encoder = model.get_encoder()
    layer = getattr(encoder, "embeddings", None) or model.get_input_embeddings()
    layer.requires_grad_(False)


def _share(truncated: np.ndarray) -> float:
    return float(truncated.mean()) if len(truncated) else 0.0


def _with_adapters(job: Job, model: PreTrainedModel) -> PreTrainedModel:
    """Add adapters to the pretrained weights; a fresh decoder beside an encoder is trained completely."""
    lora = job.recipe.lora
    warm = model.config.model_type == "encoder-decoder"
    targets: Any = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if warm:
        linear = {
            name
            for name, module in model.named_modules()
            if name.startswith("encoder.") and hasattr(module, "in_features")
        }
        selected = linear if targets == "all-linear" else {n for n in linear if n.rpartition(".")[2] in set(targets)}
        targets = sorted(selected) or targets
    wrapped = with_adapters(model, lora, targets)
    if warm:
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder."):
                parameter.requires_grad_(True)
    return wrapped


def _merged(wrapped: PreTrainedModel, writer: Writer, pairs: Pairs) -> PreTrainedModel:
    rows = np.arange(min(_MERGE_SAMPLE, len(pairs)))
    batch = dataset_of(Pairs(pairs.source.take(rows), pairs.target.take(rows)), writer).collate(rows.tolist())
    device = next(wrapped.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    wrapped.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        before = wrapped(**inputs).logits
        with quiet():
            merged: PreTrainedModel = wrapped.merge_and_unload()  # type: ignore[operator]
        change = float((merged(**inputs).logits - before).abs().max())
    if not change <= MERGE_TOLERANCE:
        raise VerificationError(
            f"merging the LoRA adapter changed a logit by {change:.2g}", "train with `train.precision: fp32`"
        )
    return merged
