"""Models for ONNX Runtime: what is left of a classifier once it is a graph with a tokenizer beside it.

    model.onnx      the graph: input_ids, attention_mask (token_type_ids) to logits, any batch and length
    onnx.json       number of weights, and in how many bits they are
    config.json     label names, as transformers writes them
    tokenizer files

Knows ONNX Runtime and encoded texts. Knows nothing of how graphs are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import encode
from kit.errors import ModelError, first_line
from kit.models.load import load_tokenizer, quiet

GRAPH_FILE, FACTS_FILE, CONFIG_FILE = "model.onnx", "onnx.json", "config.json"
_BATCH_TOKENS = 1_024  # padded tokens at once, as for models of torch on a CPU


@dataclass(frozen=True)
class Graph:
    """A graph as bytes, and what is known of it.

    weights: `float32`, `int8` or `int4`. activations: `float32`; in 8 bits `static`, by `blocks` of their own, or
    `dynamic`: scaled by the largest in the batch, so that an answer depends a little on what else is in it. config: as
    transformers writes it.
    """

    model: bytes
    parameters: int
    weights: str
    activations: str
    config: dict[str, Any]

    def changed(self, change: Callable[[bytes], bytes], weights: str, activations: str) -> Graph:
        """The graph after a change that leaves its weights and activations like this."""
        return replace(self, model=change(self.model), weights=weights, activations=activations)


class OnnxPredictor:
    """A graph in ONNX Runtime, with its tokenizer and longest length. Answers on the CPU, on torch's threads."""

    def __init__(self, graph: Graph, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.graph, self.tokenizer, self.max_length = graph, tokenizer, max_length
        self._session = session_of(graph.model)
        self._inputs = [each.name for each in self._session.get_inputs()]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.graph.parameters

    @property
    def depends_on_batch(self) -> bool:
        """Whether an answer may depend on the texts that are answered beside it: where activations are rounded."""
        return self.graph.activations != "float32"

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n, labels) float32, one row a text."""
        encoded = encode(texts, self.tokenizer, self.max_length)
        dataset = EncodedDataset(encoded, None, self.tokenizer.pad_token_id or 0, self.tokenizer.padding_side == "left")
        found: np.ndarray | None = None
        for indices in sorted_batches(encoded.lengths, _BATCH_TOKENS):
            batch = dataset.collate(indices.tolist())
            values = self._session.run(["logits"], {name: batch[name].numpy() for name in self._inputs})[0]
            found = np.zeros((len(encoded), values.shape[1]), np.float32) if found is None else found
            found[indices] = values
        return np.zeros((0, len(self.graph.config["id2label"])), np.float32) if found is None else found

    def save(self, folder: Path) -> None:
        """The graph, its label names and its tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH_FILE).write_bytes(self.graph.model)
        facts = {name: getattr(self.graph, name) for name in ("parameters", "weights", "activations")}
        (folder / FACTS_FILE).write_text(json.dumps(facts), "utf-8")
        (folder / CONFIG_FILE).write_text(json.dumps(self.graph.config, indent=1, ensure_ascii=False), "utf-8")
        with quiet():
            self.tokenizer.model_max_length = self.max_length
            self.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> OnnxPredictor:
        """What `save` wrote. Raises ModelError if it is damaged or ONNX Runtime is not installed."""
        tokenizer = load_tokenizer(folder)
        return cls(read_graph(folder), tokenizer, tokenizer.model_max_length)


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds graphs, of a classifier or a translator, rather than weights of torch."""
    return (folder / FACTS_FILE).is_file()


def read_graph(folder: Path) -> Graph:
    """The graph saved in a folder. Raises ModelError if it is damaged."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_text("utf-8"))
        config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        model = (folder / GRAPH_FILE).read_bytes()
        return Graph(model, int(facts["parameters"]), str(facts["weights"]), str(facts["activations"]), config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {first_line(error)}") from error


def require_onnx() -> None:
    """Raise ModelError where ONNX Runtime, or what graphs are made with, is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed", "pip install 'kit[onnx]'") from error


def session_of(model: bytes) -> Any:
    """ONNX Runtime with a graph, on the CPU. Raises ModelError if it cannot be loaded, or the package is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("onnxruntime is not installed", "pip install 'kit[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {first_line(error)}") from error
