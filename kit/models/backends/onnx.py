"""Classifiers that are run by ONNX Runtime: a graph with its tokenizer and label names.

Files of a saved model:

    model.onnx      the graph: input_ids, attention_mask (token_type_ids) to logits, any batch and length
    onnx.json       number of weights, formats of weights and activations
    config.json     label names, as transformers writes them
    tokenizer files
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import Encoded, encode
from kit.data.padding import pad_id_of, padded, sorted_batches
from kit.errors import ModelError, first_line
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.tokenizers import load_for_inference, longest_text, save_tokenizer
from kit.models.damage import listed_labels, loading, remedy
from kit.runtime.json_files import read_object
from kit.runtime.threads import thread_count

if TYPE_CHECKING:
    from kit.data.encode import AnyTokenizer

GRAPH_FILE, FACTS_FILE = "model.onnx", "onnx.json"
TOKENIZER_FILE = "tokenizer_config.json"
# Padded tokens per batch of a thread. Threads with separate batches predict 1.4 times as many texts as threads that
# share each batch, which wait for each other after every node: 1,375 instead of 973 per second on two cores, for three
# layers of width 384 in 8 bits.
_BATCH_TOKENS = 256
_TRIAL_TOKENS, _TRIAL_REPEATS = 16, 7


@dataclass(frozen=True)
class Graph:
    """Graph of a classifier.

    Attributes:
        model: The serialized graph.
        parameters: Number of weights.
        weights: `float32`, `int8` or `int4`.
        activations: `float32`, or for 8 bits: `static` for fixed scales, `blocks` for a scale per block of values, or
            `dynamic` for a scale by the largest value in the batch, so that a prediction depends slightly on the other
            texts of the batch.
        config: Configuration, as transformers writes it.
        file: File of the graph, for messages.
    """

    model: bytes
    parameters: int
    weights: str
    activations: str
    config: dict[str, Any]
    file: str = GRAPH_FILE

    def changed(self, change: Callable[[bytes], bytes], weights: str, activations: str) -> Graph:
        """Return the graph after a change to these formats of weights and activations."""
        return replace(self, model=change(self.model), weights=weights, activations=activations)


class OnnxPredictor:
    """Graph in ONNX Runtime with its tokenizer and maximum length.

    Runs on the CPU, with as many threads as torch.

    Each thread computes its own batches. If there is only one batch, it is shared by the number of threads that is
    fastest for a short text.
    """

    def __init__(self, graph: Graph, tokenizer: AnyTokenizer, max_length: int) -> None:
        self.graph, self.tokenizer, self.max_length = graph, tokenizer, max_length
        self._session = session_of(graph.model, 1, graph.file)
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._padding = pad_id_of(tokenizer), tokenizer.padding_side == "left"

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.graph.parameters

    @property
    def depends_on_batch(self) -> bool:
        """True if activations are quantized, which can make a prediction depend on the other texts of its batch."""
        return self.graph.activations != "float32"

    def divide_logits(self, temperature: np.ndarray) -> bool:
        """Divide all logits by a node at the end of the graph, see `Calibratable`."""
        self.graph = replace(self.graph, model=with_divided_output(self.graph.model, "logits", temperature))
        self._session = session_of(self.graph.model, 1, self.graph.file)
        self.__dict__.pop("_shared_session", None)
        return True

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""
        return encode(texts, self.tokenizer, self.max_length).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return logits (n, labels) in float32."""
        encoded = encode(texts, self.tokenizer, self.max_length)
        batches = sorted_batches(encoded.lengths, _BATCH_TOKENS)
        if len(batches) == 1:
            results = [self._logits(self._shared_session, encoded, batches[0])]
        else:
            # A session releases the interpreter's lock while it computes.
            with ThreadPoolExecutor(thread_count()) as threads:
                results = list(threads.map(partial(self._logits, self._session, encoded), batches))
        logits = np.zeros((len(encoded), len(self.graph.config["id2label"])), np.float32)
        for indices, result in zip(batches, results, strict=True):
            logits[indices] = result
        return logits

    def _logits(self, session: Any, encoded: Encoded, indices: np.ndarray) -> np.ndarray:
        batch = padded(encoded, indices.tolist(), *self._padding)
        logits: np.ndarray = session.run(["logits"], {name: batch[name] for name in self._inputs})[0]
        return logits

    @cached_property
    def _shared_session(self) -> Any:
        """Session with the number of threads that is fastest for a short text: one if there are few weights."""
        maximum = thread_count()
        best, shortest = self._session, _seconds(self._session, self._inputs) if maximum > 1 else 0.0
        threads = 2
        while threads <= maximum:
            session = session_of(self.graph.model, threads)
            seconds = _seconds(session, self._inputs)
            if seconds >= shortest:
                break
            best, shortest, threads = session, seconds, 2 * threads
        return best

    def save(self, folder: Path) -> None:
        """Save the graph, its label names and its tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH_FILE).write_bytes(self.graph.model)
        facts = {name: getattr(self.graph, name) for name in ("parameters", "weights", "activations")}
        (folder / FACTS_FILE).write_text(json.dumps(facts), "utf-8")
        (folder / CONFIG_FILE).write_text(json.dumps(self.graph.config, indent=1, ensure_ascii=False), "utf-8")
        save_tokenizer(self.tokenizer, folder, self.max_length)

    @classmethod
    def load(cls, folder: Path) -> OnnxPredictor:
        """Load what `save` wrote.

        Raises:
            ModelError: If it is damaged or ONNX Runtime is not installed.
        """
        tokenizer = load_for_inference(folder)
        predictor = cls(read_graph(folder), tokenizer, longest_text(tokenizer))
        predictor._require_consistent(folder)
        return predictor

    def _require_consistent(self, folder: Path) -> None:
        """Predict a short text; raise ModelError if tokenizer, graph and label names do not fit together."""
        encoded = encode([("a",)], self.tokenizer, self.max_length)
        if missing := sorted(set(self._inputs) - set(padded(encoded, [0], *self._padding))):
            raise ModelError(
                f"{folder / TOKENIZER_FILE} names a tokenizer without {missing[0]}, which {GRAPH_FILE} needs",
                remedy(folder),
            )
        try:
            width = self._logits(self._session, encoded, np.zeros(1, np.int64)).shape[-1]
        except Exception as error:  # errors of ONNX Runtime have no common class
            raise ModelError(f"{self.graph.file} cannot be run: {first_line(error)}", remedy(folder)) from error
        if width != len(self.graph.config["id2label"]):
            raise ModelError(
                f"{self.graph.file} has {width} labels, {folder / CONFIG_FILE} names "
                f"{len(self.graph.config['id2label'])}",
                remedy(folder),
            )


def read_graph(folder: Path) -> Graph:
    """Read the graph saved in a folder. Raises ModelError if it is damaged."""
    with loading(folder):
        facts = read_object(folder / FACTS_FILE, ModelError)
        config = read_config(folder).content
        listed_labels(config, folder / CONFIG_FILE)
        model = (folder / GRAPH_FILE).read_bytes()
        file = str(folder / GRAPH_FILE)
        weights, activations = str(facts["weights"]), str(facts["activations"])
        return Graph(model, int(facts["parameters"]), weights, activations=activations, config=config, file=file)


def with_divided_output(model: bytes, output: str, divisor: np.ndarray) -> bytes:
    """Return a graph whose output is divided by numbers, one or one per column."""
    import onnx

    graph = onnx.load_from_string(model)
    undivided, numbers = f"{output}_undivided", f"{output}_divisor"
    for node in graph.graph.node:
        node.output[:] = [undivided if name == output else name for name in node.output]
        node.input[:] = [undivided if name == output else name for name in node.input]
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(divisor, np.float32), numbers))
    graph.graph.node.append(onnx.helper.make_node("Div", [undivided, numbers], [output], f"{output}_calibration"))
    serialized: bytes = graph.SerializeToString()
    return serialized


def require_onnx() -> None:
    """Raise ModelError if ONNX Runtime or a package for building graphs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed", "pip install 'kit[onnx]'") from error


def _seconds(session: Any, inputs: list[str]) -> float:
    """Return the median time of a session for a short text in seconds, after a warm-up run."""
    text = {name: np.full((1, _TRIAL_TOKENS), int(name != "token_type_ids")) for name in inputs}
    times = []
    for _ in range(1 + _TRIAL_REPEATS):
        began = time.perf_counter()
        session.run(["logits"], text)
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def session_of(model: bytes, threads: int | None = None, name: str = "the model") -> Any:
    """Return an ONNX Runtime session for a graph, on the CPU.

    Args:
        model: The graph.
        threads: Threads that share the work of each node; None for as many as torch has.
        name: Name of the graph in messages, for example its file.

    Raises:
        ModelError: If the graph cannot be loaded, or the package is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("onnxruntime is not installed", "pip install 'kit[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or thread_count()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load {name}: {first_line(error)}") from error
