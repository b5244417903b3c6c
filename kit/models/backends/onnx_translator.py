"""Translators that are run by ONNX Runtime: graphs for the encoder and for a step of the decoder, with tokenizers.

    encoder.onnx             input_ids, attention_mask -> cross.{layer}.key, cross.{layer}.value of every decoder layer
    decoder.onnx             input_ids (batch, 1), attention_mask of the source, past.{layer}.key and .value, cross ->
                             logits (batch, tokens) of the next token, present.{layer}.key and .value
    onnx.json                number and format of weights
    config.json, generation_config.json    as transformers writes them; tokenizer files, those of the target in `target`

The keys and values of cross-attention depend only on the source, so the encoder's graph computes them once. The first
step has a past of length 0. The search is that of transformers (`kit.models.translation.translator`).
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
from kit.models.checkpoints.tokenizers import quiet
from kit.models.damage import loading
from kit.models.translation.seq2seq import TokenizerPair, load_tokenizer_pair
from kit.models.translation.translator import Search, Translator, longest_source, prefix_of
from kit.runtime.json_files import read_object

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
_BATCH_TOKENS = 1_024  # padded source tokens x beams per batch of a thread


@dataclass(frozen=True)
class Graphs:
    """Graphs of a translator.

    Attributes:
        encoder, decoder: The serialized graphs.
        parameters: Number of weights.
        weights: `float32`, `int8` or `int4`.
        config: Configuration of the model.
        search: Generation settings.
        folder: Folder of the graphs with a slash at its end, for messages.
    """

    encoder: bytes
    decoder: bytes
    parameters: int
    weights: str
    config: PreTrainedConfig
    search: GenerationConfig
    folder: str = ""

    def changed(self, change: Callable[[bytes], bytes], weights: str, activations: str) -> Graphs:
        """Return both graphs after a change to this format of weights; `activations` is not stored for translators."""
        return replace(self, encoder=change(self.encoder), decoder=change(self.decoder), weights=weights)


class OnnxTranslator(Translator):
    """Translator whose graphs run in ONNX Runtime, on the CPU, with as many threads as torch."""

    def __init__(self, graphs: Graphs, tokenizer_pair: TokenizerPair, max_length: int, prefix: str = "") -> None:
        super().__init__(GraphModel(graphs), tokenizer_pair, max_length, prefix)
        self.graphs = graphs

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.graphs.parameters

    @property
    def _batch_tokens(self) -> int:
        return _BATCH_TOKENS

    def _run_batches(self, search: Search, batches: list[np.ndarray]) -> list[list[str]]:
        """Translate batches in parallel threads, which do not have to wait for each other after every node."""
        if len(batches) < 2 or torch.get_num_threads() < 2:
            return super()._run_batches(search, batches)
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            return list(threads.map(partial(search, self._single_threaded), batches))

    @cached_property
    def _single_threaded(self) -> GraphModel:
        return GraphModel(self.graphs, 1)

    def save(self, folder: Path) -> None:
        """Save graphs, configuration, generation settings and tokenizers."""
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
        """Load what `save` wrote.

        Raises:
            ModelError: If it is damaged or ONNX Runtime is not installed.
        """
        graphs, tokenizer_pair = read_graphs(folder), load_tokenizer_pair(folder)
        return cls(graphs, tokenizer_pair, longest_source(tokenizer_pair), prefix_of(folder))


class GraphModel(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """Encoder-decoder model with the interface that transformers' search needs, computed by graphs."""

    main_input_name = "input_ids"
    _supports_sdpa = True  # without effect: attention is in the graphs

    def __init__(self, graphs: Graphs, threads: int | None = None) -> None:
        super().__init__(graphs.config)
        self.generation_config = graphs.search
        encoder, decoder = (f"{graphs.folder}{name}" for name in (ENCODER_FILE, DECODER_FILE))
        self.cross = _EncoderGraph(session_of(graphs.encoder, threads, encoder))
        # Not named `decoder`, because the search looks for layers in an attribute of that name.
        self.step = session_of(graphs.decoder, threads, decoder)
        self.inputs = [node.name for node in self.step.get_inputs()]
        self.layers = sum(name.startswith("cross.") for name in self.inputs) // 2

    @property
    def device(self) -> torch.device:
        """Device of inputs and outputs: the CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the logits."""
        return torch.float32

    def get_encoder(self, *_: Any, **__: Any) -> nn.Module:
        """Return the part that the search runs once per source."""
        return self.cross

    def can_generate(self) -> bool:  # type: ignore[override]
        """Return True: the model is only used for generation."""
        return True

    def forward(
        self,
        decoder_input_ids: torch.Tensor,
        encoder_outputs: ModelOutput,
        attention_mask: torch.Tensor,
        past_key_values: Any,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Return the logits (batch, 1, tokens) of the next token.

        The keys and values of the last input token go into the cache.
        """
        cross = [tensor for name, tensor in encoder_outputs.items() if name.startswith("cross")]
        cache = past_key_values.self_attention_cache
        began = cache.get_seq_length() > 0
        if began:  # for T5, transformers creates a cache with as many layers as the encoder has
            past = [tensor for layer in cache.layers[: self.layers] for tensor in (layer.keys, layer.values)]
        else:
            batch, heads, _length, width = cross[0].shape
            past = [torch.zeros(batch, heads, 0, width)] * (2 * self.layers)
        inputs = [decoder_input_ids[:, -1:], attention_mask, *past, *cross]
        outputs = self.step.run(None, {name: tensor.numpy() for name, tensor in zip(self.inputs, inputs, strict=True)})
        logits, *present = (torch.from_numpy(array) for array in outputs)
        for number in range(self.layers):
            keys, values = present[2 * number : 2 * number + 2]
            if began:
                cache.layers[number].keys, cache.layers[number].values = keys, values
            else:
                cache.update(keys, values, number)
        return Seq2SeqLMOutput(logits=logits[:, None], past_key_values=past_key_values)


class _EncoderGraph(nn.Module):
    """Graph of the encoder with the interface that the search needs."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> ModelOutput:
        """Return keys and values (batch, heads, length, width) of each layer.

        Their names sort in the order of the graph's outputs.
        """
        outputs: list[np.ndarray] = self.session.run(
            None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        )
        tensors = {f"cross{number:03d}": torch.from_numpy(array) for number, array in enumerate(outputs)}
        # The search reads the batch size from `last_hidden_state`.
        return ModelOutput(last_hidden_state=tensors["cross000"], **tensors)  # type: ignore[no-untyped-call]


def is_onnx_translator(folder: Path) -> bool:
    """Return True if a folder contains the graphs of a translator."""
    return (folder / DECODER_FILE).is_file()


def read_graphs(folder: Path) -> Graphs:
    """Read the graphs saved in a folder. Raises ModelError if they are damaged."""
    with loading(folder), quiet():
        facts = read_object(folder / FACTS_FILE, ModelError)
        return Graphs(
            (folder / ENCODER_FILE).read_bytes(),
            (folder / DECODER_FILE).read_bytes(),
            int(facts["parameters"]),
            weights=str(facts["weights"]),
            config=AutoConfig.from_pretrained(folder, trust_remote_code=False),
            search=GenerationConfig.from_pretrained(folder),
            folder=f"{folder}/",
        )
