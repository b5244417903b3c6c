"""Translators that are run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.checkpoints.tokenizers import TARGET
from kit.models.kinds.base import CardExample
from kit.models.kinds.form import Form
from kit.models.kinds.onnx_classifier import OnnxClassifier
from kit.models.kinds.torch_translator import SEARCH_FILE, saved_prefix
from kit.runtime.json_files import read_object


class OnnxTranslatorKind(OnnxClassifier):
    """Graphs of a translator. Without kit they decode greedily, without transformers."""

    name = "onnx-seq2seq"
    backend = Backend.ONNX_TRANSLATOR
    mark = "decoder.onnx"
    translates = True
    greedy = True

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.backends.onnx_translator import OnnxTranslator

        return OnnxTranslator

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return no labels."""
        return ()

    def arguments(self, folder: Path, form: Form) -> dict[str, Any]:
        """Return the `prefix` of source texts, and ids of the `first` token and of tokens to `suppress`.

        `target` is True if translations have a tokenizer of their own.
        """
        if not (folder / "tokenizer.json").is_file():
            raise ModelError(
                "onnx: the model's tokenizer has no tokenizer.json, which loading without transformers needs",
                "export safetensors or ct2",
            )
        search = read_object(folder / SEARCH_FILE, ModelError)
        return {
            "prefix": saved_prefix(folder),
            "target": (folder / TARGET).is_dir(),
            "first": search.get("forced_bos_token_id"),
            "suppress": [ids[0] for ids in search.get("bad_words_ids") or [] if len(ids) == 1],
        }

    def example(self, card: CardExample) -> str:
        """Return code for ONNX Runtime and tokenizers."""
        target = 'Tokenizer.from_file(f"{folder}/target/tokenizer.json")' if card.arguments["target"] else "source"
        suppressed = f"    logits[0, {card.arguments['suppress']!r}] = -np.inf\n" if card.arguments["suppress"] else ""
        best_token = "int(logits[0].argmax())"
        if card.arguments["first"] is not None:
            best_token += f" if written else {card.arguments['first']}"
        return (
            "import json, numpy as np, onnxruntime\n"
            "from tokenizers import Tokenizer\n"
            f"{card.download}\n"
            'encoder = onnxruntime.InferenceSession(f"{folder}/encoder.onnx")\n'
            'decoder = onnxruntime.InferenceSession(f"{folder}/decoder.onnx")\n'
            'source = Tokenizer.from_file(f"{folder}/tokenizer.json")\n'
            f"target = {target}\n"
            f"source.no_padding(); source.enable_truncation({card.max_length})\n"
            'search = json.load(open(f"{folder}/generation_config.json"))\n'
            f"ids = source.encode({card.arguments['prefix'] + 'A text.'!r}).ids\n"
            "mask = np.ones((1, len(ids)), np.int64)\n"
            'encoded = encoder.run(None, {"input_ids": np.array([ids]), "attention_mask": mask})\n'
            "cross = dict(zip([node.name for node in encoder.get_outputs()], encoded))\n"
            "past = {node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32)\n"
            '        for node in decoder.get_inputs() if node.name.startswith("past.")}\n'
            'token, written = search["decoder_start_token_id"], []\n'
            'longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])\n'
            "while len(written) < longest:  # greedy decoding\n"
            '    step = {"input_ids": np.array([[token]]), "attention_mask": mask, **past, **cross}\n'
            "    logits, *kept = decoder.run(None, step)\n"
            f"{suppressed}"
            f"    token = {best_token}\n"
            '    if token == search["eos_token_id"]:\n'
            "        break\n"
            "    written.append(token)\n"
            "    past = dict(zip(past, kept))\n"
            "print(target.decode(written).strip())"
        )
