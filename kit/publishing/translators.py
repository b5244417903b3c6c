"""How translators are loaded where kit is not installed.

Knows the folders of saved translators. Knows nothing of cards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend, backend_in
from kit.models.backends.ctranslate2 import FACTS_FILE, SEARCH_FILE
from kit.models.checkpoints.loading import load_tokenizer
from kit.models.saved_kind import Kind
from kit.models.translation.seq2seq import TARGET
from kit.runtime.json_files import read_object

# What loads a translator's graphs: its lines take the likeliest token each time.
LIKELIEST = "onnx-seq2seq"


def translating(kind: Kind, folder: Path) -> tuple[str, dict[str, Any]]:
    """What loads a translator of this kind, and what has to be said to it, as the model in a folder has it.

    prefix: text before every source. target: whether the target has a tokenizer of its own. first: token that
    translations begin with. suppress: tokens that they have none of; torch reads both in the folder.
    Raises ModelError for graphs whose tokenizer only transformers can read.
    """
    source = backend_in(folder)  # the run's own model, which a format of another kind may be made from
    file = folder / (FACTS_FILE if source is Backend.CT2 else "config.json")
    arguments: dict[str, Any] = {"prefix": str(read_object(file, ModelError).get("prefix") or "")}
    if kind in (Kind.ONNX, Kind.QUANTIZED_ONNX):
        return _graphs(folder, arguments)
    if kind is not Kind.CT2:
        half = {"dtype": "float32"} if kind is Kind.HALF else {}  # as it was tested
        return "seq2seq", {**arguments, "target": (folder / TARGET).is_dir(), **half}
    search = read_object(folder / SEARCH_FILE, ModelError)
    names = load_tokenizer(folder).convert_ids_to_tokens
    first = search.get("forced_bos_token_id")
    suppress = [names(each) for each in search.get("bad_words_ids") or []]
    return "ctranslate2", {**arguments, "first": None if first is None else names(first), "suppress": suppress}


def _graphs(folder: Path, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Graphs are told the numbers of tokens: their lines take the likeliest each time, without transformers."""
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            "onnx: the model's tokenizer has no tokenizer.json, which is all that is read without transformers",
            "export safetensors or ct2",
        )
    search = read_object(folder / SEARCH_FILE, ModelError)
    suppress = [each[0] for each in search.get("bad_words_ids") or [] if len(each) == 1]
    told = {"target": (folder / TARGET).is_dir(), "first": search.get("forced_bos_token_id"), "suppress": suppress}
    return LIKELIEST, {**arguments, **told}
