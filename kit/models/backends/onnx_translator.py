"""Translators for ONNX Runtime: the encoder and a step of the decoder as graphs, with tokenizers beside them.

    encoder.onnx             input_ids, attention_mask -> cross.{layer}.key, cross.{layer}.value of every decoder layer
    decoder.onnx             input_ids (batch, 1), attention_mask of the source, past.{layer}.key and .value, cross ->
                             logits (batch, tokens) of the next token, present.{layer}.key and .value
    onnx.json                number of weights, and in how many bits they are
    config.json, generation_config.json    as transformers writes them; tokenizer files, those of the target in `target`

The cross keys and values depend on the source alone, so the encoder's graph gives them, and no step computes them
again. The first step has a past of length 0. The search is transformers' own (`models.translator`).

Knows ONNX Runtime and transformers' search. Knows nothing of how graphs are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils.generic import ModelOutput

from kit.errors import ModelError
from kit.models.backends.onnx import FACTS_FILE, session_of
from kit.models.checkpoints.loading import quiet
from kit.models.damage import loading
from kit.models.translation.seq2seq import Tongues, load_tongues
from kit.models.translation.translator import Search, Translator, longest_source, prefix_of
from kit.runtime.json_files import read_object

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
_BATCH_TOKENS = 1_024  # of sources, by each thread


@dataclass(frozen=True)
class Graphs:
    """The two graphs as bytes, and what is known of them.

    weights: `float32`, `int8` or `int4`. folder: where they were read from, with a slash at its end, for messages.
    """

    encoder: bytes
    decoder: bytes
    parameters: int
    weights: str
    config: PreTrainedConfig
    search: GenerationConfig
    folder: str = ""

    def changed(self, change: Callable[[bytes], bytes], weights: str, activations: str) -> Graphs:
        """Both graphs after a change that leaves their weights like this; of a translator no activations are told."""
        return replace(self, encoder=change(self.encoder), decoder=change(self.decoder), weights=weights)


class OnnxTranslator(Translator):
    """A translator whose graphs ONNX Runtime computes, on the CPU and on torch's threads."""

    def __init__(self, graphs: Graphs, tongues: Tongues, max_length: int, prefix: str = "") -> None:
        super().__init__(GraphModel(graphs), tongues, max_length, prefix)
        self.graphs = graphs

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.graphs.parameters

    @property
    def _batch_tokens(self) -> int:
        return _BATCH_TOKENS

    def _each(self, search: Search, batches: list[np.ndarray]) -> list[list[str]]:
        """Several batches by threads that need not wait for each other after every node."""
        if len(batches) < 2 or torch.get_num_threads() < 2:
            return super()._each(search, batches)
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            return list(threads.map(partial(search, self._of_one_thread), batches))

    @cached_property
    def _of_one_thread(self) -> GraphModel:
        return GraphModel(self.graphs, 1)

    def save(self, folder: Path) -> None:
        """The graphs, the configuration, the search, and the tokenizers."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ENCODER_FILE).write_bytes(self.graphs.encoder)
        (folder / DECODER_FILE).write_bytes(self.graphs.decoder)
        facts = {"parameters": self.graphs.parameters, "weights": self.graphs.weights}
        (folder / FACTS_FILE).write_text(json.dumps(facts), "utf-8")
        with quiet():
            self.graphs.config.prefix = self.prefix
            self.graphs.config.save_pretrained(folder)
            self.graphs.search.save_pretrained(folder)
        self.save_tokenizers(folder)

    @classmethod
    def load(cls, folder: Path) -> OnnxTranslator:
        """What `save` wrote. Raises ModelError if it is damaged or ONNX Runtime is not installed."""
        graphs, tongues = read_graphs(folder), load_tongues(folder)
        return cls(graphs, tongues, longest_source(tongues), prefix_of(folder))


class GraphModel(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """What transformers' search asks of a model with encoder and decoder, answered by graphs."""

    main_input_name = "input_ids"
    _supports_sdpa = True  # of no consequence: attention is in the graphs

    def __init__(self, graphs: Graphs, threads: int | None = None) -> None:
        super().__init__(graphs.config)
        self.generation_config = graphs.search
        encoder, decoder = (f"{graphs.folder}{name}" for name in (ENCODER_FILE, DECODER_FILE))
        self.cross = _Cross(session_of(graphs.encoder, threads, encoder))
        # The search looks for layers in what is called decoder.
        self.step = session_of(graphs.decoder, threads, decoder)
        self.inputs = [each.name for each in self.step.get_inputs()]
        self.layers = sum(name.startswith("cross.") for name in self.inputs) // 2

    @property
    def device(self) -> torch.device:
        """There are no weights here that could be anywhere else."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of logits."""
        return torch.float32

    def get_encoder(self, *_: Any, **__: Any) -> nn.Module:
        """What the search runs once a source."""
        return self.cross

    def can_generate(self) -> bool:  # type: ignore[override]
        """It does nothing else."""
        return True

    def forward(
        self,
        decoder_input_ids: torch.Tensor,
        encoder_outputs: ModelOutput,
        attention_mask: torch.Tensor,
        past_key_values: Any,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Logits (batch, 1, tokens) of the token behind the last one, whose keys and values go into the cache."""
        cross = [tensor for name, tensor in encoder_outputs.items() if name.startswith("cross")]
        cache = past_key_values.self_attention_cache
        began = cache.get_seq_length() > 0
        if began:  # of T5, transformers makes a cache with as many layers as the encoder has
            past = [tensor for layer in cache.layers[: self.layers] for tensor in (layer.keys, layer.values)]
        else:
            batch, heads, _length, width = cross[0].shape
            past = [torch.zeros(batch, heads, 0, width)] * (2 * self.layers)
        given = [decoder_input_ids[:, -1:], attention_mask, *past, *cross]
        found = self.step.run(None, {name: tensor.numpy() for name, tensor in zip(self.inputs, given, strict=True)})
        logits, *present = (torch.from_numpy(array) for array in found)
        for number in range(self.layers):
            keys, values = present[2 * number : 2 * number + 2]
            if began:
                cache.layers[number].keys, cache.layers[number].values = keys, values
            else:
                cache.update(keys, values, number)
        return Seq2SeqLMOutput(logits=logits[:, None], past_key_values=past_key_values)


class _Cross(nn.Module):
    """The encoder's graph, as the search calls for it."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> ModelOutput:
        """Keys and values (batch, heads, length, width) by layer, under names that sort as the graph has them."""
        found: list[np.ndarray] = self.session.run(
            None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        )
        tensors = {f"cross{number:03d}": torch.from_numpy(array) for number, array in enumerate(found)}
        # The search looks at the number of rows of what it believes to be the encoder's vectors.
        return ModelOutput(last_hidden_state=tensors["cross000"], **tensors)  # type: ignore[no-untyped-call]


def is_onnx_translator(folder: Path) -> bool:
    """Whether a folder holds the graphs of a translator."""
    return (folder / DECODER_FILE).is_file()


def read_graphs(folder: Path) -> Graphs:
    """Return the graphs saved in a folder. Raises ModelError if they are damaged."""
    with loading(folder), quiet():
        facts = read_object(folder / FACTS_FILE, ModelError)
        return Graphs(
            (folder / ENCODER_FILE).read_bytes(),
            (folder / DECODER_FILE).read_bytes(),
            int(facts["parameters"]),
            str(facts["weights"]),
            AutoConfig.from_pretrained(folder, trust_remote_code=False),
            GenerationConfig.from_pretrained(folder),
            f"{folder}/",
        )
