"""Small classifiers over a tokenizer's tokens, for targets where even one layer of attention is too expensive.

A convolutional network (Kim 2014, arXiv:1408.5882) and a bidirectional LSTM (Tang et al. 2019, arXiv:1903.12136). They
are saved, loaded and served like any model of transformers. Padding does not affect predictions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_WINDOWS = (1, 3, 5)  # tokens per filter
_DROPOUT = 0.1


class SmallConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of a small classifier.

    Attributes:
        vocab_size: Rows of the embedding table.
        hidden_size: Width of the embeddings, and number of filters per window or of LSTM units per direction.
        num_hidden_layers: Layers of the LSTM.
        dropout: Dropout rate on embeddings and text vectors.
    """

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
    """Embeddings, pooling into a text vector, dropout, one linear layer."""

    base_model_prefix = "body"
    classifier: nn.Linear

    def __init__(self, config: SmallConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of token embeddings."""
        return self.embeddings

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        """Return logits (batch, labels) for token ids (batch, length)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        vectors = self.dropout(self.embeddings(input_ids)) * mask.unsqueeze(-1)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(self.pool(vectors, mask))))

    @abstractmethod
    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return text vectors (batch, features).

        Args:
            vectors: Token vectors (batch, length, width).
            mask: (batch, length), 1 for tokens and 0 for padding.
        """


class TextCnn(_Small):
    """Convolutional filters over windows of 1, 3 and 5 tokens, max-pooled over the text."""

    config_class = TextCnnConfig

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.filters = nn.ModuleList(nn.Conv1d(width, width, window, padding=window // 2) for window in _WINDOWS)
        self.classifier = nn.Linear(width * len(_WINDOWS), int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the largest activation of each filter in each text, (batch, 3 x width).

        Activations are at least 0 after ReLU, so padding, which counts as 0, does not change the maximum.
        """
        real = mask.unsqueeze(1).to(vectors.dtype)
        maxima = [(torch.relu(filters(vectors.transpose(1, 2))) * real).amax(dim=-1) for filters in self.filters]
        return torch.cat(maxima, dim=-1)


class BiLstm(_Small):
    """Bidirectional LSTM, max-pooled over the text."""

    config_class = BiLstmConfig

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        width, layers = config.hidden_size, config.num_hidden_layers
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * width, int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    def pool(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the largest state of each unit in each text, (batch, 2 x width)."""
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
    """Return a small classifier whose token embeddings are initialized from a larger model's.

    Args:
        architecture: Key of `SMALL`.
        width: Width of the embeddings and hidden layers.
        layers: Number of hidden layers.
        table: (tokens, d) embeddings of the larger model, which are reduced to their `width` principal directions
            (truncated singular value decomposition) and scaled to unit variance.
        head: Entries of the configuration for number and names of labels.
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
