"""Compute signatures: saved models with the same signature do the same arithmetic for the same text."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.onnx import GRAPH_FILE
from kit.models.checkpoints.config_file import read_config
from kit.models.kinds import form_of, kind_in
from kit.models.kinds.form import Form
from kit.runtime.json_files import read_object

# Forms of classifiers whose time per text depends on the values of the weights: the vocabulary, or the exits taken.
# The time of every translator does, because the weights decide how long a translation is.
_WEIGHT_DEPENDENT = (Form.TFIDF, Form.EARLY_EXIT)
# Keys of a config.json that do not change the arithmetic of inference.
_IGNORED_KEYS = {
    "_name_or_path", "id2label", "label2id", "transformers_version", "architectures", "problem_type", "finetuning_task",
    "initializer_range", "use_cache", "gradient_checkpointing",
    "dtype", "torch_dtype",  # the weights file has the type of each weight
    "normalize",  # takes no time compared with the encoder
}  # fmt: skip
_MAX_HEADER_BYTES = 100_000_000


def compute_signature(folder: Path) -> str:
    """Return a digest of everything in a saved model that determines its time per text.

    Models with the same architecture, precision, backend and tokenizer have the same signature even if their weights
    differ, such as the results of fine-tuning, a probe and a merged LoRA adapter on the same checkpoint. A model whose
    weights change the amount of arithmetic has a unique signature.

    Raises:
        ModelError: If the folder does not contain a model.
    """
    form = form_of(folder)
    if form in _WEIGHT_DEPENDENT or kind_in(folder).translates:
        return f"only {folder.resolve()}"
    parts = [str(form), _configuration(folder), *_tokenizer(folder), *_weights(folder)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _configuration(folder: Path) -> str:
    content = read_config(folder).content
    labels = len(content.get("id2label") or {})
    return json.dumps([labels, _arithmetic(content)], sort_keys=True)


def _arithmetic(value: Any) -> Any:
    """Return a configuration without names and without keys that only matter in training."""
    if not isinstance(value, dict):
        return value
    return {key: _arithmetic(part) for key, part in value.items() if key not in _IGNORED_KEYS and "dropout" not in key}


def _tokenizer(folder: Path) -> list[str]:
    """Return hashes of the tokenizer's files, and its maximum length."""
    hashes = []
    for path in sorted(folder.glob("tokenizer*")):
        if path.name != "tokenizer_config.json":
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    settings = folder / "tokenizer_config.json"
    longest = read_object(settings, ModelError).get("model_max_length") if settings.is_file() else None
    return [*hashes, str(longest)]


def _weights(folder: Path) -> list[str]:
    """Return names, shapes and types of all weights, and the operations of a graph."""
    headers = [f"{name} {header}" for path in sorted(folder.glob("*.safetensors")) for name, header in _tensors(path)]
    graph = folder / GRAPH_FILE
    return [*headers, *(_graph(graph) if graph.is_file() else [])]


def _tensors(path: Path) -> list[tuple[str, str]]:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        content: dict[str, Any] = json.loads(file.read(min(size, _MAX_HEADER_BYTES)))
    content.pop("__metadata__", None)
    return sorted((name, f"{tensor['dtype']} {tensor['shape']}") for name, tensor in content.items())


def _graph(path: Path) -> list[str]:
    try:
        import onnx
    except ImportError:  # ONNX Runtime runs graphs without this package, which lists the operations
        return [hashlib.sha256(path.read_bytes()).hexdigest()]
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = [f"{list(tensor.dims)} {tensor.data_type}" for tensor in graph.initializer]
    return [",".join(node.op_type for node in graph.node), *weights]
