"""Translators that are run by CTranslate2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.checkpoints.tokenizers import load_for_inference
from kit.models.kinds.base import CardExample, SavedKind
from kit.models.kinds.form import Form
from kit.models.kinds.torch_translator import SEARCH_FILE, saved_prefix
from kit.runtime.json_files import read_object


class Ct2Kind(SavedKind):
    """Converted translator, which needs neither torch nor transformers if its tokenizer has a `tokenizer.json`."""

    name = "ctranslate2"
    backend = Backend.CT2
    mark = "ct2.json"
    forms = (Form.CT2,)
    translates = True
    runs_on = "ctranslate2"
    packages = "ctranslate2 transformers"
    hub_library = "ctranslate2"
    hub_tags = ("ctranslate2",)

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.backends.ctranslate2 import Ct2Translator

        return Ct2Translator

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return `ct2`."""
        return "ct2"

    def arguments(self, folder: Path, form: Form) -> dict[str, Any]:
        """Return the `prefix` of source texts, the `first` token of translations and the tokens to `suppress`."""
        search = read_object(folder / SEARCH_FILE, ModelError)
        names: Any = load_for_inference(folder).convert_ids_to_tokens
        first = search.get("forced_bos_token_id")
        return {
            "prefix": saved_prefix(folder),
            "first": None if first is None else names([first])[0],
            "suppress": [names(ids) for ids in search.get("bad_words_ids") or []],
        }

    def example(self, card: CardExample) -> str:
        """Return code for CTranslate2 and transformers' tokenizers."""
        more = ""
        if card.arguments["first"] is not None:
            more += f", target_prefix=[[{card.arguments['first']!r}]]"
        if card.arguments["suppress"]:
            more += f", suppress_sequences={card.arguments['suppress']!r}"
        return (
            "import json, ctranslate2\n"
            "from transformers import AutoTokenizer\n"
            f"{card.download}\n"
            "translator = ctranslate2.Translator(folder, intra_threads=1)\n"
            "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
            'search = json.load(open(f"{folder}/generation_config.json"))\n'
            f'ids = tokenizer({card.arguments["prefix"] + "A text."!r}, truncation=True)["input_ids"]\n'
            'longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])\n'
            "results = translator.translate_batch(\n"
            '    [tokenizer.convert_ids_to_tokens(ids)], beam_size=search.get("num_beams", 1),\n'
            '    length_penalty=search.get("length_penalty", 1.0), max_decoding_length=longest, '
            "min_decoding_length=0,\n"
            f"    max_input_length=0{more})\n"
            "ids = tokenizer.convert_tokens_to_ids(results[0].hypotheses[0])\n"
            "print(tokenizer.decode(ids, skip_special_tokens=True).strip())"
        )
