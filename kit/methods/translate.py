"""Translation by gradient training: from a checkpoint that translates, from an encoder, or from nothing.

`finetune` takes the checkpoint as it is, or gives an encoder a fresh decoder (see `models.seq2seq`); `lora` trains
adapters on it, and of what is fresh everything; `scratch` starts from random weights in a shape of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import PairDataset, sorted_batches
from kit.data.encode import Encoded, encode
from kit.data.examples import Examples
from kit.errors import ModelError, VerificationError
from kit.methods.base import Fitted, Job
from kit.models.bpe import train_bpe
from kit.models.languages import Route, take_route
from kit.models.load import load_tokenizer, quiet, require_positions
from kit.models.seq2seq import (
    Tongues,
    pretrained_translator,
    scratch_translator,
    set_search,
    start_of,
    warm_translator,
)
from kit.models.translator import LEAST_RATIO, Translator
from kit.tasks.translation import IGNORED
from kit.training.fitting import Fitting
from kit.training.objective import LabelObjective
from kit.training.plan import TRAIN_SAMPLE, make_plan
from kit.training.trainer import fit_model

MERGE_TOLERANCE = 1e-3  # largest change of a logit by merging adapters; float32 rounding gives about 1e-5
_LOOK_TOKENS = {"cpu": 2_048, "mps": 16_384, "cuda": 65_536}
_SAMPLE = 16
# Of tokens of a translation to those of its source: what nearly all training pairs stay below, and room above it.
_USUAL, _MARGIN = 0.99, 1.5


@dataclass(frozen=True)
class Writer:
    """A model that is to learn to translate, with its tokenizers. first: token that its translations begin with."""

    model: PreTrainedModel
    tongues: Tongues
    prefix: str
    first: int | None
    tokenizer_key: str | None = None


@dataclass(frozen=True)
class Pairs:
    """Sources and translations of n examples as tokens."""

    source: Encoded
    target: Encoded

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Translate:
    """All weights are trained, but for pretrained token embeddings where the recipe keeps them."""

    name: str
    needs_checkpoint: bool = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """A translator has no text vectors."""
        return None

    def fit(self, job: Job) -> Fitted:
        """Train on the budget's training pairs."""
        return fit_writer(job, writer_of(job, job.data.train), job.data.train)


@dataclass(frozen=True)
class TranslateLora:
    """Low-rank updates of what is pretrained (Hu et al. 2021, arXiv:2106.09685), merged; what is fresh learns whole."""

    name: str = "lora"
    needs_checkpoint: bool = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """A translator has no text vectors."""
        return None

    def fit(self, job: Job) -> Fitted:
        """Train adapters and merge them; raises VerificationError if merging changes an answer."""
        writer = writer_of(job, job.data.train)
        wrapped = _with_adapters(job, writer.model)
        return fit_writer(job, writer, job.data.train, wrapped, lambda pairs: _merged(wrapped, writer, pairs))


def writer_of(job: Job, examples: Examples) -> Writer:
    """The model that training starts from. examples: that tokenizers are trained on, where one has to be made."""
    recipe, longest = job.recipe, job.recipe.data.max_length
    torch.manual_seed(recipe.train.seed)
    start = start_of(job.checkpoint.folder if job.checkpoint is not None else None)
    targets = [labels[0] for labels in examples.labels]
    size, dropout = recipe.translation.vocabulary or 0, recipe.train.dropout
    if start == "nothing":
        joint = train_bpe([texts[0] for texts in examples.texts] + targets, size, longest)
        return Writer(scratch_translator(joint, longest, dropout), Tongues(joint, joint), "", None)
    assert job.checkpoint is not None
    tokenizer = load_tokenizer(job.checkpoint.folder, job.checkpoint.trusted)
    key = job.checkpoint.tokenizer_sha256
    if start == "encoder":
        target = train_bpe(targets, size, longest)
        model = warm_translator(job.checkpoint, target, recipe.translation.decoder_layers, dropout)
        return Writer(model, Tongues(tokenizer, target), "", None, key)
    route = route_of(job)
    first = take_route(tokenizer, route)
    key = f"{key} {route.codes}"  # the same text is other tokens in another language
    model = pretrained_translator(job.checkpoint, dropout)
    return Writer(model, Tongues(tokenizer, tokenizer), recipe.translation.prefix or "", first, key)


