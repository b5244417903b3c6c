"""Small classifiers over a tokenizer's tokens, for targets where even one layer of attention is too much.

A convolutional network (Kim 2014, arXiv:1408.5882) and a bidirectional LSTM (Tang et al. 2019, arXiv:1903.12136). They
are saved, loaded and served like any model of transformers. Padding never reaches an answer.

Knows two architectures. Knows nothing of teachers or training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_WINDOWS = (1, 3, 5)  # tokens that a filter sees
_DROPOUT = 0.1


class SmallConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """vocab_size: rows of the table of embeddings. hidden_size: its width, and that of filters or units."""

    vocab_size: int = 30_522
    hidden_size: int = 128
    num_hidden_layers: int = 1
    dropout: float = _DROPOUT


class TextCnnConfig(SmallConfig):  # type: ignore[no-untyped-call]
    """Configuration of `TextCnn`."""

    model_type = "kit_cnn"


class BiLstmConfig(SmallConfig):  # type: ignore[no-untyped-call]
    """Configuration of `BiLstm`."""

    model_type = "kit_bilstm"


class _Small(PreTrainedModel, ABC):  # type: ignore[no-untyped-call]
    """Embeddings, a text vector made of them, dropout, one linear layer."""

    base_model_prefix = "body"
    classifier: nn.Linear

    def __init__(self, config: SmallConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def get_input_embeddings(self) -> nn.Module:
        """The table of token embeddings."""
        return self.embeddings

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        """Logits (batch, labels) of token ids (batch, length)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        vectors = self.dropout(self.embeddings(input_ids)) * mask.unsqueeze(-1)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(self.pool(vectors, mask))))

    @abstractmethod
    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector (batch, features) for token vectors (batch, length, width), of which `mask` marks the real."""


class TextCnn(_Small):
    """Filters over windows of 1, 3 and 5 tokens, and of each the largest value in the text."""

    config_class = TextCnnConfig

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.filters = nn.ModuleList(nn.Conv1d(width, width, window, padding=window // 2) for window in _WINDOWS)
        self.classifier = nn.Linear(width * len(_WINDOWS), int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, 3 x width): relu is 0 at least, so padding, which counts as 0, is never the largest by mistake."""
        real = mask.unsqueeze(1).to(vectors.dtype)
        found = [(torch.relu(each(vectors.transpose(1, 2))) * real).amax(dim=-1) for each in self.filters]
        return torch.cat(found, dim=-1)


class BiLstm(_Small):
    """A recurrent network in both directions, and of each of its units the largest value in the text."""

    config_class = BiLstmConfig

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        width, layers = config.hidden_size, config.num_hidden_layers
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * width, int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, 2 x width)."""
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=-1e4)
        return states.amax(dim=1)


SMALL: dict[str, tuple[type[SmallConfig], type[_Small]]] = {
    "cnn": (TextCnnConfig, TextCnn),
    "bilstm": (BiLstmConfig, BiLstm),
}

for _config, _model in SMALL.values():
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForSequenceClassification.register(_config, _model, exist_ok=True)


def small_classifier(
    architecture: str, width: int, layers: int, table: torch.Tensor, head: dict[str, Any]
) -> PreTrainedModel:
    """A small classifier whose token embeddings start from a larger model's.

    table: (tokens, d) embeddings, which are reduced to their `width` principal directions (truncated singular value
    decomposition) and scaled to unit variance. head: number and names of labels, as transformers configures them.
    """
    config_class, model_class = SMALL[architecture]
    config = config_class(vocab_size=len(table), hidden_size=width, num_hidden_layers=layers, **head)
    model = model_class(config)
    centred = table.double() - table.double().mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    reduced = centred @ vectors[:, -min(width, table.shape[1]) :]
    with torch.no_grad():
        model.embeddings.weight[:, : reduced.shape[1]].copy_(reduced / reduced.std())
    return model
