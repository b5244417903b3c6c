"""Compute signatures: saved models with the same signature do the same arithmetic for the same text."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.onnx import GRAPH_FILE
from kit.models.saved_kind import Kind, kind_of
from kit.runtime.json_files import read_object

# Kinds whose time for a text depends on the weights: words of a vocabulary, exits that are taken, length of what is
# written.
_OWN_PACE = (Kind.TFIDF, Kind.EARLY_EXIT, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR, Kind.CT2)
# Keys of a config.json that change no arithmetic at inference.
_NAMES = {
    "_name_or_path", "id2label", "label2id", "transformers_version", "architectures", "problem_type", "finetuning_task",
    "initializer_range", "use_cache", "gradient_checkpointing",
    "dtype", "torch_dtype",  # that of every weight is in the file with the weights
    "normalize",  # of one vector: nothing beside the encoder
}  # fmt: skip
_MAX_HEADER = 100_000_000


def compute_signature(folder: Path) -> str:
    """Return a digest of everything in a saved model that its time for a text depends on, except the text.

    Equal for models of one architecture, precision, backend and tokenizer whose weights differ, such as the results of
    fine-tuning, a probe and a merged LoRA adapter on the same checkpoint. Unique for models whose weights change the
    amount of arithmetic. Raises ModelError if the folder has no model.
    """
    kind = kind_of(folder)
    if kind in _OWN_PACE:
        return f"only {folder.resolve()}"
    parts = [str(kind), _configuration(folder), *_tokenizer(folder), *_weights(folder)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _configuration(folder: Path) -> str:
    content = read_object(folder / "config.json", ModelError)
    labels = len(content.get("id2label") or {})
    return json.dumps([labels, _arithmetic(content)], sort_keys=True)


def _arithmetic(value: Any) -> Any:
    """Return a configuration without names and without keys that matter in training alone."""
    if not isinstance(value, dict):
        return value
    return {key: _arithmetic(part) for key, part in value.items() if key not in _NAMES and "dropout" not in key}


def _tokenizer(folder: Path) -> list[str]:
    """Return the tokenizer's content and the longest text that it lets through."""
    hashes = []
    for path in sorted(folder.glob("tokenizer*")):
        if path.name != "tokenizer_config.json":
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    settings = folder / "tokenizer_config.json"
    longest = read_object(settings, ModelError).get("model_max_length") if settings.is_file() else None
    return [*hashes, str(longest)]


def _weights(folder: Path) -> list[str]:
    """Return names, shapes and number formats of all weights, and the operations of a graph."""
    headers = [f"{name} {header}" for path in sorted(folder.glob("*.safetensors")) for name, header in _tensors(path)]
    graph = folder / GRAPH_FILE
    return [*headers, *(_graph(graph) if graph.is_file() else [])]


def _tensors(path: Path) -> list[tuple[str, str]]:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        content: dict[str, Any] = json.loads(file.read(min(size, _MAX_HEADER)))
    content.pop("__metadata__", None)
    return sorted((name, f"{tensor['dtype']} {tensor['shape']}") for name, tensor in content.items())


def _graph(path: Path) -> list[str]:
    try:
        import onnx
    except ImportError:  # the graph runs without it; nothing is known of its operations
        return [hashlib.sha256(path.read_bytes()).hexdigest()]
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = [f"{list(tensor.dims)} {tensor.data_type}" for tensor in graph.initializer]
    return [",".join(node.op_type for node in graph.node), *weights]
