"""A pooled classifier that answers as soon as it is sure: a small classifier behind each block but the last.

A text leaves behind the first block whose classifier is confident enough (BranchyNet, Teerapittayanon et al. 2016,
arXiv:1709.01686; for BERT: DeeBERT, Xin et al. 2020, arXiv:2004.12993). The blocks behind compute on the texts that
stay; when none does, they are not computed at all. A text's answer does not depend on the texts beside it.

Knows one architecture. Knows nothing of how its exits are trained or its threshold is chosen.
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

# What blocks are given a row a text of, beside the vectors themselves.
_PER_TEXT = ("attention_mask", "position_bias")
_REFUSED = "compress its run by other steps (prune, int8-onnx), or distil a student with fewer layers"


class EarlyExitConfig(PooledConfig):  # type: ignore[no-untyped-call]
    """Configuration of `EarlyExitClassifier`. threshold: confidence above which a text leaves; at 1 none does."""

    model_type = "kit_early_exit"

    threshold: float = 1.0


@dataclass
class EarlyExitOutput(ModelOutput):
    """logits: (batch, labels). layers: (batch,), how many blocks each text went through. loss: if labels were given."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    layers: torch.Tensor | None = None


class EarlyExitClassifier(PooledClassifier):
    """As `PooledClassifier`, with a linear layer on the pooled vectors behind each block but the last."""

    config_class = EarlyExitConfig

    def __init__(self, config: EarlyExitConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self._blocks = tuple(find_layers(self).blocks)  # a tuple registers no module for a second time
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
        """Logits (batch, labels), each text's from where it left; with `labels`, also the mean loss.

        In training mode none leaves.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs.pop("return_dict", None)
        texts = _Texts(self, attention_mask)
        try:
            with texts.leaving(self._blocks if texts.threshold < 1 else ()):
                encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
            texts.answer(self.classifier(self.pool(encoded.last_hidden_state, texts.mask)), len(self._blocks))
        except _NoneLeftError:
            pass
        return EarlyExitOutput(loss=self.loss(texts.logits, labels), logits=texts.logits, layers=texts.layers)

    @property
    def multi_label(self) -> bool:
        """Whether several labels can hold at once."""
        return bool(self.config.problem_type == "multi_label_classification")

    def logits_by_layer(self, vectors: torch.Tensor) -> torch.Tensor:
        """Logits (n, layers, labels) of all exits and the last classifier for text vectors (n, layers, hidden)."""
        classifiers = (*self.exits, self.classifier)
        return torch.stack([each(vectors[:, number]) for number, each in enumerate(classifiers)], dim=1)

    def vectors_by_layer(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Text vectors (batch, layers, hidden) behind every block, whoever could have left before."""
        names = [f"hidden:{number}" for number in range(len(self.exits))]
        with capturing(self, names) as captured:
            last = self.embed(input_ids, attention_mask, **inputs)
        return torch.stack([*(self.pool(captured[name], attention_mask) for name in names), last], dim=1)


def confidence(logits: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """(n,) how sure logits (n, labels) are: the largest probability; of several labels, that of the least sure one."""
    if multi_label:
        return torch.sigmoid(logits.abs()).amin(dim=-1)
    return torch.softmax(logits, dim=-1).amax(dim=-1)


def with_exits(model: PreTrainedModel, threshold: float = 1.0) -> EarlyExitClassifier:
    """A classifier with new exits, around the same encoder and the same weights of the last classifier.

    Raises ModelError, with the reason and the way out, for a model that texts cannot leave early.
    """
    if not isinstance(model, PooledClassifier):
        raise ModelError(
            f"early-exit: a {type(model).__name__} has no pooled vectors behind its blocks, which exits are put on",
            "compress a run with model.pooling mean or cls, or leave this step out",
        )
    kind = encoder_of(model).config.model_type
    try:
        layers = len(find_layers(model))
    except ModelError as error:
        raise ModelError(f"early-exit: the layers of a {kind} model cannot be told apart", _REFUSED) from error
    if layers < 2:
        raise ModelError("early-exit: a model of one layer has none to leave out", "leave this step out")
    old = model.config
    same = ("encoder", "pooling", "normalize", "kept_heads", "kept_neurons", "id2label", "label2id", "problem_type")
    config = EarlyExitConfig(**{name: getattr(old, name) for name in same}, threshold=threshold)
    made = EarlyExitClassifier(config, model.encoder)
    made.classifier.load_state_dict(model.classifier.state_dict())
    made.eval()  # type: ignore[no-untyped-call]
    return made


def require_same_alone(model: EarlyExitClassifier) -> None:
    """Raise ModelError if texts get other answers where some of a batch leave before them than they get alone.

    Of made-up tokens, with the threshold at which half of the texts leave behind the first block.
    """
    size = int(encoder_of(model).config.vocab_size or 0)
    ids = torch.arange(1, 25).view(4, 6) * 7_919 % size
    mask = torch.arange(6)[None] < torch.tensor([6, 5, 4, 3])[:, None]
    kind, old = encoder_of(model).config.model_type, model.config.threshold
    try:
        with torch.inference_mode():
            first = model.logits_by_layer(model.vectors_by_layer(ids, mask.long()))[:, 0]
            middle = confidence(first, model.multi_label).sort().values[1:3]  # between two texts, not at one
            model.config.threshold = float(middle.mean())
            together = model(ids, mask.long()).logits
            alone = [
                model(row[kept][None], kept[kept].long()[None]).logits for row, kept in zip(ids, mask, strict=True)
            ]
        same = torch.allclose(together, torch.cat(alone), atol=1e-3)
    except (RuntimeError, IndexError) as error:  # a block is given something of a batch that is no longer there
        raise ModelError(f"early-exit: texts cannot leave a {kind} model: {first_line(error)}", _REFUSED) from error
    finally:
        model.config.threshold = old
    if not same:
        raise ModelError(f"early-exit: a {kind} model answers differently once texts have left", _REFUSED)


@cache
def _arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    """What a kind of blocks calls its inputs, in order."""
    return tuple(inspect.signature(forward).parameters)[1:]  # without self


class _NoneLeftError(Exception):
    """Every text has left: what the encoder has still to compute is for nobody."""


class _Texts:
    """The texts of one batch on their way through the blocks.

    rows: (n,) numbers, in the batch, of those still there. mask: (n, length) of those. logits, layers: of all in the
    batch, filled in as they leave.
    """

    def __init__(self, model: EarlyExitClassifier, mask: torch.Tensor) -> None:
        self.model, self.mask, self.count = model, mask, len(mask)
        self.threshold = 1.0 if model.training else model.config.threshold
        self.rows = torch.arange(self.count, device=mask.device)
        weight = model.classifier.weight
        self.logits = torch.zeros(self.count, len(weight), dtype=weight.dtype, device=mask.device)
        self.layers = torch.zeros(self.count, dtype=torch.long, device=mask.device)

    @contextmanager
    def leaving(self, blocks: tuple[nn.Module, ...]) -> Iterator[None]:
        """Let texts leave behind each of these blocks, but the last, until the context ends."""
        hooks = [block.register_forward_pre_hook(self._enter, with_kwargs=True) for block in blocks[1:]]
        hooks += [block.register_forward_hook(partial(self._leave, n)) for n, block in enumerate(blocks[:-1])]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def answer(self, logits: torch.Tensor, layers: int) -> None:
        """Keep the answers of the texts that are still there, behind this many blocks."""
        self.logits = self.logits.index_copy(0, self.rows, logits.to(self.logits.dtype))
        self.layers = self.layers.index_fill(0, self.rows, layers)

    def _leave(self, number: int, block: nn.Module, inputs: Any, output: Any) -> Any:
        """What goes on to the next block: the vectors of the texts that are not sure yet. None: as it came."""
        hidden = output[0] if isinstance(output, tuple) else output
        logits = self.model.exits[number](self.model.pool(hidden, self.mask))
        sure = confidence(logits, self.model.multi_label) > self.threshold
        leave = int(sure.sum())
        if not leave:
            return None
        self.answer(logits, number + 1)  # of those who stay it is overwritten where they leave
        if leave == len(sure):
            raise _NoneLeftError
        self.rows, self.mask = self.rows[~sure], self.mask[~sure]
        return (hidden[~sure], *output[1:]) if isinstance(output, tuple) else hidden[~sure]

    def _enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Of what the encoder gives a block for all texts, the part of those still there."""
        if len(self.rows) == self.count:
            return None
        places = _arguments(type(block).forward)
        given = list(args)
        for name in _PER_TEXT:
            if name in kwargs:
                kwargs[name] = self._here(kwargs[name])
            elif name in places[: len(given)]:
                given[places.index(name)] = self._here(given[places.index(name)])
        return tuple(given), kwargs

    def _here(self, value: Any) -> Any:
        return value[self.rows] if isinstance(value, torch.Tensor) and len(value) == self.count else value


AutoConfig.register(EarlyExitConfig.model_type, EarlyExitConfig, exist_ok=True)
AutoModelForSequenceClassification.register(EarlyExitConfig, EarlyExitClassifier, exist_ok=True)
