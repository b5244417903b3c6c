"""Graphs of a translator: the encoder, and one decoding step with a cache of the previous steps.

The graphs are traced from the modules of transformers, so that every encoder-decoder there can be converted. Before
quantization they are checked: in float32 they have to translate texts of the budget as torch does.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from kit.compression.onnx_graphs.tracing import content_of, traced
from kit.compression.proof import proof_texts, require_same
from kit.methods import Job
from kit.models.backends.onnx_translator import Graphs, OnnxTranslator, is_onnx_translator, read_graphs
from kit.models.translation.generation_settings import settings_of
from kit.models.translation.translator import Translator

_DEFAULT_POSITIONS = 8_192  # for models without a maximum in their configuration


def graphs_of(folder: Path, job: Job) -> Graphs:
    """Read the graphs in a folder, or trace them in float32 from the translator in the folder.

    Raises ModelError if the translator cannot be traced, or if its graphs translate differently.
    """
    if is_onnx_translator(folder):
        return read_graphs(folder)
    return _exported(folder, content_of(folder), tuple(proof_texts(job.data.train)))


@lru_cache(maxsize=1)  # the variants of a step are often tried on the same model
def _exported(folder: Path, content: tuple[tuple[str, str], ...], proof: tuple[tuple[str, ...], ...]) -> Graphs:
    """Trace the translator in a folder and check its graphs.

    Args:
        folder: Folder of the translator.
        content: Names and hashes of the folder's files, as a cache key.
        proof: Texts to compare the translations of.
    """
    original = Translator.load(folder)
    model = original.model.cpu()
    model.set_attn_implementation("eager")  # the others branch on a length of 1, which cannot be traced
    ids = torch.full((2, 3), int(model.config.eos_token_id or 0))
    mask = torch.ones_like(ids)
    with torch.no_grad():
        cross = _Encoder(model)(ids, mask)
    layers, shape = len(cross) // 2, cross[0].shape
    past = [torch.zeros(2, shape[1], 2, shape[3]) for _ in cross]
    batch, source, before = _axes(model)
    inputs, texts = ["input_ids", "attention_mask"], {0: batch, 1: source}
    encoder = traced(
        _Encoder(model).eval(),
        (ids, mask),
        (texts, texts),
        inputs=inputs,
        outputs=_names("cross", layers),
        what=str(folder),
    )
    caches = [{0: batch, 2: before}] * len(past) + [{0: batch, 2: source}] * len(cross)
    decoder = traced(
        _Decoder(model, layers).eval(),
        (ids[:, :1], mask, *past, *cross),
        ({0: batch}, texts, tuple(caches)),
        inputs=[*inputs, *_names("past", layers), *_names("cross", layers)],
        outputs=["logits", *_names("present", layers)],
        what=str(folder),
    )
    config = copy.deepcopy(model.config)
    config.name_or_path = ""  # a local path
    graphs = Graphs(encoder, decoder, original.parameters, weights="float32", config=config, search=settings_of(model))
    converted = OnnxTranslator(graphs, original.tokenizer_pair, original.max_length, prefix=original.prefix)
    require_same(converted, original, list(proof), what=f"the pair of graphs of {folder}")
    return graphs


def _names(kind: str, layers: int) -> list[str]:
    return [f"{kind}.{number}.{part}" for number in range(layers) for part in ("key", "value")]


class _Encoder(nn.Module):
    """Encoder that returns the keys and values of all cross-attention layers of the decoder."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return keys and values by layer.

        The exporter removes the rest of the decoding step, because nothing else of it is an output.
        """
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        begin = ids.new_full((ids.shape[0], 1), int(self.model.generation_config.decoder_start_token_id))
        self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=begin, past_key_values=cache, use_cache=True)
        return _keys_and_values(cache.cross_attention_cache)


class _Decoder(nn.Module):
    """One decoding step, from a token to the logits of the next token."""

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, *cached: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits, and the keys and values of all tokens up to this one.

        Args:
            ids: (batch, 1) current token.
            mask: (batch, source length) attention mask of the source.
            cached: Keys and values by layer, first of the previous tokens, then of the source.
        """
        before, source = DynamicCache(), DynamicCache()
        half = 2 * self.layers
        for number in range(self.layers):
            before.update(cached[2 * number], cached[2 * number + 1], number)
            source.update(cached[half + 2 * number], cached[half + 2 * number + 1], number)
        cache = EncoderDecoderCache(before, source)
        cache.is_updated = dict.fromkeys(range(self.layers), True)
        # The cache replaces the encoder's vectors, of which transformers reads only the shape.
        width = self.model.get_encoder().config.hidden_size
        unread = BaseModelOutput(last_hidden_state=mask.new_zeros((*mask.shape, width), dtype=torch.float32))
        outputs = self.model(
            decoder_input_ids=ids, encoder_outputs=unread, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        return outputs.logits[:, -1], *_keys_and_values(before)


def _keys_and_values(cache: Any) -> tuple[torch.Tensor, ...]:
    """Return the keys and values of a cache, by layer."""
    return tuple(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))


def _axes(model: PreTrainedModel) -> tuple[torch.export.Dim, ...]:
    """Return the ranges of the batch size, the source length, and the number of previous target tokens."""
    config = model.config
    sides = [getattr(config, side, config) for side in ("encoder", "decoder")]
    source, before = (int(getattr(side, "max_position_embeddings", None) or _DEFAULT_POSITIONS) for side in sides)
    return (
        torch.export.Dim("batch", min=1, max=65_536),
        torch.export.Dim("source", min=1, max=source),
        torch.export.Dim("before", min=0, max=before),
    )
