"""Classifiers that are run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.damage import listed_labels
from kit.models.kinds.base import CardExample, SavedKind
from kit.models.kinds.form import Form
from kit.runtime.json_files import read_object
from kit.runtime.names import plain_name

FACTS_FILE = "onnx.json"


class OnnxClassifier(SavedKind):
    """Graph of a classifier, which needs neither torch nor transformers."""

    name = "onnxruntime"
    backend = Backend.ONNX
    mark = FACTS_FILE
    forms = (Form.ONNX, Form.QUANTIZED_ONNX)
    runs_on = "onnxruntime"
    packages = "onnxruntime tokenizers"
    hub_library = "onnx"
    hub_tags = ("onnx",)

    def form(self, folder: Path) -> Form:
        """Return the form that `onnx.json` describes."""
        return Form.ONNX if _weights(folder) == "float32" else Form.QUANTIZED_ONNX

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.backends.onnx import OnnxPredictor

        return OnnxPredictor

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels in `config.json`."""
        return listed_labels(read_config(folder).content, folder / CONFIG_FILE)

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return `onnx`, or for a quantized graph its format of weights, as in `int8-onnx`."""
        weights = _weights(folder)
        name = "onnx" if weights == "float32" else f"{weights}-onnx"
        return plain_name(name, f"{folder / FACTS_FILE}: weights", ModelError)

    def example(self, card: CardExample) -> str:
        """Return code for ONNX Runtime and tokenizers."""
        texts = '"a text", "another"' if card.reads_pairs else '"a text"'
        return (
            "import json, numpy as np, onnxruntime\n"
            "from tokenizers import Tokenizer\n"
            f"{card.download}\n"
            'tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")\n'
            f"tokenizer.no_padding(); tokenizer.enable_truncation({card.max_length})\n"
            'session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])\n'
            f"text = tokenizer.encode({texts})\n"
            'tokens = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}\n'
            "inputs = {node.name: np.array([tokens[node.name]], np.int64) for node in session.get_inputs()}\n"
            'logits = session.run(["logits"], inputs)[0][0]\n'
            'labels = json.load(open(f"{folder}/config.json"))["id2label"]\n'
            + (
                "print({labels['0']: float(logits[0])})"
                if card.predicts_number
                else "print([labels[str(index)] for index in np.flatnonzero(logits > 0)])"
                if card.multi_label
                else "print(labels[str(logits.argmax())])"
            )
        )


def _weights(folder: Path) -> Any:
    """Return the format of a graph's weights."""
    return read_object(folder / FACTS_FILE, ModelError).get("weights")
