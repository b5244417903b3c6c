"""Translators of torch, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.tokenizers import TARGET
from kit.models.kinds.base import CardExample, SavedKind
from kit.models.kinds.form import Form
from kit.models.kinds.torch_classifier import quantizer, require_no_code, saved_form
from kit.runtime.json_files import read_object

SEARCH_FILE = "generation_config.json"
_CT2_FACTS = "ct2.json"


class TorchTranslator(SavedKind):
    """Encoder-decoder of torch in 32 or 16 bits, or quantized."""

    name = "seq2seq"
    backend = Backend.TORCH
    forms = (Form.TRANSLATOR, Form.WARM_TRANSLATOR, Form.HALF, Form.QUANTIZED)
    translates = True
    packages = "transformers torch"
    hub_library = "transformers"

    def form(self, folder: Path) -> Form:
        """Return the form that the configuration describes."""
        if (form := saved_form(folder)) is not None:
            return form
        warm = read_config(folder).model_type == "encoder-decoder"
        return Form.WARM_TRANSLATOR if warm else Form.TRANSLATOR

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.translation.translator import Translator

        return Translator

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return `safetensors`. Raise ModelError for a checkpoint with code of its own."""
        require_no_code(folder, run)
        return "safetensors"

    def arguments(self, folder: Path, form: Form) -> dict[str, Any]:
        """Return the `prefix` of source texts, and the type of the weights.

        `target` is True if translations have a tokenizer of their own.
        """
        half = {"dtype": "float32"} if form is Form.HALF else {}  # the run was tested in float32
        return {"prefix": saved_prefix(folder), "target": (folder / TARGET).is_dir(), **half}

    def requirements(self, folder: Path) -> str:
        """Return the packages, with the package that quantized the weights."""
        return self.packages + quantizer(folder)

    def example(self, card: CardExample) -> str:
        """Return code for transformers."""
        dtype = f', dtype="{card.arguments["dtype"]}"' if "dtype" in card.arguments else ""
        target = "source"
        if card.arguments["target"]:
            target = f'AutoTokenizer.from_pretrained("{card.place}", subfolder="target")'
        return (
            "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n"
            f'model = AutoModelForSeq2SeqLM.from_pretrained("{card.place}"{dtype})\n'
            f'source = AutoTokenizer.from_pretrained("{card.place}")\n'
            f"target = {target}\n"
            f"inputs = source({card.arguments['prefix'] + 'A text.'!r}, truncation=True, return_token_type_ids=False, "
            'return_tensors="pt")\n'
            "search = model.generation_config\n"
            "longest = min(int(search.length_ratio * inputs.input_ids.shape[1]) + 16, search.max_new_tokens)\n"
            "ids = model.generate(**inputs, max_new_tokens=longest)\n"
            "print(target.decode(ids[0], skip_special_tokens=True).strip())"
        )


def saved_prefix(folder: Path) -> str:
    """Return the text before every source text of a saved translator."""
    file = folder / _CT2_FACTS
    if not file.is_file():
        file = folder / CONFIG_FILE
    return str(read_object(file, ModelError).get("prefix") or "")