def route_of(job: Job) -> Route:
    """The route that a resolved recipe names."""
    section = job.recipe.translation
    return Route((section.codes[0], section.codes[1]) if section.codes else None, section.prefix or "")


def fit_writer(
    job: Job,
    writer: Writer,
    examples: Examples,
    wrapped: PreTrainedModel | None = None,
    finish: Callable[[Pairs], PreTrainedModel] | None = None,
) -> Fitted:
    """Train a model on pairs.

    examples: to learn from. wrapped: the model as it is trained, if that is not the writer's own. finish: makes the
    final model of what was trained; it gets the training pairs.
    """
    recipe = job.recipe
    model = wrapped or writer.model
    model.to(PartialState().device)
    require_positions(writer.model, recipe.data.max_length)
    if recipe.train.freeze_embeddings:
        freeze_source_embeddings(writer.model)
    pairs, validation = (encode_pairs(part, writer, recipe.data.max_length) for part in (examples, job.data.validation))
    test = encode(_sources(job.data.test, writer), writer.tongues.source, recipe.data.max_length, writer.tokenizer_key)
    plan = make_plan(recipe.train, len(pairs), PartialState().num_processes)
    settings: dict[str, Any] = {
        "device": job.hardware.device,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "target_tokens": len(writer.tongues.target),
    }
    training = fit_model(
        Fitting(
            model=model,
            objective=LabelObjective(job.task, 0.0),
            lessons=dataset_of(pairs, writer),
            watch=PairWatch(writer, pairs, validation),
            section=recipe.train,
            plan=plan,
            hardware=job.hardware,
            workdir=job.workdir,
            logs=job.logs,
            progress=job.progress,
        )
    )
    final = finish(pairs) if finish is not None else writer.model
    settings["loss_on_references"] = training.evaluations[-1].validation_loss if training.evaluations else None
    truncation = {
        "train": _share(pairs.source.truncated | pairs.target.truncated),
        "validation": _share(validation.source.truncated | validation.target.truncated),
        "test": _share(test.truncated),
    }
    return Fitted(predictor_of(job, replace(writer, model=final), pairs), training, settings, truncation)


def predictor_of(job: Job, writer: Writer, pairs: Pairs) -> Translator:
    """The translator around a fitted model, with the search that the recipe asks for.

    pairs: that it was trained on; they say how long translations are.
    """
    section, longest = job.recipe.translation, job.recipe.data.max_length
    ratio = float(np.quantile(pairs.target.lengths / pairs.source.lengths, _USUAL)) * _MARGIN
    set_search(writer.model, section.beams, section.length_penalty, longest, writer.first, max(ratio, LEAST_RATIO))
    return Translator(writer.model, writer.tongues, longest, writer.prefix, writer.tokenizer_key)


def encode_pairs(examples: Examples, writer: Writer, max_length: int) -> Pairs:
    """Sources with their prefix and translations, as tokens."""
    source, target = writer.tongues.source, writer.tongues.target
    key = writer.tokenizer_key
    lines: list[tuple[str, ...]] = [(labels[0],) for labels in examples.labels]
    ours = encode(_sources(examples, writer), source, max_length, key)
    if target is not source:
        theirs = encode(lines, target, max_length, key_of(target))
    else:
        theirs = encode(lines, target, max_length, None if key is None else f"{key} target", as_target=True)
    return Pairs(ours, theirs)


def key_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """What identifies a tokenizer that was trained here."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def dataset_of(pairs: Pairs, writer: Writer) -> PairDataset:
    """The pairs, to learn from."""
    source, target = writer.tongues.source, writer.tongues.target
    return PairDataset(
        pairs.source, pairs.target, (source.pad_token_id or 0, target.pad_token_id or 0), shift_of(writer.model)
    )


def shift_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a model makes of the tokens it is to write: those that it sees before each of them."""
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return cast(Callable[[torch.Tensor], torch.Tensor], model.prepare_decoder_input_ids_from_labels)
    start, pad = model.config.decoder_start_token_id, model.config.pad_token_id

    def shifted(labels: torch.Tensor) -> torch.Tensor:
        moved = labels.roll(1, dims=1)
        moved[:, 0] = start
        return moved.masked_fill(moved == IGNORED, pad)

    return shifted


