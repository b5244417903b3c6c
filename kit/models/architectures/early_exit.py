"""Pooled classifier with early exits: a linear classifier after each block except the last.

A text exits after the first block whose classifier is confident enough (BranchyNet, Teerapittayanon et al. 2016,
arXiv:1709.01686; for BERT: DeeBERT, Xin et al. 2020, arXiv:2004.12993). Later blocks compute only the remaining texts,
and are skipped once all have exited. A prediction does not depend on the other texts of the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils.generic import ModelOutput

from kit.errors import ModelError, first_line
from kit.models.architectures.layers import capturing, encoder_of, find_layers
from kit.models.architectures.pooled import PooledClassifier, PooledConfig

# Arguments of a block with one row per text, besides the hidden states.
_PER_TEXT = ("attention_mask", "position_bias")
_ALTERNATIVES = "compress its run with other steps (prune, int8-onnx), or distil a student with fewer layers"


class EarlyExitConfig(PooledConfig):  # type: ignore[no-untyped-call]
    """Configuration of `EarlyExitClassifier`.

    Attributes:
        threshold: Confidence above which a text exits; at 1 no text does.
    """

    model_type = "kit_early_exit"

    threshold: float = 1.0


@dataclass
class EarlyExitOutput(ModelOutput):
    """Output of `EarlyExitClassifier`.

    Attributes:
        loss: Mean loss; None without labels.
        logits: (batch, labels).
        layers: (batch,) number of blocks computed for each text.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    layers: torch.Tensor | None = None


