"""Loaders of exported translation models without kit, and the arguments of these loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend, backend_in
from kit.models.backends.ctranslate2 import FACTS_FILE, SEARCH_FILE
from kit.models.checkpoints.config_file import CONFIG_FILE
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.saved_kind import Kind
from kit.models.translation.seq2seq import TARGET
from kit.runtime.json_files import read_object

GREEDY = "onnx-seq2seq"  # loader of ONNX graphs of translation models, which decodes greedily


def translation_loader(kind: Kind, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the loader of this kind of translation model and its arguments, read from the model's folder.

    The arguments are `prefix` (text before every source text), `target` (whether the target side has its own
    tokenizer), `first` (token that translations begin with) and `suppress` (tokens that translations never contain).
    PyTorch models have `first` and `suppress` in their generation configuration.

    Raises:
        ModelError: ONNX graphs are requested, and only transformers can read the tokenizer.
    """
    source = backend_in(folder)  # backend of the run's own model; `kind` may be another one, made from it
    file = folder / (FACTS_FILE if source is Backend.CT2 else CONFIG_FILE)
    arguments: dict[str, Any] = {"prefix": str(read_object(file, ModelError).get("prefix") or "")}
    if kind in (Kind.ONNX, Kind.QUANTIZED_ONNX):
        return _graphs(folder, arguments)
    if kind is not Kind.CT2:
        half = {"dtype": "float32"} if kind is Kind.HALF else {}  # the run was tested in float32
        return "seq2seq", {**arguments, "target": (folder / TARGET).is_dir(), **half}
    search = read_object(folder / SEARCH_FILE, ModelError)
    names = load_tokenizer(folder).convert_ids_to_tokens
    first = search.get("forced_bos_token_id")
    suppress = [names(ids) for ids in search.get("bad_words_ids") or []]
    return "ctranslate2", {**arguments, "first": None if first is None else names(first), "suppress": suppress}


def _graphs(folder: Path, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the loader of ONNX graphs, whose arguments are token ids: it decodes greedily, without transformers."""
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            "onnx: the model's tokenizer has no tokenizer.json, which loading without transformers needs",
            "export safetensors or ct2",
        )
    search = read_object(folder / SEARCH_FILE, ModelError)
    suppress = [ids[0] for ids in search.get("bad_words_ids") or [] if len(ids) == 1]
    first = search.get("forced_bos_token_id")
    return GREEDY, {**arguments, "target": (folder / TARGET).is_dir(), "first": first, "suppress": suppress}