def freeze_source_embeddings(model: PreTrainedModel) -> None:
    """Take the encoder's embedding layer, or the table that both sides share, out of training."""
    encoder = model.get_encoder()
    layer = getattr(encoder, "embeddings", None) or model.get_input_embeddings()
    layer.requires_grad_(False)


@dataclass(frozen=True)
class PairWatch:
    """Loss of the references a token (without smoothing), and the share of their tokens that come first."""

    writer: Writer
    train: Pairs
    validation: Pairs
    metric: str = "token_accuracy"

    @property
    def validated(self) -> bool:
        """Whether there are validation examples."""
        return len(self.validation) > 0

    def look(self, model: PreTrainedModel) -> dict[str, float]:
        """In float32, each token after the reference's own."""
        seen = np.linspace(0, len(self.train) - 1, min(len(self.train), TRAIN_SAMPLE)).astype(int)
        sample = Pairs(self.train.source.take(seen), self.train.target.take(seen))
        return {**self._scores("train", model, sample), **self._scores("validation", model, self.validation)}

    def _scores(self, prefix: str, model: PreTrainedModel, pairs: Pairs) -> dict[str, float]:
        dataset = dataset_of(pairs, self.writer)
        loss = right = tokens = 0.0
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        device = next(model.parameters()).device
        sizes = pairs.source.lengths + pairs.target.lengths
        try:
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                for indices in sorted_batches(sizes, _LOOK_TOKENS[device.type]):
                    batch = {name: part.to(device) for name, part in dataset.collate(indices.tolist()).items()}
                    labels = batch.pop("labels")
                    logits = model(**batch).logits.float()
                    loss += float(
                        torch.nn.functional.cross_entropy(
                            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
                        )
                    )
                    known = labels != IGNORED
                    right += float((logits.argmax(dim=-1) == labels)[known].sum())
                    tokens += float(known.sum())
        finally:
            model.train(was_training)
        return {f"{prefix}_loss": loss / tokens, f"{prefix}_{self.metric}": right / tokens}


def _sources(examples: Examples, writer: Writer) -> list[tuple[str, ...]]:
    return [(writer.prefix + texts[0],) for texts in examples.texts]


def _share(cut: np.ndarray) -> float:
    return float(cut.mean()) if len(cut) else 0.0


def _with_adapters(job: Job, model: PreTrainedModel) -> PreTrainedModel:
    """The model with adapters on what is pretrained; what is fresh beside an encoder is trained whole."""
    lora = job.recipe.lora
    warm = model.config.model_type == "encoder-decoder"
    targets: Any = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if warm:
        linear = {
            name for name, part in model.named_modules() if name.startswith("encoder.") and hasattr(part, "in_features")
        }
        chosen = linear if targets == "all-linear" else {n for n in linear if n.rpartition(".")[2] in set(targets)}
        targets = sorted(chosen) or targets
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    try:
        wrapped = get_peft_model(model, config)
    except ValueError as error:
        kinds = sorted({n.rpartition(".")[2] for n, part in model.named_modules() if hasattr(part, "in_features")})
        raise ModelError(
            f"lora.targets: {lora.targets} are not modules of this model", f"its linear modules: {', '.join(kinds)}"
        ) from error
    if warm:
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder."):
                parameter.requires_grad_(True)
    return wrapped  # type: ignore[return-value]


def _merged(wrapped: PreTrainedModel, writer: Writer, pairs: Pairs) -> PreTrainedModel:
    rows = np.arange(min(_SAMPLE, len(pairs)))
    batch = dataset_of(Pairs(pairs.source.take(rows), pairs.target.take(rows)), writer).collate(rows.tolist())
    device = next(wrapped.parameters()).device
    given = {name: part.to(device) for name, part in batch.items() if name != "labels"}
    wrapped.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        before = wrapped(**given).logits
        with quiet():
            merged: PreTrainedModel = wrapped.merge_and_unload()  # type: ignore[operator]
        change = float((merged(**given).logits - before).abs().max())
    if not change <= MERGE_TOLERANCE:
        raise VerificationError(
            f"merging the LoRA adapter changed a logit by {change:.2g}", "train with `train.precision: fp32`"
        )
    return merged