class EarlyExitClassifier(PooledClassifier):
    """`PooledClassifier` with a linear classifier on the pooled vectors after each block except the last."""

    config_class = EarlyExitConfig

    def __init__(self, config: EarlyExitConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self._blocks = tuple(find_layers(self).blocks)  # a tuple, which does not register the modules again
        size = (self.classifier.in_features, self.classifier.out_features)
        self.exits = nn.ModuleList(nn.Linear(*size) for _ in self._blocks[1:])
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **inputs: Any,
    ) -> EarlyExitOutput:
        """Return the logits (batch, labels) of each text's exit and, with `labels`, the mean loss.

        In training mode no text exits early.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs.pop("return_dict", None)
        texts = _Texts(self, attention_mask)
        try:
            with texts.exiting(self._blocks if texts.threshold < 1 else ()):
                encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
            texts.store(self.classifier(self.pool(encoded.last_hidden_state, texts.mask)), len(self._blocks))
        except _AllExitedError:
            pass
        return EarlyExitOutput(loss=self.loss(texts.logits, labels), logits=texts.logits, layers=texts.layers)

    @property
    def multi_label(self) -> bool:
        """True if a text can have several labels."""
        return bool(self.config.problem_type == "multi_label_classification")

    def logits_by_layer(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, layers, labels) of all exits and the last classifier.

        Args:
            vectors: Text vectors (n, layers, hidden).
        """
        classifiers = (*self.exits, self.classifier)
        return torch.stack([classifier(vectors[:, layer]) for layer, classifier in enumerate(classifiers)], dim=1)

    def vectors_by_layer(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Return the text vectors (batch, layers, hidden) after every block, without early exits."""
        names = [f"hidden:{number}" for number in range(len(self.exits))]
        with capturing(self, names) as captured:
            last = self.embed(input_ids, attention_mask, **inputs)
        return torch.stack([*(self.pool(captured[name], attention_mask) for name in names), last], dim=1)


def confidence(logits: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """Return the confidence (n,) of logits (n, labels).

    It is the largest probability or, if a text can have several labels, the probability of the least certain decision.
    """
    if multi_label:
        return torch.sigmoid(logits.abs()).amin(dim=-1)
    return torch.softmax(logits, dim=-1).amax(dim=-1)


def with_exits(model: PreTrainedModel, threshold: float = 1.0) -> EarlyExitClassifier:
    """Return a classifier with new exits, which shares the encoder and copies the last classifier.

    Raises:
        ModelError: If early exits are impossible in the model.
    """
    if not isinstance(model, PooledClassifier):
        raise ModelError(
            f"early-exit: a {type(model).__name__} has no pooled vectors, which exits need after each block",
            "compress a run with model.pooling mean or cls, or leave this step out",
        )
    kind = encoder_of(model).config.model_type
    try:
        layers = len(find_layers(model))
    except ModelError as error:
        raise ModelError(f"early-exit: the layers of a {kind} model cannot be identified", _ALTERNATIVES) from error
    if layers < 2:
        raise ModelError("early-exit: a model of one layer cannot skip any", "leave this step out")
    old = model.config
    same = ("encoder", "pooling", "normalize", "kept_heads", "kept_neurons", "id2label", "label2id", "problem_type")
    config = EarlyExitConfig(**{name: getattr(old, name) for name in same}, threshold=threshold)
    classifier = EarlyExitClassifier(config, model.encoder)
    classifier.classifier.load_state_dict(model.classifier.state_dict())
    classifier.eval()  # type: ignore[no-untyped-call]
    return classifier


def require_same_alone(model: EarlyExitClassifier) -> None:
    """Raise ModelError if early exits of other texts in a batch change a prediction.

    Checked on made-up tokens, with the threshold at which half of the texts exit after the first block.
    """
    size = int(encoder_of(model).config.vocab_size or 0)
    ids = torch.arange(1, 25).view(4, 6) * 7_919 % size
    mask = torch.arange(6)[None] < torch.tensor([6, 5, 4, 3])[:, None]
    kind, old = encoder_of(model).config.model_type, model.config.threshold
    try:
        with torch.inference_mode():
            first = model.logits_by_layer(model.vectors_by_layer(ids, mask.long()))[:, 0]
            middle = confidence(first, model.multi_label).sort().values[1:3]  # the threshold is between two texts
            model.config.threshold = float(middle.mean())
            together = model(ids, mask.long()).logits
            alone = [
                model(row[kept][None], kept[kept].long()[None]).logits for row, kept in zip(ids, mask, strict=True)
            ]
        same = torch.allclose(together, torch.cat(alone), atol=1e-3)
    except (RuntimeError, IndexError) as error:  # a block still receives a tensor of the whole batch
        raise ModelError(f"early-exit: texts cannot exit a {kind} model: {first_line(error)}", _ALTERNATIVES) from error
    finally:
        model.config.threshold = old
    if not same:
        raise ModelError(f"early-exit: a {kind} model predicts differently once texts have exited", _ALTERNATIVES)


@cache
def _arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a block's arguments, in order."""
    return tuple(inspect.signature(forward).parameters)[1:]  # without self


class _AllExitedError(Exception):
    """Every text has exited: skip the remaining layers."""


class _Texts:
    """State of the texts of one batch on their way through the blocks.

    Attributes:
        rows: (n,) indices in the batch of the remaining texts.
        mask: (n, length) attention mask of the remaining texts.
        logits: (batch, labels) of all texts, written when they exit.
        layers: (batch,) number of blocks computed for each text, written when it exits.
    """

    def __init__(self, model: EarlyExitClassifier, mask: torch.Tensor) -> None:
        self.model, self.mask, self.count = model, mask, len(mask)
        self.threshold = 1.0 if model.training else model.config.threshold
        self.rows = torch.arange(self.count, device=mask.device)
        weight = model.classifier.weight
        self.logits = torch.zeros(self.count, len(weight), dtype=weight.dtype, device=mask.device)
        self.layers = torch.zeros(self.count, dtype=torch.long, device=mask.device)

    @contextmanager
    def exiting(self, blocks: tuple[nn.Module, ...]) -> Iterator[None]:
        """Let texts exit after each of these blocks except the last, until the context ends."""
        hooks = [block.register_forward_pre_hook(self._enter, with_kwargs=True) for block in blocks[1:]]
        hooks += [block.register_forward_hook(partial(self._exit, n)) for n, block in enumerate(blocks[:-1])]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def store(self, logits: torch.Tensor, layers: int) -> None:
        """Store the logits of the remaining texts after this number of blocks."""
        self.logits = self.logits.index_copy(0, self.rows, logits.to(self.logits.dtype))
        self.layers = self.layers.index_fill(0, self.rows, layers)

    def _exit(self, number: int, block: nn.Module, inputs: Any, output: Any) -> Any:
        """Return the output of a block for the texts that do not exit, or None to leave it unchanged."""
        hidden = output[0] if isinstance(output, tuple) else output
        logits = self.model.exits[number](self.model.pool(hidden, self.mask))
        sure = confidence(logits, self.model.multi_label) > self.threshold
        exit_count = int(sure.sum())
        if not exit_count:
            return None
        self.store(logits, number + 1)  # overwritten later for the texts that stay
        if exit_count == len(sure):
            raise _AllExitedError
        self.rows, self.mask = self.rows[~sure], self.mask[~sure]
        return (hidden[~sure], *output[1:]) if isinstance(output, tuple) else hidden[~sure]

    def _enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the arguments of a block for the remaining texts, or None to leave them unchanged."""
        if len(self.rows) == self.count:
            return None
        names = _arguments(type(block).forward)
        positional = list(args)
        for name in _PER_TEXT:
            if name in kwargs:
                kwargs[name] = self._remaining(kwargs[name])
            elif name in names[: len(positional)]:
                index = names.index(name)
                positional[index] = self._remaining(positional[index])
        return tuple(positional), kwargs

    def _remaining(self, value: Any) -> Any:
        return value[self.rows] if isinstance(value, torch.Tensor) and len(value) == self.count else value


AutoConfig.register(EarlyExitConfig.model_type, EarlyExitConfig, exist_ok=True)
AutoModelForSequenceClassification.register(EarlyExitConfig, EarlyExitClassifier, exist_ok=True)
