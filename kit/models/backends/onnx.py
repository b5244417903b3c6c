"""Models for ONNX Runtime: what is left of a classifier once it is a graph with a tokenizer beside it.

    model.onnx      the graph: input_ids, attention_mask (token_type_ids) to logits, any batch and length
    onnx.json       number of weights, and in how many bits they are
    config.json     label names, as transformers writes them
    tokenizer files

Knows ONNX Runtime and encoded texts. Knows nothing of how graphs are made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import encode
from kit.errors import ModelError, first_line
from kit.models.checkpoints.loading import load_tokenizer, longest_text, save_tokenizer
from kit.models.damage import listed_labels, loading, remedy
from kit.runtime.json_files import read_object

GRAPH_FILE, FACTS_FILE, CONFIG_FILE = "model.onnx", "onnx.json", "config.json"
TOKENIZER_FILE = "tokenizer_config.json"
# Padded tokens that a thread answers at once. Threads with batches of their own answer 1.4 times as many texts as
# threads that share each batch, which wait for each other after every node: 973 and 1,375 a second on two cores, for
# three layers of 384 in 8 bits.
_BATCH_TOKENS = 256
_TRIAL = 16, 7  # tokens of a text, and times that it is answered


@dataclass(frozen=True)
class Graph:
    """A graph as bytes, and what is known of it.

    weights: `float32`, `int8` or `int4`. activations: `float32`; in 8 bits `static`, by `blocks` of their own, or
    `dynamic`: scaled by the largest in the batch, so that an answer depends a little on what else is in it. config: as
    transformers writes it. file: where it was read from, for messages.
    """

    model: bytes
    parameters: int
    weights: str
    activations: str
    config: dict[str, Any]
    file: str = GRAPH_FILE

    def changed(self, change: Callable[[bytes], bytes], weights: str, activations: str) -> Graph:
        """The graph after a change that leaves its weights and activations like this."""
        return replace(self, model=change(self.model), weights=weights, activations=activations)


class OnnxPredictor:
    """A graph in ONNX Runtime, with its tokenizer and longest length. Answers on the CPU, on torch's threads.

    Each thread has batches of its own. What is a single batch gets as many threads as answer a short text soonest.
    """

    def __init__(self, graph: Graph, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.graph, self.tokenizer, self.max_length = graph, tokenizer, max_length
        self._session = session_of(graph.model, 1, graph.file)
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._padding = tokenizer.pad_token_id or 0, tokenizer.padding_side == "left"

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.graph.parameters

    @property
    def depends_on_batch(self) -> bool:
        """Whether an answer may depend on the texts that are answered beside it: where activations are rounded."""
        return self.graph.activations != "float32"

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads."""
        return encode(texts, self.tokenizer, self.max_length).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n, labels) float32, one row a text."""
        encoded = encode(texts, self.tokenizer, self.max_length)
        dataset = EncodedDataset(encoded, None, *self._padding)
        batches = sorted_batches(encoded.lengths, _BATCH_TOKENS)
        if len(batches) == 1:
            answers = [self._answer(self._alone, dataset, batches[0])]
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # a session lets others run while it computes
                answers = list(threads.map(partial(self._answer, self._session, dataset), batches))
        found = np.zeros((len(encoded), len(self.graph.config["id2label"])), np.float32)
        for indices, answer in zip(batches, answers, strict=True):
            found[indices] = answer
        return found

    def _answer(self, session: Any, dataset: EncodedDataset, indices: np.ndarray) -> np.ndarray:
        batch = dataset.arrays(indices.tolist())
        answer: np.ndarray = session.run(["logits"], {name: batch[name] for name in self._inputs})[0]
        return answer

    @cached_property
    def _alone(self) -> Any:
        """The session with as many threads as answer a short text soonest: with few weights, one."""
        most = torch.get_num_threads()
        best, shortest = self._session, _seconds(self._session, self._inputs) if most > 1 else 0.0
        threads = 2
        while threads <= most:
            session = session_of(self.graph.model, threads)
            seconds = _seconds(session, self._inputs)
            if seconds >= shortest:
                break
            best, shortest, threads = session, seconds, 2 * threads
        return best

    def save(self, folder: Path) -> None:
        """The graph, its label names and its tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH_FILE).write_bytes(self.graph.model)
        facts = {name: getattr(self.graph, name) for name in ("parameters", "weights", "activations")}
        (folder / FACTS_FILE).write_text(json.dumps(facts), "utf-8")
        (folder / CONFIG_FILE).write_text(json.dumps(self.graph.config, indent=1, ensure_ascii=False), "utf-8")
        save_tokenizer(self.tokenizer, folder, self.max_length)

    @classmethod
    def load(cls, folder: Path) -> OnnxPredictor:
        """Read what `save` wrote. Raises ModelError if it is damaged or ONNX Runtime is not installed."""
        tokenizer = load_tokenizer(folder)
        predictor = cls(read_graph(folder), tokenizer, longest_text(tokenizer))
        predictor._require_answers(folder)
        return predictor

    def _require_answers(self, folder: Path) -> None:
        """Raise ModelError if tokenizer, graph and label names do not fit together, by answering a short text."""
        dataset = EncodedDataset(encode([("a",)], self.tokenizer, self.max_length), None, *self._padding)
        if missing := sorted(set(self._inputs) - set(dataset.arrays([0]))):
            raise ModelError(
                f"{folder / TOKENIZER_FILE} names a tokenizer that gives no {missing[0]}, which {GRAPH_FILE} needs",
                remedy(folder),
            )
        try:
            width = self._answer(self._session, dataset, np.zeros(1, np.int64)).shape[-1]
        except Exception as error:  # those of ONNX Runtime have no class in common
            raise ModelError(f"{self.graph.file} does not answer: {first_line(error)}", remedy(folder)) from error
        if width != len(self.graph.config["id2label"]):
            raise ModelError(
                f"{self.graph.file} decides between {width} labels, {folder / CONFIG_FILE} names "
                f"{len(self.graph.config['id2label'])}",
                remedy(folder),
            )


def read_graph(folder: Path) -> Graph:
    """Return the graph saved in a folder. Raises ModelError if it is damaged."""
    with loading(folder):
        facts = read_object(folder / FACTS_FILE, ModelError)
        config = read_object(folder / CONFIG_FILE, ModelError)
        listed_labels(config, folder / CONFIG_FILE)
        model = (folder / GRAPH_FILE).read_bytes()
        file = str(folder / GRAPH_FILE)
        weights, activations = str(facts["weights"]), str(facts["activations"])
        return Graph(model, int(facts["parameters"]), weights, activations, config, file)


def require_onnx() -> None:
    """Raise ModelError where ONNX Runtime, or what graphs are made with, is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed", "pip install 'kit[onnx]'") from error


def _seconds(session: Any, inputs: list[str]) -> float:
    """How long a session takes for a short text, after a first time that does not count: the median of some."""
    tokens, times = _TRIAL
    text = {name: np.full((1, tokens), int(name != "token_type_ids")) for name in inputs}
    spent = []
    for _ in range(1 + times):
        began = time.perf_counter()
        session.run(["logits"], text)
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[1:]))


def session_of(model: bytes, threads: int | None = None, name: str = "the model") -> Any:
    """Return a session of ONNX Runtime with a graph, on the CPU.

    Args:
        model: The graph.
        threads: Threads that share the work of each node; None for as many as torch has.
        name: What the graph is called in messages, for example its file.

    Raises:
        ModelError: If the graph cannot be loaded, or the package is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("onnxruntime is not installed", "pip install 'kit[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load {name}: {first_line(error)}") from error
