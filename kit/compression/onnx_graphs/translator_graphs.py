"""Graphs of a translator: its encoder, and one step of its decoder with what came before in a cache.

Traced from transformers' own modules, so that every architecture which translates there has graphs here. They are
proven before they are rounded: in float32 they have to translate texts of the budget as torch does.

Knows torch's exporter and transformers' caches. Knows nothing of gates or chains.
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
from kit.models.translation.translator import Translator

_LONGEST = 8_192  # positions of a model that does not say


def graphs_of(folder: Path, job: Job) -> Graphs:
    """The graphs in a folder, or those of the translator in it, in float32.

    Raises ModelError if they cannot be made, or translate differently.
    """
    if is_onnx_translator(folder):
        return read_graphs(folder)
    return _exported(folder, content_of(folder), tuple(proof_texts(job.data.train)))


@lru_cache(maxsize=1)  # a step is often tried with other settings, on the same model
def _exported(folder: Path, content: tuple[tuple[str, str], ...], proof: tuple[tuple[str, ...], ...]) -> Graphs:
    """content: the files of the folder with their hashes. proof: texts to compare on."""
    whole = Translator.load(folder)
    model = whole.model.cpu()
    model.set_attn_implementation("eager")  # the other kinds ask whether a length is one, which a graph cannot
    ids = torch.full((2, 3), int(model.config.eos_token_id or 0))
    mask = torch.ones_like(ids)
    with torch.no_grad():
        cross = _Encoder(model)(ids, mask)
    layers, shape = len(cross) // 2, cross[0].shape
    past = [torch.zeros(2, shape[1], 2, shape[3]) for _ in cross]
    batch, source, before = _axes(model)
    inputs, texts = ["input_ids", "attention_mask"], {0: batch, 1: source}
    encoder = traced(_Encoder(model).eval(), (ids, mask), (texts, texts), inputs, _names("cross", layers), str(folder))
    caches = [{0: batch, 2: before}] * len(past) + [{0: batch, 2: source}] * len(cross)
    decoder = traced(
        _Decoder(model, layers).eval(),
        (ids[:, :1], mask, *past, *cross),
        ({0: batch}, texts, tuple(caches)),
        [*inputs, *_names("past", layers), *_names("cross", layers)],
        ["logits", *_names("present", layers)],
        str(folder),
    )
    config = copy.deepcopy(model.config)
    config.name_or_path = ""  # where the model was read from is no part of it
    assert model.generation_config is not None
    graphs = Graphs(encoder, decoder, whole.parameters, "float32", config, model.generation_config)
    made = OnnxTranslator(graphs, whole.tongues, whole.max_length, whole.prefix)
    require_same(made, whole, list(proof), f"the pair of graphs of {folder}")
    return graphs


def _names(kind: str, layers: int) -> list[str]:
    return [f"{kind}.{number}.{part}" for number in range(layers) for part in ("key", "value")]


class _Encoder(nn.Module):
    """What the decoder reads of a source: keys and values of every layer that looks at it."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """By layer. The step of the decoder that computes them is cut off, since nothing comes of it."""
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        begin = ids.new_full((ids.shape[0], 1), int(self.model.generation_config.decoder_start_token_id))
        self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=begin, past_key_values=cache, use_cache=True)
        return _held(cache.cross_attention_cache)


class _Decoder(nn.Module):
    """One step: a token in, the logits of the next one out."""

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, *kept: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """kept: keys and values by layer, of the tokens before and then of the source."""
        before, source = DynamicCache(), DynamicCache()
        half = 2 * self.layers
        for number in range(self.layers):
            before.update(kept[2 * number], kept[2 * number + 1], number)
            source.update(kept[half + 2 * number], kept[half + 2 * number + 1], number)
        cache = EncoderDecoderCache(before, source)
        cache.is_updated = dict.fromkeys(range(self.layers), True)
        # The encoder's vectors are behind the cached keys and values already: only their shape is looked at.
        width = self.model.get_encoder().config.hidden_size
        unread = BaseModelOutput(last_hidden_state=mask.new_zeros((*mask.shape, width), dtype=torch.float32))
        found = self.model(
            decoder_input_ids=ids, encoder_outputs=unread, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        return found.logits[:, -1], *_held(before)


def _held(cache: Any) -> tuple[torch.Tensor, ...]:
    """Keys and values of a cache, by layer."""
    return tuple(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))


def _axes(model: PreTrainedModel) -> tuple[torch.export.Dim, ...]:
    """Ranges of batches, of sources, and of what was written before."""
    config = model.config
    sides = [getattr(config, side, config) for side in ("encoder", "decoder")]
    source, before = (int(getattr(side, "max_position_embeddings", None) or _LONGEST) for side in sides)
    return (
        torch.export.Dim("batch", min=1, max=65_536),
        torch.export.Dim("source", min=1, max=source),
        torch.export.Dim("before", min=0, max=before),
    )
